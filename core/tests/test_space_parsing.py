"""What a search space may be, and what is said about one that may not."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_core.errors import SearchSpaceError
from tune_core.space import SearchSpace
from tune_core.space.parsing import TYPES

GOOD = {
    "act": {"_type": "choice", "_value": ["relu", "tanh"]},
    "batch": {"_type": "choice", "_value": [16, 32]},
    "opts": {"_type": "choice", "_value": [None, True, 1, [1, 2], {"a": 1}]},
    "n": {"_type": "randint", "_value": [1, 5]},
    "u": {"_type": "uniform", "_value": [0, 1]},
    "qu": {"_type": "quniform", "_value": [2, 10, 5]},
    "lu": {"_type": "loguniform", "_value": [1e-5, 1]},
    "qlu": {"_type": "qloguniform", "_value": [1, 128, 2]},
    "no": {"_type": "normal", "_value": [0, 1]},
    "qno": {"_type": "qnormal", "_value": [0, 10, 3]},
    "ln": {"_type": "lognormal", "_value": [0, 1]},
    "qln": {"_type": "qlognormal", "_value": [1, 1, 2]},
    "layer": {
        "_type": "choice",
        "_value": [
            {"_name": "Empty"},
            {"_name": "Conv", "kernel": {"_type": "choice", "_value": [1, 3]}},
            {
                "_name": "Deep",
                "inner": {
                    "_type": "choice",
                    "_value": [{"_name": "A", "x": {"_type": "uniform", "_value": [0, 1]}}],
                },
            },
        ],
    },
    "op": {"_type": "layer_choice", "_value": ["conv3x3", "pool"]},
    "skip": {"_type": "input_choice", "_value": {"candidates": ["a", "b", "c"], "n_chosen": 2}},
}


def problems(raw: Any) -> list[tuple[str, str]]:
    with pytest.raises(SearchSpaceError) as caught:
        SearchSpace.parse(raw)
    return [(problem.path, problem.message) for problem in caught.value.problems]


def one(kind: Any, value: Any) -> str:
    """What is said about a space whose only parameter `x` is bad."""
    [(path, message)] = problems({"x": {"_type": kind, "_value": value}})
    assert path.startswith("x")
    return message


def test_space_takes_all_types() -> None:
    space = SearchSpace.parse(GOOD)
    assert space.names == tuple(GOOD)
    assert len(space) == len(GOOD)
    assert space.raw == GOOD
    assert [leaf.index for leaf in space.leaves] == list(range(space.dimensions))
    assert [leaf.path for leaf in space.leaves if leaf.parent is not None] == [
        "layer.Conv.kernel",
        "layer.Deep.inner",
        "layer.Deep.inner.A.x",
    ]


def test_leaf_names_the_branch_that_activates_it() -> None:
    space = SearchSpace.parse(GOOD)
    layer = space["layer"]
    kernel = next(leaf for leaf in space.leaves if leaf.path == "layer.Conv.kernel")
    assert (kernel.parent, kernel.branch) == (layer.index, 1)
    assert layer.branches[1] == (kernel,)
    assert layer.parent is None


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("uniform", [5, 3], "low 5 must be less than high 3"),
        ("uniform", [3, 3], "low 3 must be less than high 3"),
        ("uniform", [1], r"uniform takes \[low, high\], not \[1\]"),
        ("uniform", [1, 2, 3], r"uniform takes \[low, high\]"),
        ("uniform", {"low": 1}, r"uniform takes \[low, high\]"),
        ("uniform", [0, float("nan")], "high must be a finite number, not nan"),
        ("uniform", [float("-inf"), 0], "low must be a finite number, not -inf"),
        ("uniform", [False, True], "low must be a number, not False"),
        ("uniform", ["0", 1], "low '0' is a string, not a number"),
        ("uniform", [None, 1], "low must be a number, not None"),
        ("uniform", [-1.7e308, 1.7e308], "too wide for floating point"),
        ("uniform", [0, 10**400], r"beyond 2\*\*53"),
        ("randint", [0.5, 3], "low must be an integer, not 0.5"),
        ("randint", [], r"randint takes \[low, high\], not \[\]"),
        ("randint", [0.5], "high must be an integer, not 0.5"),
        ("randint", [0], "low 0 must be less than high 0"),
        ("randint", [0, 2**60], r"beyond 2\*\*53"),
        ("quniform", [0, 10], r"quniform takes \[low, high, q\]"),
        ("quniform", [0, 10, 0], "q 0 must be greater than 0"),
        ("quniform", [0, 10, -1], "q -1 must be greater than 0"),
        ("quniform", [0, 10, True], "q must be a number, not True"),
        ("quniform", [0, 1e300, 1], "q 1 is too small"),
        ("loguniform", [0, 1], "low 0 must be greater than 0"),
        ("qloguniform", [-1, 1, 1], "low -1 must be greater than 0"),
        ("normal", [0, 0], "sigma 0 must be greater than 0"),
        ("qnormal", [0, 1, 0], "q 0 must be greater than 0"),
        ("lognormal", [1000, 1], "are of the logarithm"),
        ("choice", [], "at least one option"),
        ("choice", "abc", r"choice takes \[option, \.\.\.\], not 'abc'"),
        ("choice", [1, 2, 1], "option 1 occurs twice"),
        ("choice", [1, 1.0], "option 1.0 occurs twice"),
        ("choice", [{"a": 1, "b": 2}, {"b": 2, "a": 1}], "occurs twice"),
        ("choice", [1, float("inf")], "inf is not a number that JSON can hold"),
        ("choice", ["a", "\ud800"], "lone surrogate"),
        ("choice", [{1: 2}], "key 1 is not a string"),
        ("choice", [object()], "which JSON cannot hold"),
        ("choice", [{"_name": "a"}, 3], "option 1 has no _name"),
        ("choice", [{"_name": "a"}, {"_name": "a"}], "occurs twice"),
        ("choice", [{"_name": ""}], "must not be empty"),
        ("choice", [{"_name": 3}], "must be a string, not 3"),
        ("layer_choice", [1, 2], "must be a string, not 1"),
        ("layer_choice", [], "at least one option"),
        ("input_choice", ["a"], "input_choice takes"),
        ("input_choice", {"candidates": ["a"], "n_chosen": 2}, "n_chosen 2 must be a count from 0 to 1"),
        ("input_choice", {"candidates": ["a"], "n_chosen": True}, "n_chosen True must be"),
        ("input_choice", {"candidates": list(map(str, range(80))), "n_chosen": 40}, "too many to number"),
        ("unifrom", [0, 1], "no type 'unifrom', did you mean 'uniform'"),
        ("Choice", [1], "did you mean 'choice'"),
        (None, [1], "no type None"),
        (["choice"], [1], "no type"),
    ],
)
def test_parse_refuses_bad_value(kind: Any, value: Any, said: str) -> None:
    with pytest.raises(SearchSpaceError, match=said):
        SearchSpace.parse({"x": {"_type": kind, "_value": value}})
    assert one(kind, value)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "has no parameter"),
        ([], "must be a mapping"),
        (None, "must be a mapping"),
        ("lr", "must be a mapping"),
        ({"x": [0, 1]}, "x: must be"),
        ({"x": {"_type": "choice"}}, "x: _value missing"),
        ({"x": {"_value": [1]}}, "x: _type missing"),
        ({"x": {}}, "x: _type and _value missing"),
        ({"x": {"_type": "choice", "_value": [1], "_vlaue": 3}}, "x: unknown key '_vlaue'"),
        ({"": {"_type": "choice", "_value": [1]}}, "name must not be empty"),
        ({" ": {"_type": "choice", "_value": [1]}}, "name must not be empty"),
        ({"a\0b": {"_type": "choice", "_value": [1]}}, "NUL"),
        ({"a\udc80": {"_type": "choice", "_value": [1]}}, "lone surrogate"),
        ({True: {"_type": "choice", "_value": [1]}}, "must be a string, not True; put it in quotes"),
    ],
)
def test_parse_refuses_bad_form(raw: Any, said: str) -> None:
    with pytest.raises(SearchSpaceError, match=said):
        SearchSpace.parse(raw)


def test_parse_takes_empty_space_when_told() -> None:
    space = SearchSpace.parse({}, allow_empty=True)
    assert len(space) == 0
    assert space.size == 1
    assert list(space.grid()) == [{}]
    assert bool(space)


def test_parse_tells_all_problems_with_their_places() -> None:
    raw = {
        "lr": {"_type": "uniform", "_value": [5, 3]},
        "ok": {"_type": "uniform", "_value": [0, 1]},
        "layer0": {
            "_type": "choice",
            "_value": [
                {"_name": "Empty"},
                {
                    "_name": "Conv",
                    "kernel_size": {"_type": "randint", "_value": [5, 3]},
                    "bad": {"_type": "x"},
                },
            ],
        },
    }
    with pytest.raises(SearchSpaceError) as caught:
        SearchSpace.parse(raw)
    assert [(problem.path, problem.keys) for problem in caught.value.problems] == [
        ("lr", ("lr", "_value")),
        ("layer0.Conv.kernel_size", ("layer0", "_value", 1, "kernel_size", "_value")),
        ("layer0.Conv.bad", ("layer0", "_value", 1, "bad")),
        ("layer0.Conv.bad", ("layer0", "_value", 1, "bad", "_type")),
    ]
    assert str(caught.value).splitlines()[2] == "  layer0.Conv.kernel_size: low 5 must be less than high 3"


def test_parse_refuses_space_that_holds_itself() -> None:
    options: list[Any] = [1]
    options.append(options)
    assert "levels deep" in problems({"x": {"_type": "choice", "_value": options}})[0][1]


def test_parse_refuses_billion_laughs() -> None:
    value: Any = ["lol"]
    for _ in range(20):
        value = [value] * 10
    assert problems({"x": {"_type": "choice", "_value": value}}) == [("", "more than 100,000 values")]


def test_parse_refuses_too_many_parameters() -> None:
    flat = {f"x{i}": {"_type": "choice", "_value": [1]} for i in range(10_001)}
    assert problems(flat) == [("", "has more than 10,000 parameters")]


def test_space_keeps_its_own_copy() -> None:
    raw = {"x": {"_type": "choice", "_value": [[1], [2]]}}
    space = SearchSpace.parse(raw)
    raw["x"]["_value"].append([3])
    space.raw["x"]["_value"].append([4])
    space.at(0)["x"].append("changed")
    assert space.raw == {"x": {"_type": "choice", "_value": [[1], [2]]}}
    assert space.at(0) == {"x": [1]}


def test_spaces_are_equal_when_their_json_is() -> None:
    spec = {"_type": "uniform", "_value": (0, 1)}
    a, b = SearchSpace.parse({"x": spec, "y": spec}), SearchSpace.parse({"x": spec, "y": spec})
    assert a == b
    assert hash(a) == hash(b)
    assert a != SearchSpace.parse({"y": spec, "x": spec})
    assert SearchSpace.parse(a.raw) == a


def test_parse_and_check_need_no_numpy() -> None:
    code = (
        "import sys; from tune_core.space import SearchSpace;"
        "s = SearchSpace.parse({'x': {'_type': 'qnormal', '_value': [0, 1, 1]},"
        " 'y': {'_type': 'choice', '_value': ['a']}});"
        "s.check({'x': 2.0, 'y': 'a'}); s.key({'x': 2.0, 'y': 'a'}); s.size;"
        "assert 'numpy' not in sys.modules, 'numpy was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from([*TYPES, "_name"])
)
keys = (
    st.sampled_from(["_type", "_value", "_name", "candidates", "n_chosen", "x", "", "\0"])
    | st.integers()
    | st.none()
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
almost = st.dictionaries(
    st.sampled_from("xyz"),
    st.fixed_dictionaries(
        {"_type": st.sampled_from(TYPES), "_value": anything | st.lists(st.floats() | st.integers())}
    ),
)


def refusal(call: Callable[[Any], Any], given: Any) -> SearchSpaceError | None:
    try:
        call(given)
    except SearchSpaceError as err:
        return err
    return None


@settings(max_examples=150, deadline=None)
@given(raw=anything | almost, parameters=anything)
def test_nothing_but_search_space_errors_come_out(raw: Any, parameters: Any) -> None:
    refused = refusal(SearchSpace.parse, raw)
    if refused is not None:
        assert refused.problems
        assert all(line.isprintable() for line in str(refused).splitlines())
        return
    space = SearchSpace.parse(raw)
    space.check(space.from_unit_cube([0.5] * space.dimensions))
    for use in (space.check, space.key, lambda given: space.encode([given])):
        refused = refusal(use, parameters)
        assert refused is None or refused.problems
    assert space.contains(parameters) is (refusal(space.check, parameters) is None)
