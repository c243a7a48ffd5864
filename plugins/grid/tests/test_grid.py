"""Grid search by hand-worked grids."""

import itertools
import math
from typing import Any

import pytest
from tune_grid.tuner import GridSearchTuner

from tune_core import AskTell, NoMoreTrial, Observation, SearchSpace, SearchSpaceError


def tuner_for(raw: dict[str, Any], **options: Any) -> GridSearchTuner:
    tuner = GridSearchTuner(**options)
    tuner.update_search_space(SearchSpace.parse(raw))
    return tuner


def take(tuner: GridSearchTuner, count: int, start: int = 0) -> list[dict[str, Any]]:
    """The next `count` configurations, or fewer if the grid ends."""
    taken = []
    for number in range(start, start + count):
        try:
            taken.append(tuner.generate_parameters(number))
        except NoMoreTrial:
            break
        tuner.register_pending(number, taken[-1])
    return taken


def values(kind: str, *value: float, count: int = 100, **options: Any) -> list[Any]:
    tuner = tuner_for({"x": {"_type": kind, "_value": list(value)}}, **options)
    return [parameters["x"] for parameters in take(tuner, count)]


def test_grid_of_a_finite_space_has_each_configuration_once_last_key_fastest() -> None:
    tuner = tuner_for(
        {
            "a": {"_type": "choice", "_value": ["x", "y"]},
            "b": {"_type": "randint", "_value": [3, 5]},
            "c": {"_type": "choice", "_value": [True]},
        }
    )
    expected = [{"a": a, "b": b, "c": True} for a in "xy" for b in (3, 4)]
    assert take(tuner, 10) == expected
    with pytest.raises(NoMoreTrial):
        tuner.generate_parameters(99)


@pytest.mark.parametrize(
    ("kind", "value", "first"),
    [
        ("uniform", [0, 8], [4, 2, 6, 1, 3, 5, 7, 0.5]),
        ("loguniform", [1e-4, 1], [1e-2, 1e-3, 1e-1]),
        ("normal", [10, 2], [10, 10 - 2 * 0.6744897501960817, 10 + 2 * 0.6744897501960817]),
        ("lognormal", [0, 1], [1, math.exp(-0.6744897501960817), math.exp(0.6744897501960817)]),
    ],
)
def test_grid_halves_the_probability_of_continuous_parameters(
    kind: str, value: list[float], first: list[float]
) -> None:
    assert values(kind, *value, count=len(first)) == pytest.approx(first)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("quniform", [0, 10, 2.5], [5, 2.5, 7.5, 0, 10]),
        ("quniform", [2, 10, 5], [5, 10, 2]),  # 0.5: 6 to 5; 0.75: 8 to 10; 1/16: 2.5 to 0, cut to 2
        ("qloguniform", [1, 16, 4], [4, 1, 8, 12, 16]),  # 0.25: 2 to 0, cut to 1; 0.875: 11.3; 31/32: 14.7
    ],
)
def test_grid_of_a_q_type_ends_with_all_its_values(
    kind: str, value: list[float], expected: list[float]
) -> None:
    assert values(kind, *value) == expected


def test_grid_meets_the_far_values_of_a_q_type_in_one_last_epoch() -> None:
    found = values("qnormal", 0, 1, 1)
    assert found[:4] == [0, -1, 1, -2]
    assert sorted(found) == list(range(-8, 9))  # as far as a random number reaches
    many = values("qloguniform", 1, 10_000, 1, count=10_001)
    assert sorted(many) == list(range(1, 10_001))


def test_grid_ends_where_floats_do() -> None:
    assert len(values("uniform", 1.0, 1.0 + 4 * 2.0**-52)) <= 5


def test_grid_refines_all_continuous_parameters_together() -> None:
    tuner = tuner_for({name: {"_type": "uniform", "_value": [0, 1]} for name in "xy"})
    points = [(parameters["x"], parameters["y"]) for parameters in take(tuner, 49)]
    # Behind an old value of x only the new values of y are new.
    assert points[:9] == [
        (0.5, 0.5),
        (0.5, 0.25), (0.5, 0.75),
        (0.25, 0.5), (0.25, 0.25), (0.25, 0.75),
        (0.75, 0.5), (0.75, 0.25), (0.75, 0.75),
    ]  # fmt: skip
    eighths = [number / 8 for number in range(1, 8)]
    assert sorted(points) == list(itertools.product(eighths, eighths))


NESTED = {
    "layer": {
        "_type": "choice",
        "_value": [
            {"_name": "none"},
            {
                "_name": "conv",
                "size": {"_type": "choice", "_value": [3, 5]},
                "drop": {"_type": "uniform", "_value": [0, 1]},
            },
        ],
    },
    "step": {"_type": "quniform", "_value": [0, 4, 2]},
}


def test_grid_of_a_nested_space_has_each_branch_at_each_fineness() -> None:
    found = take(tuner_for(NESTED), 90)
    # By epoch: 1 step and 1 + 2 * 1 layers, 3 and 1 + 2 * 3 (0 is met at 1/8: 0.5 goes to 0), ...
    assert len({str(parameters) for parameters in found}) == 90
    layers = [parameters["layer"] for parameters in found[:3]]
    assert layers == [
        {"_name": "none"},
        {"_name": "conv", "size": 3, "drop": 0.5},
        {"_name": "conv", "size": 5, "drop": 0.5},
    ]
    assert [parameters["step"] for parameters in found[:3]] == [2, 2, 2]
    drops = [number / 16 for number in range(1, 16)]
    layers = [{"_name": "none"}] + [
        {"_name": "conv", "size": size, "drop": drop} for size in (3, 5) for drop in drops
    ]
    expected = [{"layer": layer, "step": step} for layer in layers for step in (0, 2, 4)]
    assert len(take(tuner_for(NESTED), 93)) == len(expected) == 93
    assert sorted(map(str, take(tuner_for(NESTED), 93))) == sorted(map(str, expected))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("quniform", [0, 10, 5], [0, 2.5, 5, 7.5, 10]),
        ("quniform", [2, 10, 2], [2, 10]),
        ("quniform", [0.1, 0.5, 5], [0.1, 0.2, 0.3, 0.4, 0.5]),  # more values than the range is wide
        ("qloguniform", [1, 10_000, 5], [1, 10, 100, 1000, 10_000]),
        ("randint", [0, 3], [0, 1, 2]),
    ],
)
def test_legacy_q_is_the_number_of_values(kind: str, value: list[float], expected: list[float]) -> None:
    assert values(kind, *value, legacy_q=True) == pytest.approx(expected)


@pytest.mark.parametrize("q", [1, 2.5])
def test_legacy_q_that_is_no_number_of_values_is_refused_by_name(q: float) -> None:
    with pytest.raises(SearchSpaceError, match=f"rate: q {q} is the number of values"):
        tuner_for({"rate": {"_type": "quniform", "_value": [0, 10, q]}}, legacy_q=True)


@pytest.mark.parametrize("legacy_q", [False, True])
def test_grid_skips_what_was_done_elsewhere(legacy_q: bool) -> None:
    raw = {"a": {"_type": "choice", "_value": [1, 2]}, "b": {"_type": "quniform", "_value": [0, 10, 2]}}
    whole = take(tuner_for(raw, legacy_q=legacy_q), 100)
    tuner = tuner_for(raw, legacy_q=legacy_q)
    tuner.import_data([Observation({**whole[1], "TRIAL_BUDGET": 3}, 0.5), Observation({"a": 7}, 0.1)])
    tuner.register_pending(0, whole[3])
    assert take(tuner, 100) == [whole[0], whole[2], *whole[4:]]


def test_legacy_q_takes_every_number_between_the_bounds() -> None:
    raw = {
        "x": {"_type": "quniform", "_value": [0, 10, 4]},
        "n": {
            "_type": "choice",
            "_value": [{"_name": "a", "lr": {"_type": "qloguniform", "_value": [0.1, 10, 3]}}],
        },
    }
    point = {"x": 10 / 3, "n": {"_name": "a", "lr": 1.0}}
    assert tuner_for(raw, legacy_q=True).takes(point)
    assert not tuner_for(raw, legacy_q=True).takes({**point, "x": 11})
    assert not tuner_for({"x": raw["x"]}).takes({"x": 10 / 3})


def test_grid_leaves_out_what_is_forbidden() -> None:
    raw = {
        "a": {"_type": "choice", "_value": [1, 2]},
        "b": {"_type": "quniform", "_value": [0, 10, 5]},
        "_forbidden": [{"a": 1, "b": 5}],
    }
    found = [(parameters["a"], parameters["b"]) for parameters in take(tuner_for(raw), 10)]
    assert found == [(2, 5), (1, 0), (1, 10), (2, 0), (2, 10)]


def test_grid_goes_on_from_what_was_registered() -> None:
    whole = take(tuner_for(NESTED), 40)
    resumed = tuner_for(NESTED)
    for number, parameters in enumerate(whole[:17]):
        resumed.register_pending(number, parameters)
    assert take(resumed, 23) == whole[17:]


def test_grid_starts_anew_in_a_changed_space_without_repeats() -> None:
    tuner = tuner_for({"a": {"_type": "choice", "_value": [1, 2, 3]}})
    take(tuner, 2)
    tuner.update_search_space(SearchSpace.parse({"a": {"_type": "choice", "_value": [4, 2, 1, 5]}}))
    assert take(tuner, 10) == [{"a": 4}, {"a": 5}]


def test_grid_search_is_found_by_its_names() -> None:
    raw = {"a": {"_type": "choice", "_value": [1, 2]}}
    for name in ("GridSearch", "grid"):
        assert [asked.parameters["a"] for asked in AskTell(name, raw)] == [1, 2]
    counted = {"a": {"_type": "quniform", "_value": [0, 9, 4]}}
    legacy = AskTell("GridSearch", counted, arguments={"legacy_q": True})
    assert [asked.parameters["a"] for asked in legacy] == pytest.approx([0, 3, 6, 9])


def test_grid_of_many_parameters_takes_no_time() -> None:
    raw = {f"x{number}": {"_type": "uniform", "_value": [0, 1]} for number in range(1000)}
    assert len(take(tuner_for(raw), 3)) == 3
    assert take(tuner_for({"n": {"_type": "randint", "_value": [0, 10**12]}}), 2) == [{"n": 0}, {"n": 1}]
