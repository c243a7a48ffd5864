"""Custom assessors of NNI as assessors of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nni.assessor import AssessResult

from tune_core import Assessor
from tune_core.errors import AlgorithmError
from tune_nni.adapter import Adapter

__all__ = ["AssessorAdapter"]


class AssessorAdapter(Adapter, Assessor):
    """Runs a class that derives from `nni.assessor.Assessor`."""

    wants_reports = True

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._histories: dict[str, list[Any]] = {}

    def assess_trial(self, trial_id: str, history: Sequence[float]) -> bool:
        mine = self._histories.setdefault(trial_id, [])
        if len(mine) + 1 == len(history):
            mine.append(self.as_reported(history[-1]))
        else:  # the trial began again
            mine[:] = map(self.as_reported, history)
        verdict = self.call("assess_trial", trial_id, list(mine))
        if not isinstance(verdict, AssessResult | bool):
            raise AlgorithmError(
                f"{type(self).__name__}.assess_trial returned {verdict!r}; return AssessResult.Good or .Bad"
            )
        return verdict in {True, AssessResult.Good}

    def trial_end(self, trial_id: str, success: bool) -> None:
        self._histories.pop(trial_id, None)
        self.call("trial_end", trial_id, success)
