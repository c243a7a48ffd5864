"""Combinations of values that no trial may have, and choices whose options have an order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tune_core import SearchSpace, SearchSpaceError

FLAT = {
    "optimizer": {"_type": "choice", "_value": ["sgd", "adam", "lbfgs"]},
    "momentum": {"_type": "uniform", "_value": [0, 1]},
    "size": {"_type": "choice", "_value": ["small", "medium", "large"], "_ordered": True},
    "layers": {"_type": "randint", "_value": [1, 9]},
}
NESTED = {
    "layer": {
        "_type": "choice",
        "_value": [
            {"_name": "Conv", "kernel": {"_type": "choice", "_value": [1, 3, 5]}},
            {"_name": "Dense"},
        ],
    },
    "pool": {"_type": "choice", "_value": ["max", "none"]},
}


def parse(space: dict[str, Any], *forbidden: dict[str, Any]) -> SearchSpace:
    return SearchSpace.parse({**space, "_forbidden": list(forbidden)})


def flat(**changes: Any) -> dict[str, Any]:
    return {"optimizer": "sgd", "momentum": 0.5, "size": "small", "layers": 2, **changes}


@pytest.mark.parametrize(
    ("clause", "parameters", "expected"),
    [
        ({"optimizer": "lbfgs", "momentum": {"min": 0.1}}, flat(optimizer="lbfgs"), True),
        ({"optimizer": "lbfgs", "momentum": {"min": 0.6}}, flat(optimizer="lbfgs"), False),
        ({"optimizer": "lbfgs", "momentum": {"min": 0.1}}, flat(), False),
        ({"optimizer": ["sgd", "adam"], "layers": 2}, flat(), True),
        ({"optimizer": ["sgd", "adam"], "layers": 2.0}, flat(optimizer="adam"), True),
        ({"size": {"min": "medium"}}, flat(size="large"), True),
        ({"size": {"min": "medium"}}, flat(), False),
        ({"layers": {"min": 3, "max": 5}}, flat(layers=5), True),
        ({"layers": {"min": 3, "max": 5}}, flat(layers=6), False),
    ],
)
def test_clause_fits(clause: dict[str, Any], parameters: dict[str, Any], expected: bool) -> None:
    space = parse(FLAT, clause)
    assert space.is_forbidden(parameters) is expected
    assert space.contains(parameters) is not expected


def test_clause_of_a_branch_fits_only_in_it() -> None:
    space = parse(NESTED, {"layer.Conv.kernel": [3, 5], "pool": "none"}, {"layer": "Dense", "pool": "max"})
    assert space.is_forbidden({"layer": {"_name": "Conv", "kernel": 5}, "pool": "none"})
    assert not space.is_forbidden({"layer": {"_name": "Conv", "kernel": 1}, "pool": "none"})
    assert not space.is_forbidden({"layer": {"_name": "Dense"}, "pool": "none"})
    assert space.is_forbidden({"layer": {"_name": "Dense"}, "pool": "max"})
    assert space.size == len(list(space.grid())) == 5


def test_forbidden_configuration_is_refused_with_the_clause() -> None:
    space = parse(FLAT, {"optimizer": "lbfgs", "momentum": {"min": 0.1}})
    with pytest.raises(SearchSpaceError, match=r"with momentum from 0\.1 to the greatest is"):
        space.check(flat(optimizer="lbfgs"))


def test_samples_are_allowed_and_repeatable() -> None:
    space = parse(FLAT, {"optimizer": ["sgd", "adam"]}, {"layers": {"max": 6}})
    first, second = ([space.sample(np.random.default_rng(seed)) for seed in range(50)] for _ in range(2))
    assert first == second
    assert all(each["optimizer"] == "lbfgs" and each["layers"] > 6 for each in first)


def test_repair_changes_as_little_as_need_be() -> None:
    space = parse(FLAT, {"optimizer": "lbfgs", "momentum": {"min": 0.1}})
    before = {**flat(optimizer="lbfgs"), "TRIAL_BUDGET": 9}
    for seed in range(20):
        after = space.repair(before, np.random.default_rng(seed))
        assert space.contains(after, extra=True)
        changed = {name for name in before if before[name] != after[name]}
        assert changed <= {"optimizer", "momentum"}
    assert space.repair(flat(), np.random.default_rng(0)) == flat()


def test_repair_draws_what_a_new_branch_holds() -> None:
    space = parse(NESTED, {"layer": "Dense"})
    dense = {"layer": {"_name": "Dense"}, "pool": "max"}
    found = {space.repair(dense, np.random.default_rng(seed))["layer"]["kernel"] for seed in range(40)}
    assert found == {1, 3, 5}


def test_what_leaves_nothing_says_so() -> None:
    space = parse(FLAT, {"optimizer": ["sgd", "adam", "lbfgs"]})
    with pytest.raises(SearchSpaceError, match="_forbidden leaves next to none"):
        space.sample(np.random.default_rng(0))


def test_what_is_no_configuration_is_not_forbidden() -> None:
    space = parse(FLAT, {"optimizer": "sgd"})
    assert not space.is_forbidden({"something": "else"})
    assert space.repair({"something": "else"}, np.random.default_rng(0)) == {"something": "else"}


def test_parameter_may_be_called_forbidden() -> None:
    space = SearchSpace.parse({"_forbidden": {"_type": "choice", "_value": [1, 2]}})
    assert space.names == ("_forbidden",)
    assert not space.has_forbidden


def test_options_that_are_lists_are_values() -> None:
    space = SearchSpace.parse(
        {"shape": {"_type": "choice", "_value": [[1, 2], [3, 4]]}, "_forbidden": [{"shape": [1, 2]}]}
    )
    assert list(space.grid()) == [{"shape": [3, 4]}]


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ({"optimiser": "sgd"}, r"_forbidden\[0\].optimiser: no such parameter; did you mean 'optimizer'"),
        ({"optimizer": "sgdd"}, "is not one of the options; did you mean 'sgd'"),
        ({"layers": [1, 99]}, "99 is not between 1 and 8"),
        ({"optimizer": {"min": "sgd"}}, "min and max go with numbers and ordered choices"),
        ({"momentum": {"min": "low"}}, "'low' is not a number"),
        ({}, r"_forbidden\[0\]: must be a mapping"),
        ("optimizer", r"_forbidden\[0\]: must be a mapping"),
    ],
)
def test_wrong_clause_is_named(clause: Any, message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        parse(FLAT, clause)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"_type": "uniform", "_value": [0, 1], "_ordered": True}, "_ordered goes with the type choice"),
        ({"_type": "choice", "_value": [1, 2], "_ordered": "yes"}, "_ordered is true or false, not 'yes'"),
        (
            {"_type": "choice", "_value": [{"_name": "a"}], "_ordered": True},
            "does not go with a nested choice",
        ),
    ],
)
def test_wrong_order_is_named(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        SearchSpace.parse({"x": spec})


def test_only_some_choices_are_ordered() -> None:
    space = SearchSpace.parse(FLAT)
    assert [leaf.domain.is_ordered for leaf in space] == [False, True, True, True]
