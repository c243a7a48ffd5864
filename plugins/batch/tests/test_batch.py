"""Batch runs its list: what trials receive, what is skipped, what is refused."""

from typing import Any

import pytest
from tune_batch.tuner import BatchTuner

from tune_core import AskTell, NoMoreTrial, Observation, SearchSpace, SearchSpaceError

LIST = [
    {"optimizer": "Adam", "lr": 0.001},
    {"optimizer": "SGD", "lr": 1, "momentum": 0.9},
    {"epochs": [1, 2]},
]


def space_of(options: list[Any], name: str = "combine_params") -> SearchSpace:
    return SearchSpace.parse({name: {"_type": "choice", "_value": options}})


def rest(tuner: BatchTuner) -> list[Any]:
    """All that is left to run."""
    left = []
    while True:
        try:
            left.append(tuner.generate_parameters(len(left)))
        except NoMoreTrial:
            return left
        tuner.register_pending(len(left), left[-1])


def test_batch_gives_each_object_as_it_is_in_the_order_of_the_list() -> None:
    assert [asked.parameters for asked in AskTell("BatchTuner", space_of(LIST))] == LIST


def test_batch_gives_a_plain_value_under_its_key() -> None:
    assert [asked.parameters for asked in AskTell("Batch", space_of([3, "a"], "x"))] == [{"x": 3}, {"x": "a"}]


@pytest.mark.parametrize("done", [LIST[1], {"combine_params": LIST[1]}, {**LIST[1], "lr": 1.0}])
def test_batch_skips_what_was_imported_in_either_form(done: dict[str, Any]) -> None:
    tuner = BatchTuner()
    tuner.update_search_space(space_of(LIST))
    tuner.import_data([Observation(done, 0.5), Observation({"optimizer": "unknown"}, 0.1)])
    assert rest(tuner) == [LIST[0], LIST[2]]


def test_batch_knows_its_configurations_without_the_key_around_them() -> None:
    tuner = BatchTuner()
    tuner.update_search_space(space_of([{"lr": 1, "layers": [2, 3]}, 5]))
    assert tuner.takes({"lr": 1, "layers": [2, 3]})
    assert not tuner.takes({"lr": 1, "layers": [2, 4]})
    assert not tuner.takes({"lr": 1})


def test_batch_goes_on_from_what_was_registered() -> None:
    tuner = BatchTuner()
    tuner.update_search_space(space_of(LIST))
    tuner.register_pending(0, LIST[0])
    assert rest(tuner) == LIST[1:]


def test_batch_runs_what_a_longer_list_adds() -> None:
    tuner = BatchTuner()
    tuner.update_search_space(space_of(LIST[:2]))
    assert rest(tuner) == LIST[:2]
    tuner.update_search_space(space_of([LIST[2], *LIST[:2]]))
    assert rest(tuner) == LIST[2:]


def test_changing_a_proposal_does_not_change_the_list() -> None:
    tuner = BatchTuner()
    tuner.update_search_space(space_of(LIST))
    tuner.generate_parameters(0).clear()
    assert tuner.generate_parameters(0) == {"optimizer": "Adam", "lr": 0.001}


def test_batch_refuses_more_than_one_key_and_says_what_to_do() -> None:
    two = SearchSpace.parse({name: {"_type": "choice", "_value": [1]} for name in ("a", "b")})
    with pytest.raises(
        SearchSpaceError, match=r"exactly one choice, this one has 2 parameters: a, b\n.*GridSearch"
    ):
        BatchTuner().update_search_space(two)
    with pytest.raises(
        SearchSpaceError, match="x: Batch takes one choice of whole configurations, not uniform"
    ):
        BatchTuner().update_search_space(SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 1]}}))
