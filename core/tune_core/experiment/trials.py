"""A trial that is not over, and what its end means."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from tune_core.experiment.settings import Settings
from tune_core.experiment.view import TrialView
from tune_core.metric import Metric, orient
from tune_core.objectives import Objectives, Score
from tune_core.trial import AttemptKey, Ending, Parameters, TrialState

__all__ = ["LiveTrial", "Outcome", "judge"]


@dataclass
class LiveTrial:
    """A trial between its proposal and its end, as the engine holds it in memory.

    Attributes:
        submitted: The training service has it.
        cancel: The state it is to end in, once somebody asked for its end; WAITING when the whole
            experiment stops and the trial will run again on resume.
        last_sequence: Of the newest message of this attempt, -1 before the first.
        condemned: The algorithm wants it stopped and hears no more intermediate results.
        refused: Why its final result is none, if it reported something else.
    """

    sequence: int
    id: str
    parameters: Parameters
    source: str
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    state: TrialState = TrialState.WAITING
    submitted: bool = False
    started: float | None = None  # monotonic
    cancel: TrialState | None = None
    cancel_reason: str = ""
    last_sequence: int = -1
    intermediates: int = 0
    last_value: float | None = None
    final: Metric | None = None
    refused: str = ""
    condemned: bool = False
    reason: str = ""

    @property
    def key(self) -> AttemptKey:
        return AttemptKey(self.id, self.attempt)

    def next_attempt(self, reason: str) -> None:
        """Back to waiting, with everything that belonged to the attempt forgotten."""
        self.attempt += 1
        self.state = TrialState.WAITING
        self.submitted = False
        self.started = None
        self.cancel, self.cancel_reason = None, ""
        self.last_sequence, self.intermediates, self.last_value = -1, 0, None
        self.final, self.refused, self.condemned = None, "", False
        self.reason = reason

    def view(self, outcome: Outcome | None = None) -> TrialView:
        succeeded = outcome is not None and outcome.value is not None
        return TrialView(
            sequence=self.sequence,
            id=self.id,
            state=outcome.state if outcome else self.state,
            parameters=self.parameters,
            attempt=self.attempt,
            intermediates=self.intermediates,
            last_value=self.last_value,
            value=outcome.value if outcome else None,
            final_metric=outcome.metric if outcome and succeeded else None,
            reason=outcome.reason if outcome else self.reason,
            duration_s=None if self.started is None else time.monotonic() - self.started,
        )


@dataclass(frozen=True)
class Outcome:
    """What the end of an attempt means for its trial.

    Attributes:
        state: WAITING when the trial is to run again.
        value: The primary objective of the final result, in the user's orientation, if SUCCEEDED with one.
        metric: The whole of it.
        advised: What the algorithm is told, None if there is nothing to learn from.
        lost: The attempt ended through no fault of the trial.
    """

    state: TrialState
    reason: str = ""
    value: float | None = None
    metric: Any = None
    advised: Score | None = None
    lost: bool = False


def judge(trial: LiveTrial, ending: Ending, settings: Settings) -> Outcome:
    """Decide what the end of the present attempt means."""
    if ending.exit_status == 0 and trial.final is not None and trial.final.is_finite and not trial.refused:
        # Also when its end had been asked for: it was quicker, and a finished result is not thrown away.
        return _result(trial.final, settings.objectives)
    if trial.cancel is not None:
        return _cancelled(trial, settings)
    if ending.lost:
        reason = ending.reason or "the trial's process is gone and left no exit status"
        return Outcome(_retry_or_fail(trial.losses, settings.lost_retries), reason, lost=True)
    if ending.exit_status == 0:
        return _without_result(trial)
    reason = ending.reason or f"exit status {ending.exit_status}"
    return Outcome(_retry_or_fail(trial.failures, settings.failed_retries), reason)


def _result(metric: Metric, objectives: Objectives) -> Outcome:
    broken = objectives.broken(metric)
    reason = f"infeasible: {', '.join(broken)}" if broken else ""
    return Outcome(TrialState.SUCCEEDED, reason, metric.value, metric.whole, advised=objectives.score(metric))


def _cancelled(trial: LiveTrial, settings: Settings) -> Outcome:
    assert trial.cancel is not None
    counts = trial.condemned and settings.intermediate_counts
    last, advised = trial.last_value, None
    # Of several objectives, or of constraints, an intermediate result tells too little.
    if counts and last is not None and math.isfinite(last) and settings.objectives.is_plain:
        advised = Score((orient(last, settings.objectives.mode),))
    return Outcome(
        trial.cancel, trial.cancel_reason, advised=advised, lost=trial.cancel is TrialState.WAITING
    )


def _without_result(trial: LiveTrial) -> Outcome:
    if trial.refused:
        return Outcome(TrialState.FAILED, f"its final result was refused: {trial.refused}")
    if trial.final is not None:
        return Outcome(TrialState.FAILED, f"its final result is {trial.final}, which is no finite number")
    return Outcome(TrialState.SUCCEEDED, "it ended well but reported no final result; nothing was learned")


def _retry_or_fail(so_far: int, allowed: int) -> TrialState:
    return TrialState.WAITING if so_far < allowed else TrialState.FAILED
