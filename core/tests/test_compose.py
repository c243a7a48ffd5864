"""A tuner and an assessor as one algorithm: repeats, the end of a finite space, who hears what."""

from __future__ import annotations

from typing import Any

import pytest

from tune_core.algorithms.base import Assessor, Observation, Tuner
from tune_core.algorithms.compose import TunerAdvisor
from tune_core.errors import NoMoreTrial
from tune_core.space import SearchSpace
from tune_core.trial import Parameters, TrialState

FINITE = SearchSpace.parse(
    {"a": {"_type": "choice", "_value": ["x", "y", "z"]}, "b": {"_type": "randint", "_value": [0, 2]}}
)


class Constant(Tuner):
    """Proposes one configuration for ever."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or {"a": "y", "b": 1}
        self.pending: list[tuple[int, Parameters]] = []
        self.results: list[tuple[int, float]] = []
        self.ends: list[tuple[int, bool]] = []

    def update_search_space(self, search_space: SearchSpace) -> None:
        pass

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return dict(self.parameters)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        self.pending.append((parameter_id, parameters))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self.results.append((parameter_id, value))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self.ends.append((parameter_id, success))


def made(tuner: Tuner, space: SearchSpace = FINITE, assessor: Assessor | None = None) -> TunerAdvisor:
    advisor = TunerAdvisor(tuner, assessor)
    advisor.set_seed(1)
    advisor.update_search_space(space)
    return advisor


def take(advisor: TunerAdvisor, number: int) -> Parameters:
    parameters = advisor.propose(number)
    assert parameters is not None
    advisor.register_pending(number, parameters)
    return parameters


def test_repeats_are_replaced_until_the_space_is_used_up() -> None:
    advisor = made(Constant())
    found = [take(advisor, number) for number in range(6)]
    assert found[0] == {"a": "y", "b": 1}
    assert {FINITE.key(each) for each in found} == {FINITE.key(each) for each in FINITE.grid()}
    for number in (6, 7):
        with pytest.raises(NoMoreTrial, match="all 6 configurations"):
            advisor.propose(number)


def test_tuner_is_told_the_replacement() -> None:
    tuner = Constant()
    advisor = made(tuner)
    found = [take(advisor, number) for number in range(3)]
    assert tuner.pending == list(enumerate(found))


def test_imported_configurations_are_not_proposed_again() -> None:
    advisor = made(Constant())
    advisor.import_data([Observation(point, 0.0) for point in FINITE.grid() if point["a"] != "z"])
    found = [take(advisor, number) for number in range(2)]
    assert sorted(each["b"] for each in found) == [0, 1]
    assert {each["a"] for each in found} == {"z"}
    with pytest.raises(NoMoreTrial):
        advisor.propose(2)


def test_new_search_space_may_be_searched_after_the_old_one_was_used_up() -> None:
    advisor = made(Constant())
    for number in range(6):
        take(advisor, number)
    wider = SearchSpace.parse(
        {"a": {"_type": "choice", "_value": ["x", "y", "z"]}, "b": {"_type": "randint", "_value": [0, 3]}}
    )
    advisor.update_search_space(wider)
    assert {take(advisor, number)["b"] for number in range(6, 9)} == {2}


def test_used_up_space_says_nothing_of_a_different_one() -> None:
    advisor = made(Constant())
    for number in range(6):
        take(advisor, number)
    other = SearchSpace.parse(
        {"a": {"_type": "choice", "_value": ["u", "v", "w"]}, "b": {"_type": "randint", "_value": [5, 7]}}
    )
    advisor.tuner.parameters = {"a": "u", "b": 5}  # type: ignore[attr-defined]
    advisor.update_search_space(other)
    found = [take(advisor, number) for number in range(6, 12)]
    assert found[0] == {"a": "u", "b": 5}
    assert {other.key(each) for each in found} == {other.key(each) for each in other.grid()}


def test_float_for_an_integer_is_the_same_configuration() -> None:
    advisor = made(Constant({"a": "x", "b": 1}))
    take(advisor, 0)
    advisor.tuner.parameters = {"a": "x", "b": 1.0}  # type: ignore[attr-defined]
    assert FINITE.key(take(advisor, 1)) != FINITE.key({"a": "x", "b": 1})


def test_tuner_that_deduplicates_itself_is_left_alone() -> None:
    class Own(Constant):
        deduplicates = True

    advisor = made(Own())
    assert take(advisor, 0) == take(advisor, 1) == {"a": "y", "b": 1}


def test_proposals_outside_the_space_pass_and_are_deduplicated_as_json() -> None:
    advisor = made(Constant({"a": "x", "b": 1, "TRIAL_BUDGET": 3}))
    assert take(advisor, 0)["TRIAL_BUDGET"] == 3
    assert "TRIAL_BUDGET" not in take(advisor, 1)


def test_replacements_depend_on_seed_and_number_alone() -> None:
    def run() -> list[Any]:
        advisor = made(Constant())
        return [take(advisor, number) for number in range(6)]

    assert run() == run()


class Counts(Assessor):
    def __init__(self) -> None:
        self.heard: list[tuple[str, list[float]]] = []
        self.ends: list[tuple[str, bool]] = []

    def assess_trial(self, trial_id: str, history: Any) -> bool:
        self.heard.append((trial_id, list(history)))
        return len(history) < 3

    def trial_end(self, trial_id: str, success: bool) -> None:
        self.ends.append((trial_id, success))


def test_assessor_hears_growing_histories_and_ends_of_those_that_reported() -> None:
    assessor = Counts()
    advisor = made(Constant(), assessor=assessor)
    for number in range(2):
        take(advisor, number)
    assert [advisor.report_intermediate(0, value) for value in (3.0, 2.0, 1.0)] == [True, True, False]
    assert assessor.heard == [("0", [3.0]), ("0", [3.0, 2.0]), ("0", [3.0, 2.0, 1.0])]
    advisor.trial_end(0, TrialState.EARLY_STOPPED, None)
    advisor.trial_end(1, TrialState.SUCCEEDED, 0.5)
    assert assessor.ends == [("0", False)]


def test_tuner_hears_results_before_ends() -> None:
    tuner = Constant()
    advisor = made(tuner)
    for number in range(3):
        take(advisor, number)
    advisor.trial_end(1, TrialState.SUCCEEDED, 0.25)
    advisor.trial_end(0, TrialState.FAILED, None)
    assert tuner.results == [(1, 0.25)]
    assert tuner.ends == [(1, True), (0, False)]


def test_without_an_assessor_intermediate_results_are_not_asked_for() -> None:
    assert not made(Constant()).listens
    assert made(Constant(), assessor=Counts()).listens
