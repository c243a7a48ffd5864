"""Changing some values of a configuration: which ones change, and that nothing else does."""

from typing import Any

import numpy as np

from tune_core import SearchSpace
from tune_core.space import active_leaves, changed, value_of
from tune_core.testing.spaces import EXAMPLE_SPACES

NESTED = SearchSpace.parse(EXAMPLE_SPACES["nested"])
LR, MODEL, TREES, SPLIT, SHARE, UNITS = range(6)
FRESH = [0.5] * 6


def forest(**more: Any) -> dict[str, Any]:
    inside = {"_name": "forest", "trees": 100, "split": {"_name": "random", "share": 0.25}}
    return {"lr": 0.1, "model": {**inside, **more}}


def paths(parameters: dict[str, Any]) -> list[str]:
    return [leaf.path for leaf in active_leaves(NESTED, parameters)]


def test_active_leaves_are_those_with_a_value() -> None:
    assert [leaf.index for leaf in active_leaves(NESTED, forest())] == [LR, MODEL, TREES, SPLIT, SHARE]
    assert [leaf.index for leaf in active_leaves(NESTED, forest(split={"_name": "best"}))] == [0, 1, 2, 3]
    rng = np.random.default_rng(0)
    for raw in EXAMPLE_SPACES.values():
        space = SearchSpace.parse(raw)
        for parameters in (space.sample(rng) for _ in range(20)):
            active = space.encode([parameters])[1][0]
            assert [leaf.index for leaf in active_leaves(space, parameters)] == np.flatnonzero(
                active
            ).tolist()


def test_value_of_a_nested_choice_is_the_name_of_its_branch() -> None:
    values = [value_of(NESTED, forest(), NESTED.leaves[index]) for index in (LR, MODEL, TREES, SPLIT, SHARE)]
    assert values == [0.1, "forest", 100, "random", 0.25]


def test_what_is_not_changed_keeps_its_very_value() -> None:
    before = {**forest(), "TRIAL_BUDGET": 3, "lr": 0.1 + 0.2}
    after = changed(NESTED, before, {TREES: 7})
    assert after == {**forest(trees=7), "TRIAL_BUDGET": 3, "lr": 0.1 + 0.2}
    assert before["model"]["trees"] == 100
    assert after["model"]["split"] is not before["model"]["split"]


def test_several_values_change_at_once() -> None:
    after = changed(NESTED, forest(), {SHARE: 0.75, LR: 0.5})
    assert after == {**forest(split={"_name": "random", "share": 0.75}), "lr": 0.5}


def test_another_branch_comes_with_fresh_parameters() -> None:
    fresh = [0.0, 0.0, 1.0, 0.9, 0.125, 0.0]
    after = changed(NESTED, {"lr": 0.1, "model": {"_name": "linear"}}, {MODEL: "forest"}, fresh)
    assert after == {
        "lr": 0.1,
        "model": {"_name": "forest", "trees": 199, "split": {"_name": "random", "share": 0.125}},
    }
    inner = changed(NESTED, forest(split={"_name": "best"}), {SPLIT: "random"}, fresh)
    assert inner == forest(split={"_name": "random", "share": 0.125})


def test_the_same_branch_keeps_its_parameters() -> None:
    assert changed(NESTED, forest(), {MODEL: "forest", SPLIT: "random"}, FRESH) == forest()


def test_a_change_in_a_branch_that_is_left_does_not_count() -> None:
    after = changed(NESTED, forest(), {MODEL: "linear", TREES: 7, SHARE: 0.5}, FRESH)
    assert after == {"lr": 0.1, "model": {"_name": "linear"}}


def test_a_value_that_is_a_structure_is_copied() -> None:
    option = {"kernel": [3, 3]}
    space = SearchSpace.parse({"c": {"_type": "choice", "_value": [option, {"kernel": [5]}]}})
    after = changed(space, {"c": {"kernel": [5]}}, {0: option})
    after["c"]["kernel"].append(1)
    assert option == {"kernel": [3, 3]}
