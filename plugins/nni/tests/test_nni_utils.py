"""`nni.utils` and what algorithms draw with."""

from __future__ import annotations

import random

import numpy as np
import pytest
from nni import parameter_expressions
from nni.utils import (
    MetricType,
    NodeType,
    OptimizeMode,
    convert_dict2tuple,
    extract_scalar_history,
    extract_scalar_reward,
    json2parameter,
    json2space,
    randint_to_quniform,
    split_index,
)

SPACE = {
    "lr": {"_type": "uniform", "_value": [0, 1]},
    "net": {
        "_type": "choice",
        "_value": [{"_name": "conv", "size": {"_type": "randint", "_value": [1, 9]}}, {"_name": "none"}],
    },
    "act": {"_type": "choice", "_value": ["relu", "tanh"]},
}


def test_constants_are_those_of_nni() -> None:
    assert OptimizeMode("maximize") is OptimizeMode.Maximize
    assert (NodeType.INDEX, NodeType.VALUE, NodeType.NAME) == ("_index", "_value", "_name")
    assert (MetricType.PERIODICAL, MetricType.FINAL) == ("PERIODICAL", "FINAL")


def test_reward_is_the_number_or_the_default() -> None:
    assert extract_scalar_reward(3) == 3
    assert extract_scalar_reward({"default": 0.5, "loss": 9}) == 0.5
    assert extract_scalar_reward({"loss": 9}, scalar_key="loss") == 9
    assert extract_scalar_history([1, {"default": 2}]) == [1, 2]


@pytest.mark.parametrize("value", [{"loss": 1}, "1", None, [1], {"default": "x"}])
def test_reward_refuses_what_has_no_number(value: object) -> None:
    with pytest.raises(RuntimeError, match="a dictionary with one under 'default'"):
        extract_scalar_reward(value)


def test_split_index_leaves_values() -> None:
    nested = {
        "net": {"_index": 0, "_value": {"_name": "conv", "size": {"_index": 1, "_value": 4}}},
        "lr": 0.5,
    }
    assert split_index(nested) == {"net": {"_name": "conv", "size": 4}, "lr": 0.5}


def test_configurations_are_hashable_in_any_order() -> None:
    assert hash(convert_dict2tuple({"a": 1, "b": {"c": 2}})) == hash(
        convert_dict2tuple({"b": {"c": 2}, "a": 1})
    )


def test_space_has_a_name_for_each_parameter() -> None:
    assert json2space(SPACE) == [
        "root[lr]-uniform",
        "root[net]-choice",
        "root[net]-choice[conv][size]-randint",
        "root[act]-choice",
    ]


def test_parameters_change_only_where_asked() -> None:
    state = np.random.RandomState(3)
    names = json2space(SPACE)
    first = json2parameter(SPACE, dict.fromkeys(names, True), state)
    assert set(split_index(first)) == {"lr", "net", "act"}
    changed = [json2parameter(SPACE, {"root[lr]-uniform": True}, state, first) for _ in range(5)]
    assert all(each["net"] == first["net"] and each["act"] == first["act"] for each in changed)
    assert len({each["lr"] for each in changed}) == 5
    assert json2parameter(SPACE, {}, state, first) == first


def test_randint_becomes_a_quniform_with_the_same_values() -> None:
    space = {"x": {"_type": "randint", "_value": [2, 5]}, "y": {"_type": "uniform", "_value": [0, 1]}}
    randint_to_quniform(space)
    assert space["x"] == {"_type": "quniform", "_value": [2, 4, 1]}
    assert space["y"]["_type"] == "uniform"


def test_expressions_draw_what_they_say() -> None:
    state = np.random.RandomState(random.Random(0).randrange(100))
    assert {parameter_expressions.randint(2, 5, state) for _ in range(100)} == {2, 3, 4}  # upper is exclusive
    assert {parameter_expressions.quniform(2, 10, 5, state) for _ in range(100)} == {2, 5, 10}
    drawn = [parameter_expressions.lognormal(2, 0.1, state) for _ in range(2000)]
    assert np.mean(np.log(drawn)) == pytest.approx(2, abs=0.02)  # of the logarithm
