"""A trial as the record has it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from tune_core.trial import TrialState

__all__ = ["TRIAL_COLUMNS", "TrialRecord", "trial_of"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the record has it.

    Attributes:
        sequence: Order of submission, from 0.
        source: Who proposed it: `algorithm`, `user`, or `initial` for the configuration's `initialPoints`.
        attempt: The newest attempt's number; more than 0 after a retry.
        created, started, ended: Seconds since the epoch.
        intermediates: How many intermediate results the newest attempt reported.
        last_value: The newest of them.
        value: The primary objective of the final result, in the user's own orientation; None unless
            SUCCEEDED.
        metric: The whole final result: `value`, or the dictionary that holds it.
        reason: Why it waits, failed or was ended, or which constraints it breaks; empty when there is
            nothing to say.
    """

    sequence: int
    id: str
    state: TrialState
    source: str
    parameters: dict[str, Any]
    attempt: int
    created: float
    started: float | None
    ended: float | None
    intermediates: int
    last_value: float | None
    value: float | None
    metric: Any
    reason: str

    @property
    def duration_s(self) -> float | None:
        """Seconds from its start to its end, or to now; None before it started."""
        if self.started is None:
            return None
        return (self.ended if self.ended is not None else time.time()) - self.started


TRIAL_COLUMNS = (
    "sequence, id, state, source, parameters, attempt, created, started, ended,"
    " intermediates, last_value, value, metric, reason"
)


def trial_of(row: tuple[Any, ...]) -> TrialRecord:
    """From a row of `TRIAL_COLUMNS`."""
    (sequence, name, state, source, parameters, attempt, created, started, ended, intermediates,
     last_value, value, metric, reason) = row  # fmt: skip
    return TrialRecord(
        sequence=sequence,
        id=name,
        state=TrialState(state),
        source=source,
        parameters=json.loads(parameters),
        attempt=attempt,
        created=created,
        started=started,
        ended=ended,
        intermediates=intermediates,
        last_value=last_value,
        value=value,
        metric=None if metric is None else json.loads(metric),
        reason=reason,
    )
