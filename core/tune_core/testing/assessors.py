"""What every assessor must hold to."""

from __future__ import annotations

import random

from tune_core.algorithms.base import Assessor

__all__ = ["AssessorContract"]

_STEPS = 12


class AssessorContract:
    """Subclass it, name the class `Test...`, and define `make_assessor`."""

    def make_assessor(self) -> Assessor:
        """A new assessor, as the kernel makes it."""
        raise NotImplementedError("define make_assessor in the subclass")

    def test_first_trial_is_judged_without_any_other(self) -> None:
        assessor = self._seeded()
        history: list[float] = []
        for step in range(_STEPS):
            history.append(1.0 / (step + 1))
            assert isinstance(assessor.assess_trial("0", history), bool)

    def test_best_trial_goes_on(self) -> None:
        assessor = self._seeded()
        self._finish(assessor, count=10, level=1.0)
        history: list[float] = []
        for step in range(_STEPS):
            history.append(-1.0 - step)
            assert assessor.assess_trial("best", history), f"stopped the best trial after {step + 1} results"

    def test_same_calls_give_the_same_verdicts(self) -> None:
        assert self._verdicts(self._seeded()) == self._verdicts(self._seeded())

    def test_history_is_not_changed(self) -> None:
        assessor = self._seeded()
        self._finish(assessor, count=5, level=0.0)
        history = [3.0, 2.0, 1.0]
        assessor.assess_trial("a", history)
        assert history == [3.0, 2.0, 1.0]

    def test_retried_trial_begins_again(self) -> None:
        assessor = self._seeded()
        self._finish(assessor, count=5, level=0.0)
        for attempt in range(2):
            history: list[float] = []
            for step in range(4):
                history.append(-1.0 - step - attempt)
                assert isinstance(assessor.assess_trial("again", history), bool)
        assessor.trial_end("again", success=True)

    def test_trials_may_end_in_any_way(self) -> None:
        assessor = self._seeded()
        for name in "abc":
            assessor.assess_trial(name, [0.5])
        assessor.trial_end("a", success=False)
        assessor.trial_end("b", success=True)
        assert isinstance(assessor.assess_trial("c", [0.5, 0.4]), bool)

    def test_extreme_values_do_no_harm(self) -> None:
        assessor = self._seeded()
        for name, value in (("a", 1e300), ("b", -1e300), ("c", 0.0)):
            for count in range(1, _STEPS):
                assessor.assess_trial(name, [value] * count)
            assessor.trial_end(name, success=True)
        assert isinstance(assessor.assess_trial("d", [1.0]), bool)

    def _seeded(self) -> Assessor:
        assessor = self.make_assessor()
        assessor.set_seed(0)
        return assessor

    @staticmethod
    def _finish(assessor: Assessor, *, count: int, level: float) -> None:
        """Let `count` trials end well, around `level`."""
        for number in range(count):
            history = []
            for step in range(_STEPS):
                history.append(level + number / count + 1.0 / (step + 1))
                assessor.assess_trial(f"done-{number}", history)
            assessor.trial_end(f"done-{number}", success=True)

    @staticmethod
    def _verdicts(assessor: Assessor) -> list[bool]:
        order = random.Random(1)  # noqa: S311 (order of events in a test)
        histories: dict[int, list[float]] = {number: [] for number in range(8)}
        verdicts = []
        while histories:
            number = order.choice(list(histories))
            history = histories[number]
            history.append(number + 1.0 / (len(history) + 1))
            verdict = assessor.assess_trial(str(number), history)
            verdicts.append(verdict)
            if not verdict or len(history) == _STEPS:
                del histories[number]
                assessor.trial_end(str(number), success=verdict)
        return verdicts
