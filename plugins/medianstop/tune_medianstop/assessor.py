"""Median stopping: a trial whose best result so far is worse than the median of what the others had
on average by then is not worth finishing.

Golovin, D. et al. (2017). Google Vizier: a service for black-box optimization. KDD 2017, section 3.2.2.
https://doi.org/10.1145/3097983.3098043
"""

from array import array
from bisect import insort
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from tune_core import Assessor, ConfigError

__all__ = ["MedianstopAssessor"]


class _Curve:
    """What one running trial has reported, so far as the rule needs it."""

    def __init__(self) -> None:
        self.total = 0.0
        self.best = float("inf")
        self.averages = array("d")  # running averages after 1, 2, ... results

    def extend(self, values: Sequence[float]) -> None:
        for value in values:
            self.total += value
            self.best = min(self.best, value)
            self.averages.append(self.total / (len(self.averages) + 1))


class MedianstopAssessor(Assessor):
    """Stop a trial at step s if its best result up to s is worse than the median, over the finished
    trials that reported s times or more, of their average results up to s.

    Only trials that succeeded count; as long as there is none, nothing is stopped. Of an even number
    of averages the worse middle one is the median, as in NNI.

    Args:
        start_step: Let every trial reach this number of results.

    Raises:
        ConfigError: `start_step` is negative.
    """

    def __init__(self, start_step: Annotated[int, Field(ge=0)] = 0) -> None:
        if start_step < 0:
            raise ConfigError(f"start_step {start_step} must not be negative; 0 judges from the first result")
        self._start_step = start_step
        self._running: dict[str, _Curve] = {}
        # One sorted array for each step: the median is a look-up and a finished trial one insertion
        # into each, 8 bytes a result.
        self._finished: list[array[float]] = []

    def assess_trial(self, trial_id: str, history: Sequence[float]) -> bool:
        curve = self._running.get(trial_id)
        if curve is None or len(curve.averages) >= len(history):  # new, or started again
            curve = self._running[trial_id] = _Curve()
        curve.extend(history[len(curve.averages) :])
        step = len(history)
        if step < self._start_step or step > len(self._finished):
            return True
        averages = self._finished[step - 1]
        return curve.best <= averages[len(averages) // 2]

    def trial_end(self, trial_id: str, success: bool) -> None:
        curve = self._running.pop(trial_id, None)
        if curve is None or not success:
            return
        for step, average in enumerate(curve.averages):
            if step == len(self._finished):
                self._finished.append(array("d"))
            insort(self._finished[step], average)
