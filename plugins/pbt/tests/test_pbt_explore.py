"""Explore: the step of every type, drawing anew, and what nested choices and forbidden values do."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from tune_pbt.explore import explored, stepped

from tune_core import SearchSpace
from tune_core.testing.spaces import EXAMPLE_SPACES


def domain(kind: str, *value: Any) -> Any:
    return SearchSpace.parse({"x": {"_type": kind, "_value": list(value)}})["x"].domain


STEPS = [
    # type, value, from, up, down: with a factor of 0.2
    ("choice", ["a", "b", "c"], "b", "c", "a"),
    ("choice", ["a", "b", "c"], "a", "b", "a"),
    ("choice", ["a", "b", "c"], "c", "c", "b"),
    ("randint", [2, 9], 5, 6, 4),
    ("randint", [2, 9], 2, 3, 2),
    ("randint", [2, 9], 8, 8, 7),
    ("uniform", [-1, 4], 1.5, 2.5, 0.5),
    ("uniform", [-1, 4], 3.5, 4.0, 2.5),
    ("uniform", [-1, 4], -0.5, 0.5, -1.0),
    ("quniform", [0, 1, 0.25], 0.5, 0.75, 0.25),
    ("quniform", [2, 10, 5], 2, 5, 2),
    ("quniform", [2, 10, 5], 10, 10, 5),
    ("quniform", [0, 12, 5], 10, 10, 5),
    ("loguniform", [1e-5, 1], 1e-3, 1e-2, 1e-4),
    ("loguniform", [1e-5, 1], 0.5, 1.0, 0.05),
    ("qloguniform", [1, 256, 8], 16, 24, 8),
    ("qloguniform", [1, 256, 8], 1, 8, 1),
    ("normal", [3, 0.5], 3.5, 3.6, 3.4),
    ("qnormal", [0, 10, 2], -4, -2, -6),
    ("lognormal", [0, 1], 1.0, math.exp(0.2), math.exp(-0.2)),
    ("qlognormal", [2, 1, 1], 3, 4, 2),
    ("qlognormal", [2, 1, 1], 0, 1, 0),
]


@pytest.mark.parametrize(("kind", "value", "here", "above", "below"), STEPS)
def test_step_goes_up_and_down(kind: str, value: list[Any], here: Any, above: Any, below: Any) -> None:
    one = domain(kind, *value)
    for up, expected in ((True, above), (False, below)):
        found = stepped(one, here, up, 0.2)
        assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)
        assert type(found) is type(one.value(0)) if kind != "choice" else True
        assert one.problem(found) is None


@pytest.mark.parametrize("kind", ["normal", "lognormal"])
def test_steps_of_unbounded_types_end_somewhere(kind: str) -> None:
    one = domain(kind, 3, 50)
    value = one.value(one.snap(1.0))
    for _ in range(200):
        value = stepped(one, value, True, 1.0)
    assert math.isfinite(value)
    assert one.problem(value) is None


def test_layers_and_inputs_step_to_their_neighbours() -> None:
    raw = {
        "op": {"_type": "layer_choice", "_value": ["conv", "pool", "none"]},
        "in": {"_type": "input_choice", "_value": {"candidates": ["a", "b", "c"], "n_chosen": 1}},
    }
    space = SearchSpace.parse(raw)
    assert stepped(space["op"].domain, {"_value": "pool", "_idx": 1}, True, 0.2) == {
        "_value": "none",
        "_idx": 2,
    }
    assert stepped(space["in"].domain, {"_value": ["b"], "_idx": [1]}, False, 0.2) == {
        "_value": ["a"],
        "_idx": [0],
    }


def test_every_parameter_is_stepped_up_or_down_as_likely() -> None:
    space = SearchSpace.parse({name: {"_type": "uniform", "_value": [0, 10]} for name in "ab"})
    rng = np.random.default_rng(0)
    found = Counter(tuple(explored(space, {"a": 5.0, "b": 5.0}, 0.2, 0.0, rng).values()) for _ in range(4000))
    assert set(found) == {(3.0, 3.0), (3.0, 7.0), (7.0, 3.0), (7.0, 7.0)}
    assert list(found.values()) == pytest.approx([1000] * 4, abs=165)  # 6 sigma


def test_a_share_of_parameters_is_drawn_anew() -> None:
    space = SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 10]}})
    rng = np.random.default_rng(0)
    found = [explored(space, {"x": 5.0}, 0.2, 0.25, rng)["x"] for _ in range(4000)]
    drawn = [x for x in found if x not in (3.0, 7.0)]
    assert len(drawn) == pytest.approx(1000, abs=165)  # 6 sigma
    assert np.mean(drawn) == pytest.approx(5.0, abs=6 * 10 / math.sqrt(12 * 1000))
    assert min(drawn) < 1
    assert max(drawn) > 9


@pytest.mark.parametrize("name", list(EXAMPLE_SPACES))
@pytest.mark.parametrize("resample", [0.0, 0.25, 1.0])
def test_what_is_explored_lies_in_the_space(name: str, resample: float) -> None:
    space = SearchSpace.parse(EXAMPLE_SPACES[name])
    rng = np.random.default_rng(0)
    configuration = space.sample(rng)
    for _ in range(200):
        configuration = explored(space, configuration, 0.2, resample, rng)
        space.check(configuration)


NESTED = SearchSpace.parse(
    {
        "lr": {"_type": "uniform", "_value": [0, 1]},
        "net": {
            "_type": "choice",
            "_value": [
                {"_name": "small"},
                {"_name": "wide", "units": {"_type": "randint", "_value": [1, 100]}},
                {"_name": "deep", "layers": {"_type": "randint", "_value": [1, 100]}},
            ],
        },
    }
)


def test_nested_choices_step_to_the_next_branch_and_draw_what_it_holds() -> None:
    rng = np.random.default_rng(0)
    start = {"lr": 0.5, "net": {"_name": "wide", "units": 50}}
    nets = [explored(NESTED, start, 0.2, 0.0, rng)["net"] for _ in range(300)]
    assert {net["_name"] for net in nets} == {"small", "deep"}
    assert len({net["layers"] for net in nets if net["_name"] == "deep"}) > 50
    # At an end a step back is none: the branch stays, and what it holds takes its own step.
    start = {"lr": 0.5, "net": {"_name": "deep", "layers": 50}}
    stays = [explored(NESTED, start, 0.2, 0.0, rng)["net"] for _ in range(300)]
    assert {net["layers"] for net in stays if net["_name"] == "deep"} == {49, 51}


def test_forbidden_combinations_are_repaired() -> None:
    space = SearchSpace.parse(
        {
            "x": {"_type": "randint", "_value": [0, 4]},
            "y": {"_type": "randint", "_value": [0, 4]},
            "_forbidden": [{"x": 2, "y": 2}, {"x": 2, "y": 0}],
        }
    )
    rng = np.random.default_rng(0)
    for _ in range(200):
        space.check(explored(space, {"x": 1, "y": 1}, 0.2, 0.0, rng))
