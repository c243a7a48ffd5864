"""Curve fitting: a trial whose learning curve is not heading for the best is not worth finishing.

Domhan, T., Springenberg, J. T. and Hutter, F. (2015). Speeding up automatic hyperparameter optimization of
deep neural networks by extrapolation of learning curves. IJCAI 2015.
https://www.ijcai.org/Abstract/15/487
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from tune_core import Assessor
from tune_curvefitting.curves import predict

__all__ = ["CurvefittingAssessor"]


class CurvefittingAssessor(Assessor):
    """Stop a trial whose extrapolated last result is worse than the best of the finished trials, by more
    than the share that `threshold` leaves.

    With `threshold` 0.95 an accuracy has to reach 0.95 of the best, a loss must not exceed the best by
    more than 1/0.95. Nothing is stopped before a trial has succeeded.

    Args:
        epoch_num: How many results a whole trial reports.
        start_step: Results that every trial may report before it is judged.
        threshold: The share of the best that is good enough.
        gap: Results between two judgements of a trial.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        epoch_num: int = Field(ge=1, description="How many results a whole trial reports.")
        start_step: int = Field(default=6, ge=1, description="Results before a trial is judged.")
        threshold: float = Field(
            default=0.95, gt=0, le=1, description="The share of the best final result that is good enough."
        )
        gap: int = Field(default=1, ge=1, description="Results between two judgements of a trial.")

    def __init__(self, epoch_num: int, start_step: int = 6, threshold: float = 0.95, gap: int = 1) -> None:
        self._epoch_num = epoch_num
        self._start_step = start_step
        self._threshold = threshold
        self._gap = gap
        self._best: float | None = None  # last result of the best trial that succeeded
        self._last: dict[str, float] = {}  # last result of each running trial
        self._judged: dict[str, int] = {}  # how many results it had when it was judged last

    def assess_trial(self, trial_id: str, history: Sequence[float]) -> bool:
        self._last[trial_id] = history[-1]
        n = len(history)
        if n < self._judged.get(trial_id, 0):  # started again
            del self._judged[trial_id]
        if self._best is None or not self._start_step <= n < self._epoch_num:
            return True
        if trial_id in self._judged and n - self._judged[trial_id] < self._gap:
            return True
        self._judged[trial_id] = n
        limit = self._limit(self._best)
        if history[-1] <= limit:  # it is there already: no need to predict
            return True
        predicted = predict(history, self._epoch_num)
        return predicted is None or predicted <= limit

    def _limit(self, best: float) -> float:
        """The worst result that is good enough. What is maximised arrives negated, and is mostly below 0."""
        return best * self._threshold if best < 0 else best / self._threshold

    def trial_end(self, trial_id: str, success: bool) -> None:
        last = self._last.pop(trial_id, None)
        self._judged.pop(trial_id, None)
        if success and last is not None:
            self._best = last if self._best is None else min(self._best, last)
