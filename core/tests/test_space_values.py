"""The value semantics of NNI's types: membership, counting, enumeration, keys."""

from typing import Any

import pytest

from tune_core.errors import SearchSpaceError
from tune_core.space import SearchSpace


def space_of(kind: str, value: Any) -> SearchSpace:
    return SearchSpace.parse({"x": {"_type": kind, "_value": value}})


NESTED = {
    "layer0": {
        "_type": "choice",
        "_value": [
            {"_name": "Empty"},
            {
                "_name": "Conv",
                "kernel_size": {"_type": "choice", "_value": [1, 3, 5]},
                "pad": {"_type": "randint", "_value": [0, 2]},
            },
        ],
    },
    "lr": {"_type": "choice", "_value": [0.1, 0.01]},
}


@pytest.mark.parametrize(
    ("kind", "value", "values"),
    [
        ("quniform", [2, 10, 5], [2, 5, 10]),
        ("quniform", [0, 10, 2.5], [0.0, 2.5, 5.0, 7.5, 10.0]),
        ("quniform", [0, 10, 11], [0, 10]),  # beyond the range, as NNI: round(u / 11) * 11, clipped
        ("quniform", [0.5, 1, 5], [0.5]),
        ("qloguniform", [2, 3, 5], [2, 3]),
        ("quniform", [0.5, 3, 1], [0.5, 1.0, 2.0, 3.0]),
        ("quniform", [5, 15, 10], [5, 10, 15]),
        ("quniform", [-4, 4, 4], [-4, 0, 4]),
        ("quniform", [0, 0.3, 0.1], [0.0, 0.1, 0.2, 0.3]),
        ("qloguniform", [1, 16, 4], [1, 4, 8, 12, 16]),
        ("qloguniform", [3, 20, 7], [3, 7, 14, 20]),
        ("randint", [3, 7], [3, 4, 5, 6]),
        ("randint", [3], [0, 1, 2]),  # NNI's form before 1.0
        ("randint", [-2, 0], [-2, -1]),
        ("choice", ["b", "a", None, True, 1], ["b", "a", None, True, 1]),
    ],
)
def test_grid_holds_exactly_nnis_values(kind: str, value: Any, values: list[Any]) -> None:
    space = space_of(kind, value)
    found = [point["x"] for point in space.grid()]
    assert found == values
    assert [type(x) for x in found] == [type(x) for x in values]
    assert space.size == len(values)
    assert all(space.contains(point) for point in space.grid())


@pytest.mark.parametrize(
    ("kind", "value", "inside", "outside"),
    [
        (
            "uniform",
            [0, 1],
            [0, 1, 0.5, 1.0],
            [-1e-9, 1.1, "0.5", None, True, float("nan"), float("inf"), [0]],
        ),
        ("randint", [0, 3], [0, 2, 2.0], [3, 2.5, -1, True, "1"]),
        ("quniform", [2, 10, 5], [2, 5, 10, 5.0], [0, 3, 7.5, 12]),
        ("quniform", [0, 1, 0.1], [0.3, 0.1 * 3, 0.7000000000000001], [0.35, 0.30001]),
        ("loguniform", [1e-5, 1], [1e-5, 1, 0.5], [0, 2, -1]),
        ("normal", [0, 1], [-1e9, 0, 1e300], [float("inf"), float("nan"), "x"]),
        ("qnormal", [0.5, 1, 2], [-400, 2, 0], [1, 0.5]),
        ("lognormal", [0, 1], [1e-300, 5], [0, -1]),
        ("qlognormal", [0, 1, 3], [0, 3, 3000], [-3, 1]),
        ("choice", [1, 2, "a"], [1, 2.0, "a"], [True, "1", 3, None, [1]]),
        ("choice", [True, "a"], [True], [1, False]),
        ("choice", [[1, 2], {"a": 1}], [[1, 2], (1, 2.0), {"a": 1}], [[2, 1], {"a": True}, {}]),
        (
            "layer_choice",
            ["conv", "pool"],
            [{"_value": "pool", "_idx": 1}],
            ["pool", {"_value": "pool"}, {"_value": "pool", "_idx": 0}, {"_value": "x", "_idx": 0}],
        ),
        (
            "input_choice",
            {"candidates": ["a", "b", "c"], "n_chosen": 2},
            [{"_value": ["a", "c"], "_idx": [0, 2]}],
            [
                "a",
                {"_value": ["a"], "_idx": [0]},
                {"_value": ["a", "b"], "_idx": [0, 2]},
                {"_value": ["a", "a"], "_idx": [0, 0]},
                {"_value": ["a", "b"], "_idx": [0, 9]},
                {"_value": 3, "_idx": 4},
            ],
        ),
    ],
)
def test_contains_is_membership(kind: str, value: Any, inside: list[Any], outside: list[Any]) -> None:
    space = space_of(kind, value)
    assert [x for x in inside if not space.contains({"x": x})] == []
    assert [x for x in outside if space.contains({"x": x})] == []


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"lr": 0.1}, "layer0: missing"),
        ({"layer0": {"_name": "Empty"}}, "lr: missing"),
        ({"layer0": {"_name": "Conv", "pad": 0}, "lr": 0.1}, "layer0.Conv.kernel_size: missing"),
        (
            {"layer0": {"_name": "Conv", "kernel_size": 2, "pad": 0}, "lr": 0.1},
            r"2 is not one of the options \[1, 3, 5\]",
        ),
        ({"layer0": {"_name": "Empty", "pad": 0}, "lr": 0.1}, "layer0.Empty: unknown parameter 'pad'"),
        (
            {"layer0": {"_name": "Cnov"}, "lr": 0.1},
            "layer0: _name 'Cnov' is not one of the options; did you mean 'Conv'",
        ),
        ({"layer0": "Empty", "lr": 0.1}, "layer0: must be"),
        ({"layer0": {"_name": "Empty"}, "lr": 0.1, "lrr": 1}, "unknown parameter 'lrr'; did you mean 'lr'"),
        ({"layer0": {"_name": "Empty"}, "lr": 0.1, "_name": 1}, "unknown parameter '_name'"),
        ([], "must be a mapping"),
    ],
)
def test_check_says_what_is_wrong(parameters: Any, said: str) -> None:
    with pytest.raises(SearchSpaceError, match=said):
        SearchSpace.parse(NESTED).check(parameters)


def test_check_tells_all_problems() -> None:
    with pytest.raises(SearchSpaceError) as caught:
        SearchSpace.parse(NESTED).check({"layer0": {"_name": "Conv", "kernel_size": 9, "pad": 9}})
    assert [problem.path for problem in caught.value.problems] == [
        "layer0.Conv.kernel_size",
        "layer0.Conv.pad",
        "lr",
    ]
    assert caught.value.problems[0].keys == ("layer0", "kernel_size")


def test_check_lets_extra_keys_pass_when_told() -> None:
    space = space_of("uniform", [0, 1])
    space.check({"x": 0.5, "TRIAL_BUDGET": 3}, extra=True)
    assert not space.contains({"x": 0.5, "TRIAL_BUDGET": 3})


def test_nested_grid_counts_each_branch_once() -> None:
    space = SearchSpace.parse(NESTED)
    points = list(space.grid())
    assert space.size == len(points) == (1 + 3 * 2) * 2
    assert points[:3] == [
        {"layer0": {"_name": "Empty"}, "lr": 0.1},
        {"layer0": {"_name": "Empty"}, "lr": 0.01},
        {"layer0": {"_name": "Conv", "kernel_size": 1, "pad": 0}, "lr": 0.1},
    ]
    assert [list(point) for point in points] == [["layer0", "lr"]] * len(points)
    assert len({space.key(point) for point in points}) == len(points)
    assert [space.at(number) for number in range(len(points))] == points
    with pytest.raises(IndexError):
        space.at(len(points))


def test_grid_of_huge_space_is_lazy() -> None:
    space = SearchSpace.parse({f"x{i}": {"_type": "randint", "_value": [0, 10**6]} for i in range(100)})
    assert space.size == 10**600
    assert next(space.grid()) == {f"x{i}": 0 for i in range(100)}
    assert space.at(10**600 - 1) == {f"x{i}": 10**6 - 1 for i in range(100)}


def test_grid_of_endless_space_names_the_parameter() -> None:
    space = SearchSpace.parse({**NESTED, "wd": {"_type": "uniform", "_value": [0, 1]}})
    assert space.size == float("inf")
    assert not space.is_finite
    with pytest.raises(SearchSpaceError, match=r"wd \(uniform\)"):
        space.grid()


def test_input_choice_numbers_every_subset() -> None:
    space = space_of("input_choice", {"candidates": ["a", "b", "c", "d"], "n_chosen": [0, 2]})
    subsets = [point["x"]["_value"] for point in space.grid()]
    assert subsets == [[], *map(list, ("ab", "ac", "ad", "bc", "bd", "cd"))]
    assert space_of("input_choice", {"candidates": list("abc"), "n_chosen": None}).size == 8


def test_key_is_the_same_however_a_value_is_written() -> None:
    space = SearchSpace.parse(
        {
            "q": {"_type": "quniform", "_value": [0, 1, 0.1]},
            "n": {"_type": "randint", "_value": [0, 5]},
            "c": {"_type": "choice", "_value": [1, True, [1]]},
        }
    )
    assert space.key({"q": 0.3, "n": 2, "c": [1]}) == space.key(
        {"c": [1.0], "n": 2.0, "q": 0.1 * 3, "extra": 1}
    )
    assert space.key({"q": 0.3, "n": 2, "c": 1}) != space.key({"q": 0.3, "n": 2, "c": True})
    hash(space.key({"q": 0.3, "n": 2, "c": [1]}))
    with pytest.raises(SearchSpaceError, match="n: missing"):
        space.key({"q": 0.3, "c": 1})
