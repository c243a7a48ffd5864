"""What every advisor must hold to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from tune_core.algorithms.base import Advisor, Observation
from tune_core.algorithms.compose import check_configuration
from tune_core.algorithms.feasible_first import fitted
from tune_core.errors import NoMoreTrial
from tune_core.objectives import Bound, Objectives, Score
from tune_core.space import SearchSpace
from tune_core.testing.driving import Drive
from tune_core.testing.spaces import EXAMPLE_SPACES
from tune_core.trial import Parameters, TrialState

__all__ = ["AdvisorContract"]


class AdvisorContract:
    """Subclass it, name the class `Test...`, and define `make_advisor`.

    Attributes:
        spaces: Search spaces the advisor takes, by name; `{"its own": {}}` of one that brings its own.
        trials: How many trials the kit drives it through.
    """

    spaces: ClassVar[Mapping[str, Mapping[str, Any]]] = EXAMPLE_SPACES
    trials: ClassVar[int] = 40

    def make_advisor(self) -> Advisor:
        """A new advisor, as the kernel makes it."""
        raise NotImplementedError("define make_advisor in the subclass")

    def test_proposals_lie_in_the_space(self) -> None:
        for space in self._parsed():
            for parameters in self._drive(space).run(self.trials):
                self._check(space, parameters)

    def test_same_seed_gives_the_same_proposals(self) -> None:
        for space in self._parsed():
            assert self._drive(space, 7).run(self.trials) == self._drive(space, 7).run(self.trials)

    def test_replaying_the_calls_restores_the_advisor(self) -> None:
        for space in self._parsed():
            live = self._drive(space, 3)
            live.run(self.trials)
            resumed = self._advisor(space, 3)
            live.replay(resumed)
            for number in range(1000, 1004):
                assert _next(resumed, number) == _next(live.advisor, number)

    def test_constraints_do_no_harm(self) -> None:
        """Whether it knows them or the kernel hides them."""
        constrained = Objectives(constraints={"default": Bound(max=0)})
        for space in self._parsed():
            first, resumed = (fitted(self._advisor(space, 3), constrained) for _ in range(2))
            live = Drive(first, _scored, intermediates=4, seed=3)
            live.run(self.trials)
            live.replay(resumed)
            for number in range(1000, 1004):
                assert _next(resumed, number) == _next(live.advisor, number)

    def test_only_failures_end_or_go_on_but_never_hang(self) -> None:
        for space in self._parsed():
            self._drive(space, failing=1.0).run(self.trials)  # Drive asserts that it cannot hang

    def test_restarted_trial_begins_again(self) -> None:
        for space in self._parsed():
            advisor = self._advisor(space)
            parameters = advisor.propose(0)
            assert parameters is not None
            advisor.register_pending(0, parameters)
            for _ in range(2):
                advisor.report_intermediate(0, 1.0)
                advisor.trial_restart(0)
            advisor.trial_end(0, TrialState.SUCCEEDED, 1.0)

    def test_imported_data_is_taken(self) -> None:
        for space in self._parsed():
            advisor = self._advisor(space)
            points = self._others(space, 10)
            advisor.import_data([Observation(point, float(rank)) for rank, point in enumerate(points)])
            parameters = _next(advisor, 0)
            if isinstance(parameters, dict):
                self._check(space, parameters)

    def _parsed(self) -> list[SearchSpace]:
        own = not self.make_advisor().needs_space
        return [SearchSpace.parse(space, allow_empty=own) for space in self.spaces.values()]

    def _check(self, space: SearchSpace, parameters: Parameters) -> None:
        check_configuration(parameters, space, None if len(space) else self._advisor(space), extra=True)

    def _others(self, space: SearchSpace, count: int) -> list[Parameters]:
        """Configurations that the advisor at hand did not propose."""
        if len(space):
            rng = self.make_advisor().rng(10**6)
            return [space.sample(rng) for _ in range(count)]
        return self._drive(space, 99).run(count)[:count]

    def _advisor(self, space: SearchSpace, seed: int = 0) -> Advisor:
        advisor = self.make_advisor()
        advisor.set_seed(seed)
        advisor.update_search_space(space)
        return advisor

    def _drive(self, space: SearchSpace, seed: int = 0, failing: float = 0.1) -> Drive:
        advisor = self._advisor(space, seed)
        return Drive(advisor, lambda p: len(json.dumps(p)) / 10, failing=failing, intermediates=4, seed=seed)


def _scored(parameters: Parameters) -> Score:
    """What is long breaks a constraint."""
    length = len(json.dumps(parameters))
    return Score((length / 10,), max(0.0, length / 40 - 1.0))


def _next(advisor: Advisor, number: int) -> Parameters | str | None:
    try:
        return advisor.propose(number)
    except NoMoreTrial:
        return "no more"
