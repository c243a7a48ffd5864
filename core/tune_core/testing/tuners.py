"""What every tuner must hold to."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import pytest

from tune_core.algorithms.base import Advisor, Observation, Tuner
from tune_core.algorithms.compose import TunerAdvisor, check_configuration
from tune_core.algorithms.feasible_first import fitted
from tune_core.errors import NoMoreTrial, SearchSpaceError
from tune_core.objectives import Bound, Objectives, Score
from tune_core.space import SearchSpace
from tune_core.testing.driving import Drive
from tune_core.testing.spaces import EXAMPLE_SPACES
from tune_core.trial import Parameters

__all__ = ["TunerContract"]


class TunerContract:
    """Subclass it, name the class `Test...`, and define `make_tuner`.

    Attributes:
        spaces: Search spaces the tuner takes, by name. Leave out what it cannot take and put it
            into `refused`, or, for an algorithm with a form of its own, give others.
        refused: Search spaces that it must refuse with a SearchSpaceError.
        startup: How many trials it runs before its model has a say; the kit goes past that.

    Of a tuner that brings its own space (`needs_space = False`), `spaces` is `{"its own": {}}`, and its
    proposals are to be configurations that it `takes`.
    """

    spaces: ClassVar[Mapping[str, Mapping[str, Any]]] = EXAMPLE_SPACES
    refused: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    startup: ClassVar[int] = 20

    def make_tuner(self) -> Tuner:
        """A new tuner, as the kernel makes it."""
        raise NotImplementedError("define make_tuner in the subclass")

    def test_proposals_lie_in_the_space(self) -> None:
        for name, space in self._parsed():
            for parameters in self._driven(name, space).proposals:
                self._assert_in(space, parameters, name)

    def test_same_seed_gives_the_same_proposals(self) -> None:
        for name, space in self._parsed():
            again = self._drive(space, seed=5).run(2 * self.startup)
            assert again == self._driven(name, space).proposals, name

    def test_replaying_the_calls_restores_the_tuner(self) -> None:
        """The promise of `tune resume`: it goes on exactly as an undisturbed run would."""
        for name, space in self._parsed():
            live = self._driven(name, space)
            resumed = self._advisor(space, seed=5)
            live.replay(resumed)
            for number in range(1000, 1004):
                assert _next(resumed, number) == _next(live.advisor, number), name

    def test_finite_space_is_used_up_without_repeats(self) -> None:
        space = self._finite()
        if space is None:
            return
        drive = self._drive(space, failing=0.0)
        proposals = drive.run(int(space.size) + 5)
        assert drive.exhausted
        assert len(proposals) == space.size
        assert len({space.key(parameters) for parameters in proposals}) == space.size

    def test_waits_for_no_result(self) -> None:
        """Ten trials at once before any result: `None` for ever would hang an experiment."""
        for name, space in self._parsed():
            advisor = self._advisor(space)
            for number in range(10):
                parameters = _next(advisor, number)
                if not isinstance(parameters, dict):
                    break
                advisor.register_pending(number, parameters)
                self._assert_in(space, parameters, name)

    def test_only_failures_do_no_harm(self) -> None:
        for name, space in self._parsed():
            for parameters in self._drive(space, failing=1.0).run(self.startup + 5):
                self._assert_in(space, parameters, name)

    @pytest.mark.parametrize("value", [0.0, 1e300, -1e300, 1e-300])
    def test_extreme_and_equal_results_do_no_harm(self, value: float) -> None:
        for name, space in self._parsed():
            for parameters in self._drive(space, loss=lambda _: value).run(self.startup + 5):
                self._assert_in(space, parameters, name)

    def test_learns_from_trials_it_did_not_propose(self) -> None:
        """The user's own trials, and what the kernel proposed in place of a repeat."""
        for name, space in self._parsed():
            advisor = self._advisor(space)
            for number, parameters in enumerate(self._others(space, self.startup + 5)):
                advisor.tuner.register_pending(number, parameters)
                advisor.tuner.receive_trial_result(number, parameters, float(number))
                advisor.tuner.trial_end(number, success=True)
            try:
                proposed = advisor.tuner.generate_parameters(self.startup + 5)
            except NoMoreTrial:  # a small space is used up by then
                continue
            if proposed is not None:
                self._assert_in(space, proposed, name)

    def test_imported_data_is_taken(self) -> None:
        for name, space in self._parsed():
            advisor = self._advisor(space)
            points = self._others(space, self.startup + 5)
            advisor.import_data([Observation(point, float(rank)) for rank, point in enumerate(points)])
            parameters = _next(advisor, 0)
            if isinstance(parameters, dict):
                self._assert_in(space, parameters, name)

    def test_constraints_do_no_harm(self) -> None:
        """Whether it knows them or the kernel hides them; in the first space nothing keeps them."""
        for number, (name, space) in enumerate(self._parsed()):
            self._assert_keeps_promises(space, name, objectives=1, limit=5.0 if number else -1.0)

    @pytest.mark.parametrize("objectives", [2, 3])
    def test_several_objectives_keep_the_promises(self, objectives: int) -> None:
        """Of a tuner with `many_objectives`: proposals in the space, and a resume that goes on as before,
        with constraints as well."""
        if not self.make_tuner().many_objectives:
            return
        for name, space in self._parsed():
            for limit in (math.inf, 5.0):
                self._assert_keeps_promises(space, name, objectives, limit)

    @pytest.mark.parametrize("value", [0.0, 1e300, -1e300, 1e-300])
    def test_extreme_and_equal_objectives_do_no_harm(self, value: float) -> None:
        if not self.make_tuner().many_objectives:
            return
        for name, space in self._parsed():
            for parameters in self._drive(space, loss=lambda _: Score((value, -value))).run(self.startup + 5):
                self._assert_in(space, parameters, name)

    def test_new_search_space_is_obeyed(self) -> None:
        if "uniform" not in self.spaces:
            return
        space = SearchSpace.parse(self.spaces["uniform"])
        drive = self._drive(space)
        drive.run(self.startup + 5)
        moved = SearchSpace.parse({name: {"_type": "uniform", "_value": [100, 101]} for name in space.names})
        drive.advisor.update_search_space(moved)
        for number in range(500, 505):
            parameters = _next(drive.advisor, number)
            assert isinstance(parameters, dict)
            self._assert_in(moved, parameters, "the new space")
            drive.advisor.register_pending(number, parameters)

    def test_proposals_are_the_callers_to_change(self) -> None:
        for name, space in self._parsed():
            first, second = self._advisor(space), self._advisor(space)
            for number in range(3):
                changed, kept = _next(first, number), _next(second, number)
                assert changed == kept, name
                if not isinstance(changed, dict) or not isinstance(kept, dict):
                    break
                for advisor in (first, second):
                    advisor.register_pending(number, copy.deepcopy(kept))
                changed.clear()

    def test_refuses_what_it_cannot_search(self) -> None:
        for space in self.refused.values():
            tuner = self.make_tuner()
            tuner.set_seed(0)
            with pytest.raises(SearchSpaceError):
                tuner.update_search_space(SearchSpace.parse(space))

    # What the tests are made of.

    def _parsed(self) -> list[tuple[str, SearchSpace]]:
        own = not self.make_tuner().needs_space
        return [(name, SearchSpace.parse(space, allow_empty=own)) for name, space in self.spaces.items()]

    def _others(self, space: SearchSpace, count: int) -> list[Parameters]:
        """Configurations that the tuner at hand did not propose."""
        if len(space):
            rng = self.make_tuner().rng(10**6)
            return [space.sample(rng) for _ in range(count)]
        return self._drive(space, seed=99).run(count)

    def _assert_in(self, space: SearchSpace, parameters: Parameters, name: str) -> None:
        algorithm = None if len(space) else self._advisor(space)
        try:
            check_configuration(parameters, space, algorithm)
        except SearchSpaceError as err:
            raise AssertionError(f"space {name!r}: proposal {parameters} is not in it: {err}") from None

    def _finite(self) -> SearchSpace | None:
        return next((space for _, space in self._parsed() if 1 < space.size < 1000), None)

    def _assert_keeps_promises(self, space: SearchSpace, name: str, objectives: int, limit: float) -> None:
        """Proposals lie in the space, and another tuner that hears the same calls goes on in the same way."""
        first, resumed = (_constrained(self._advisor(space, seed=3)) for _ in range(2))
        live = Drive(first, lambda parameters: _scored(parameters, objectives, limit), seed=3)
        for parameters in live.run(self.startup + 5):
            self._assert_in(space, parameters, name)
        live.replay(resumed)
        for number in range(1000, 1004):
            assert _next(resumed, number) == _next(live.advisor, number), name

    def _driven(self, name: str, space: SearchSpace) -> Drive:
        """Driven past the startup trials, once for all tests of the class: they look at what it did, and
        only that of the resume asks its advisor for more."""
        drives = _drives.setdefault(type(self), {})
        if name not in drives:
            drives[name] = self._drive(space, seed=5)
            drives[name].run(2 * self.startup)
        return drives[name]

    def _advisor(self, space: SearchSpace, seed: int = 0) -> TunerAdvisor:
        advisor = TunerAdvisor(self.make_tuner())
        advisor.set_seed(seed)
        advisor.update_search_space(space)
        return advisor

    def _drive(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        failing: float = 0.1,
        loss: Callable[[Parameters], float] | None = None,
    ) -> Drive:
        return Drive(self._advisor(space, seed), loss or _loss, failing=failing, seed=seed)


_drives: WeakKeyDictionary[type, dict[str, Drive]] = WeakKeyDictionary()


def _constrained(advisor: TunerAdvisor) -> Advisor:
    """As the kernel makes it for an experiment with constraints."""
    return fitted(advisor, Objectives(constraints={"default": Bound(max=0)}))


def _scored(parameters: Parameters, objectives: int, limit: float) -> Score:
    """A few objectives that contradict each other; what is above `limit` breaks a constraint."""
    loss = _loss(parameters)
    values = [loss, -loss, abs(loss - 3.0)][:objectives]
    return Score(values, max(0.0, loss - limit))


def _loss(parameters: Parameters) -> float:
    """Some smooth number of any configuration."""
    text = json.dumps(parameters, sort_keys=True)
    numbers = [value for value in _leaves(parameters) if isinstance(value, (int, float))]
    return sum(abs(number) for number in numbers) + len(text) / 100


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    return [value]


def _next(advisor: TunerAdvisor | Any, number: int) -> Parameters | str | None:
    try:
        proposed: Parameters | None = advisor.propose(number)
    except NoMoreTrial:
        return "no more"
    return proposed
