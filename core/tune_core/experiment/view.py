"""What observers, the live view and notebooks may see of a running experiment; all read only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_core.objectives import Objectives
from tune_core.trial import TrialState

if TYPE_CHECKING:
    from tune_core.store.reader import TrialRecord

__all__ = ["ExperimentView", "TrialView"]


@dataclass(frozen=True)
class TrialView:
    """One trial at one moment.

    Attributes:
        final_metric: The final result as reported, a number or a dictionary; None unless SUCCEEDED.
        value: Its number, the primary objective, in the user's own orientation.
        reason: Why it waits, failed or was ended.
    """

    sequence: int
    id: str
    state: TrialState
    parameters: Mapping[str, Any]
    attempt: int = 0
    intermediates: int = 0
    last_value: float | None = None
    value: float | None = None
    final_metric: Any = None
    reason: str = ""
    duration_s: float | None = None

    @classmethod
    def of(cls, record: TrialRecord) -> TrialView:
        """A trial as it is in the record."""
        return cls(
            sequence=record.sequence,
            id=record.id,
            state=record.state,
            parameters=record.parameters,
            attempt=record.attempt,
            intermediates=record.intermediates,
            last_value=record.last_value,
            value=record.value,
            final_metric=record.metric,
            reason=record.reason,
            duration_s=record.duration_s,
        )


@dataclass(frozen=True)
class ExperimentView:
    """An experiment at one moment.

    Attributes:
        status: NNI's names; `reason` says why where that is not plain.
        trouble: What is wrong right now although the experiment goes on; empty if nothing.
        activity: What it is doing or waiting for.
        counts: Trials by state.
        objectives: What is asked of final results.
        best: The best feasible result so far, by the primary objective.
        front: With several objectives, the feasible results that no other one is better than, the best
            by the primary objective first.
        running: Trials that are not over, oldest first.
        elapsed_s: How long it has been managed, over all its managers.
    """

    id: str
    name: str
    directory: Path
    objectives: Objectives
    status: str
    reason: str
    trouble: str
    activity: str
    counts: Mapping[TrialState, int]
    best: TrialView | None
    running: tuple[TrialView, ...]
    concurrency: int
    max_trials: int | None
    max_duration_s: float | None
    elapsed_s: float
    front: tuple[TrialView, ...] = ()

    @property
    def mode(self) -> str:
        """Which way the primary objective is to go."""
        return self.objectives.mode

    def __str__(self) -> str:
        done = sum(count for state, count in self.counts.items() if state.is_terminal)
        limit = "" if self.max_trials is None else f"/{self.max_trials}"
        best = "" if self.best is None else f", best {self.best.value:g}"
        best += f", {len(self.front)} on the front" if self.front else ""
        return f"experiment {self.id}: {self.status}, {done}{limit} trials{best}, {self.elapsed_s:.0f} s"
