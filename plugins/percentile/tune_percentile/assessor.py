"""Percentile stopping: a trial whose best result so far is not among the best part of what the others had
by then is not worth finishing. The median rule with another share than half.

Golovin, D. et al. (2017). Google Vizier: a service for black-box optimization. KDD 2017, section 3.2.2.
https://doi.org/10.1145/3097983.3098043
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from tune_core import Assessor

__all__ = ["PercentileAssessor", "percentile_of"]


def percentile_of(ordered: Sequence[float], percentile: float) -> float:
    """The value below which `percentile` percent of the ascending `ordered` lie, between neighbours linear.

    >>> percentile_of([10.0, 20.0, 30.0], 25.0)
    15.0
    """
    place = (len(ordered) - 1) * percentile / 100.0
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    share = place - below
    # Not a + share * (b - a): the difference of two large numbers may overflow.
    return ordered[below] * (1.0 - share) + ordered[above] * share


class PercentileAssessor(Assessor):
    """Stop a trial at step s if its best result up to s is worse than the `percentile` of the results that
    the finished trials had at s.

    Only trials that succeeded count.

    Args:
        percentile: The part that goes on, of the finished trials; 50 is the median.
        start_step: Let every trial reach this number of results.
        min_trials: Stop nothing at a step that fewer finished trials have reached.
        interval: Judge a trial at every so many results, counted from `start_step`.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        percentile: float = Field(
            default=25.0,
            ge=0,
            le=100,
            description="The best part that goes on, in percent; 50 is the median.",
        )
        start_step: int = Field(default=0, ge=0, description="Results before a trial is judged.")
        min_trials: int = Field(
            default=5,
            ge=1,
            description="Finished trials that must have come as far for a trial to be stopped.",
        )
        interval: int = Field(default=1, ge=1, description="Results between two judgements of a trial.")

    def __init__(
        self, percentile: float = 25.0, start_step: int = 0, min_trials: int = 5, interval: int = 1
    ) -> None:
        self._percentile = percentile
        self._start_step = max(start_step, 1)
        self._min_trials = min_trials
        self._interval = interval
        self._running: dict[str, array[float]] = {}  # what each has reported
        self._best: dict[str, float] = {}
        self._finished: list[array[float]] = []  # for each step the ascending results of the finished trials

    def assess_trial(self, trial_id: str, history: Sequence[float]) -> bool:
        step = len(history)
        curve = self._running.get(trial_id)
        if curve is None or len(curve) >= step:  # new, or started again
            curve = self._running[trial_id] = array("d")
            self._best[trial_id] = float("inf")
        news = history[len(curve) :]
        curve.extend(news)
        self._best[trial_id] = min(self._best[trial_id], *news)
        if (
            step < self._start_step
            or (step - self._start_step) % self._interval
            or step > len(self._finished)
        ):
            return True
        others = self._finished[step - 1]
        if len(others) < self._min_trials:
            return True
        return self._best[trial_id] <= percentile_of(others, self._percentile)

    def trial_end(self, trial_id: str, success: bool) -> None:
        curve = self._running.pop(trial_id, array("d"))
        self._best.pop(trial_id, None)
        if not success:
            return
        for step, value in enumerate(curve):
            if step == len(self._finished):
                self._finished.append(array("d"))
            insort(self._finished[step], value)
