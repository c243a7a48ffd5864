"""Sampling, encoding and decoding: tables, distributions, and properties of random spaces."""

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_core.errors import SearchSpaceError
from tune_core.space import SearchSpace
from tune_core.space.normal import normal_cdf, normal_ppf

NESTED = {
    "layer0": {
        "_type": "choice",
        "_value": [
            {"_name": "Empty"},
            {
                "_name": "Conv",
                "kernel": {"_type": "choice", "_value": [1, 3, 5]},
                "act": {
                    "_type": "choice",
                    "_value": [
                        {"_name": "relu"},
                        {"_name": "elu", "alpha": {"_type": "uniform", "_value": [0, 2]}},
                    ],
                },
            },
        ],
    },
    "lr": {"_type": "loguniform", "_value": [1e-4, 1]},
}


def space_of(kind: str, value: Any) -> SearchSpace:
    return SearchSpace.parse({"x": {"_type": kind, "_value": value}})


def at(space: SearchSpace, u: float) -> Any:
    return space.from_unit_cube([u])["x"]


@pytest.mark.parametrize(
    ("kind", "value", "u", "expected"),
    [
        ("uniform", [2, 4], 0.25, 2.5),
        ("uniform", [2, 4], 0, 2.0),
        ("uniform", [-0.3, 0.1], 1, 0.1),
        ("loguniform", [1e-4, 1], 0.5, 1e-2),
        ("loguniform", [1e-4, 1], 1, 1.0),
        ("loguniform", [1e-4, 1], 0, 1e-4),
        ("randint", [0, 4], 0.24, 0),
        ("randint", [0, 4], 0.26, 1),
        ("randint", [0, 4], 1, 3),
        ("quniform", [0, 10, 5], 0.24, 0),
        ("quniform", [0, 10, 5], 0.26, 5),
        ("quniform", [2, 10, 5], 0, 2),
        ("quniform", [2, 10, 5], 1, 10),
        ("quniform", [5, 15, 10], 0, 5),  # the tie 0.5 goes to the even multiple 0, clipped to 5
        ("quniform", [5, 15, 10], 0.5, 10),
        ("quniform", [2, 3, 5], 0.49, 2),  # 2.49 is nearer to 0 than to 5
        ("quniform", [2, 3, 5], 0.51, 3),
        ("qloguniform", [1, 16, 4], 0, 1),
        ("qloguniform", [1, 16, 4], 0.25 - 1e-9, 1),  # 16**0.25 = 2 is where 1 ends (0 clipped) and 4 begins
        ("qloguniform", [1, 16, 4], 0.25 + 1e-9, 4),
        ("normal", [3, 2], 0.5, 3.0),
        ("normal", [0, 1], 0.975, 1.959963984540054),
        ("lognormal", [1, 2], 0.5, math.e),
        ("qnormal", [0, 1, 1], 0.5, 0),
        ("qlognormal", [0, 1, 1], 0.001, 0),
        ("choice", ["a", "b"], 0.49, "a"),
        ("choice", ["a", "b"], 1, "b"),
        ("layer_choice", ["a", "b"], 0.7, {"_value": "b", "_idx": 1}),
        (
            "input_choice",
            {"candidates": ["a", "b", "c"], "n_chosen": 2},
            0.5,
            {"_value": ["a", "c"], "_idx": [0, 2]},
        ),
    ],
)
def test_decode_gives_the_documented_value(kind: str, value: Any, u: float, expected: Any) -> None:
    found = at(space_of(kind, value), u)
    assert type(found) is type(expected)
    assert found == (pytest.approx(expected, rel=1e-14) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    ("kind", "value", "integral"),
    [
        ("quniform", [1, 9, 2], True),
        ("quniform", [1, 9, 0.5], False),
        ("quniform", [1.5, 9, 1], False),
        ("qloguniform", [1, 64, 1], True),
        ("qnormal", [0.5, 3.3, 2], True),
        ("qnormal", [0, 3, 0.5], False),
        ("qlognormal", [0.1, 1, 3], True),
        ("randint", [0, 3], True),
        ("uniform", [0, 3], False),
    ],
)
def test_integral_bounds_and_q_give_ints(kind: str, value: Any, integral: bool) -> None:
    assert type(at(space_of(kind, value), 0.6)) is (int if integral else float)


def test_each_value_gets_the_share_that_nni_gives_it() -> None:
    space = space_of("quniform", [2, 10, 5])  # round(uniform / 5) * 5: 2 up to 2.5, 5 up to 7.5, then 10
    lower, upper = space.cells([[0.01], [0.5], [0.99]])
    assert (upper - lower).ravel() == pytest.approx([0.5 / 8, 5 / 8, 2.5 / 8])


# Fails by chance for one seed in about a million: the 5-sigma band of a binomial share.
@pytest.mark.parametrize(
    ("kind", "value", "shares"),
    [
        ("randint", [0, 4], {0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}),
        ("quniform", [0, 10, 5], {0: 0.25, 5: 0.5, 10: 0.25}),
        ("qloguniform", [1, 16, 4], {1: 0.25, 4: math.log(3, 16)}),
        ("qnormal", [0, 1, 1], {0: 0.3829249225480262, 1: 0.2417303374571288}),
        ("qlognormal", [0, 1, 1], {0: statistics.NormalDist().cdf(math.log(0.5))}),
        ("choice", ["a", "b", "c"], {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
    ],
)
def test_sample_follows_the_documented_distribution(kind: str, value: Any, shares: dict[Any, float]) -> None:
    space, rng, n = space_of(kind, value), np.random.default_rng(7), 4000
    found = [space.sample(rng)["x"] for _ in range(n)]
    for x, share in shares.items():
        assert found.count(x) / n == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / n))


def test_sample_takes_one_number_for_each_leaf() -> None:
    space = SearchSpace.parse(NESTED)
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    samples = [space.sample(rng) for _ in range(50)]
    assert samples == space.decode(same.random((50, space.dimensions)))
    assert all(space.contains(sample) for sample in samples)
    assert {sample["layer0"]["_name"] for sample in samples} == {"Empty", "Conv"}


def test_encode_marks_what_is_active() -> None:
    space = SearchSpace.parse(NESTED)
    assert [leaf.path for leaf in space.leaves] == [
        "layer0",
        "layer0.Conv.kernel",
        "layer0.Conv.act",
        "layer0.Conv.act.elu.alpha",
        "lr",
    ]
    units, active = space.encode(
        [
            {"layer0": {"_name": "Empty"}, "lr": 1e-2},
            {"layer0": {"_name": "Conv", "kernel": 5, "act": {"_name": "relu"}}, "lr": 1},
            {"layer0": {"_name": "Conv", "kernel": 1, "act": {"_name": "elu", "alpha": 0.5}}, "lr": 1e-4},
        ]
    )
    assert units == pytest.approx(
        np.array([[0.25, 0.5, 0.5, 0.5, 0.5], [0.75, 5 / 6, 0.25, 0.5, 1], [0.75, 1 / 6, 0.75, 0.25, 0]])
    )
    assert active.tolist() == [
        [True, False, False, False, True],
        [True, True, True, False, True],
        [True, True, True, True, True],
    ]
    assert (space.activity(units) == active).all()


def test_encode_of_nothing_has_no_rows() -> None:
    space = SearchSpace.parse(NESTED)
    units, active = space.encode([])
    assert units.shape == active.shape == (0, 5)
    assert space.decode(units) == []


def test_encode_takes_numbers_outside_as_the_nearest() -> None:
    assert space_of("uniform", [0, 1]).encode([{"x": 7}, {"x": -7}])[0].ravel().tolist() == [1, 0]
    assert space_of("randint", [0, 4]).encode([{"x": 9}])[0].item() == pytest.approx(7 / 8)


@pytest.mark.parametrize("bad", [{}, {"x": "z"}, {"x": None}, {"x": [1]}, {"x": {}}])
def test_encode_says_what_it_cannot_read(bad: dict[str, Any]) -> None:
    with pytest.raises(SearchSpaceError, match=r"parameters: x: (missing|.* is not one of the options)"):
        space_of("choice", ["a", "b"]).encode([{"x": "a"}, bad])


@pytest.mark.parametrize("point", [[], [0.5], [0.5] * 6, [0.5, 0.5, 0.5, 0.5, math.nan]])
def test_from_unit_cube_refuses_what_is_no_point(point: list[float]) -> None:
    with pytest.raises(SearchSpaceError, match="coordinates"):
        SearchSpace.parse(NESTED).from_unit_cube(point)


numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6, allow_subnormal=False)
positive = st.integers(1, 1000) | st.floats(1e-6, 1e6)


@st.composite
def bounded(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["uniform", "quniform", "loguniform", "qloguniform", "randint"]))
    if kind == "randint":
        low = draw(st.integers(-(10**6), 10**6))
        return {"_type": kind, "_value": [low, low + draw(st.integers(1, 10**6))]}
    low = draw(positive if "log" in kind else numbers)
    high = low + draw(st.integers(1, 1000) | st.floats(1e-2, 1e6))
    q = [
        draw(st.sampled_from([1, 0.1, 0.5, 3, 7.3]) | st.floats(1e-3, 1)) for _ in range(kind.startswith("q"))
    ]
    return {"_type": kind, "_value": [low, high, *q]}


@st.composite
def unbounded(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["normal", "qnormal", "lognormal", "qlognormal"]))
    mu, sigma = draw(st.floats(-5, 5)), draw(st.floats(0.1, 5))
    q = [draw(st.sampled_from([1, 0.5, 2.5])) for _ in range(kind.startswith("q"))]
    return {"_type": kind, "_value": [mu, sigma, *q]}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    values = (
        st.none()
        | st.booleans()
        | st.integers(-3, 3)
        | st.text(max_size=2)
        | st.lists(st.integers(0, 2), max_size=2)
    )
    chosen = draw(st.lists(values, min_size=1, max_size=5, unique_by=lambda x: (type(x), repr(x))))
    return {"_type": "choice", "_value": [x for x in chosen if not isinstance(x, str) or x.isascii()] or [0]}


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    branch = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    return st.lists(branch, min_size=1, max_size=3).map(
        lambda found: {"_type": "choice", "_value": [{"_name": f"b{i}", **b} for i, b in enumerate(found)]}
    )


parameter = st.recursive(bounded() | unbounded() | options(), nested, max_leaves=6)
spaces = st.dictionaries(st.sampled_from("xyzw"), parameter, min_size=1, max_size=4)
coordinate = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 5e-324, 1 - 2**-53])


@settings(max_examples=75, deadline=None)
@given(raw=spaces, data=st.data())
def test_decoded_values_lie_in_their_domains(raw: dict[str, Any], data: st.DataObject) -> None:
    space = SearchSpace.parse(raw)
    point = data.draw(st.lists(coordinate, min_size=space.dimensions, max_size=space.dimensions))
    space.check(space.from_unit_cube(point))


@settings(max_examples=75, deadline=None)
@given(raw=spaces, seed=st.integers(0, 2**32))
def test_encode_and_decode_are_inverse(raw: dict[str, Any], seed: int) -> None:
    space = SearchSpace.parse(raw)
    units = np.random.default_rng(seed).random((5, space.dimensions))
    configurations = space.decode(units)
    encoded, active = space.encode(configurations)
    assert (active == space.activity(units)).all()
    assert ((encoded >= 0) & (encoded <= 1)).all()
    # A range of 0.01 near 1e6 leaves 1e-8 of a coordinate to the rounding of its values.
    assert encoded[active] == pytest.approx(space.snap(units)[active], abs=1e-7)
    again = space.decode(encoded)
    for leaf in space:
        for before, after in zip(configurations, again, strict=True):
            assert_same(before[leaf.name], after[leaf.name])
    keys = [space.key(configuration) for configuration in configurations]
    assert len(set(keys)) <= 5
    one_by_one = np.concatenate([space.encode([configuration])[0] for configuration in configurations])
    assert (one_by_one == encoded).all()  # bit for bit: a replay may encode in other batches


def assert_same(before: Any, after: Any) -> None:
    """Equal, continuous values up to rounding; the exactness of the others is in their type."""
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        for name in before:
            assert_same(before[name], after[name])
    elif isinstance(before, float):
        assert after == pytest.approx(before, rel=1e-7, abs=1e-9)
    else:
        assert after == before


@settings(max_examples=75, deadline=None)
@given(spec=bounded().filter(lambda spec: spec["_type"] not in ("uniform", "loguniform")), data=st.data())
def test_every_stepped_value_survives_exactly(spec: dict[str, Any], data: st.DataObject) -> None:
    space = SearchSpace.parse({"x": spec})
    number = data.draw(st.integers(0, int(space.size) - 1))
    point = space.at(number)
    assert space.decode(space.encode([point])[0]) == [point]
    assert space.contains(point)


def test_normal_functions_agree_with_the_standard_library() -> None:
    x = np.linspace(-12, 12, 4001)
    reference = np.array([math.erfc(-value * math.sqrt(0.5)) / 2 for value in x])
    assert normal_cdf(x) == pytest.approx(reference, rel=5e-14)
    p = np.concatenate(
        [10.0 ** -np.arange(1, 300), np.linspace(0.001, 0.999, 999), 1 - 2.0 ** -np.arange(2, 54)]
    )
    assert normal_ppf(p) == pytest.approx([statistics.NormalDist().inv_cdf(value) for value in p], rel=1e-14)
    assert normal_cdf(np.array([-np.inf, np.inf])).tolist() == [0, 1]
    assert normal_ppf(np.array([0, 1])).tolist() == [-np.inf, np.inf]
