"""BOHB's densities against formulae, and how results are divided between them."""

import math
from typing import Any

import numpy as np
import pytest
from tune_bohb.kde import KernelDensity, bandwidths, spreads
from tune_bohb.model import Model, Result, Results, split

from tune_core import SearchSpace

MIXED = SearchSpace.parse(
    {
        "x": {"_type": "uniform", "_value": [0, 10]},
        "c": {"_type": "choice", "_value": ["a", "b", "c", "d"]},
        "n": {"_type": "randint", "_value": [0, 5]},
    }
)
NESTED = SearchSpace.parse(
    {
        "net": {
            "_type": "choice",
            "_value": [
                {"_name": "wide", "units": {"_type": "uniform", "_value": [0, 1]}},
                {"_name": "deep", "layers": {"_type": "uniform", "_value": [0, 1]}},
            ],
        }
    }
)


def array(*rows: Any) -> Any:
    return np.array(rows, dtype=float)


def normal(x: float, mean: float, std: float) -> float:
    return math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def cut(x: float, mean: float, std: float) -> float:
    """The density of a normal that is cut to [0, 1]."""
    low, high = (0.5 * math.erf((end - mean) / (std * math.sqrt(2))) for end in (0, 1))
    return normal(x, mean, std) / (high - low)


def test_split_takes_shares_but_no_fewer_than_the_least() -> None:
    good, bad = split(array(5, 1, 4, 2, 3, math.inf), least=2, top_n_percent=15)
    assert (good.tolist(), bad.tolist()) == ([1, 3], [4, 2, 0, 5])
    good, bad = split(np.arange(40.0), least=3, top_n_percent=15)
    assert (good.tolist(), bad.tolist()) == (list(range(6)), list(range(6, 40)))


def test_split_leaves_the_rounded_rest_to_nobody() -> None:
    good, bad = split(np.arange(33.0), least=2, top_n_percent=15)  # 4.95 and 28.05
    assert (len(good), len(bad)) == (4, 28)
    assert bad[-1] == 31


def test_older_of_equals_is_better() -> None:
    good, bad = split(np.zeros(4), least=2, top_n_percent=15)
    assert (good.tolist(), bad.tolist()) == ([0, 1], [2, 3])


def test_bandwidths_follow_the_normal_reference_rule() -> None:
    points = array([0.0, 0.4], [1.0, 0.6])
    expected = [1.06 * 0.5 * 2 ** (-1 / 6), 1 / 4]
    assert bandwidths(points, np.zeros(2), 0.001) == pytest.approx(expected)


def test_bandwidths_are_wide_while_there_are_few_points() -> None:
    def narrowest(n: int, least: float = 0.001) -> float:
        return float(bandwidths(np.full((n, 1), 0.5), np.zeros(1), least)[0])

    assert [narrowest(n) for n in (1, 3, 48, 98, 1000)] == pytest.approx([1 / 3, 1 / 5, 1 / 50, 0.01, 0.01])
    assert narrowest(1000, least=0.02) == 0.02
    assert bandwidths(np.full((2, 1), 1.0), np.array([4.0]), 0.001) == pytest.approx(
        [1 / 4]
    )  # of options, too
    assert bandwidths(np.full((2, 1), 0.0), np.array([1.0]), 0.001) == [0.0]  # the only one


def test_spread_of_two_options_is_that_of_zero_and_one() -> None:
    points = array([0.0], [1.0], [1.0], [1.0])
    assert spreads(points, np.array([2.0])) == pytest.approx([points.std()])


def test_spread_of_options_does_not_depend_on_their_order() -> None:
    counts = np.array([4.0])
    first, second = array([0.0], [1.0], [1.0], [3.0]), array([2.0], [0.0], [0.0], [1.0])
    # shares 1/4, 1/2, 1/4
    assert spreads(first, counts) == pytest.approx(spreads(second, counts))
    assert spreads(first, counts) == pytest.approx([math.sqrt((1 - 0.375) / 2)])


def test_density_is_the_mean_of_products_of_kernels() -> None:
    points, counts = array([0.2, 0.0], [0.6, 2.0], [0.9, 2.0]), np.array([0.0, 3.0])
    density = KernelDensity(points, counts, 0.001)
    h_x = 1.06 * np.std([0.2, 0.6, 0.9]) * 3 ** (-1 / 6)
    assert h_x > 1 / 5  # the floor of three points
    h_c = min(1.06 * math.sqrt((1 - 5 / 9) / 2) * 3 ** (-1 / 6), 2 / 3)
    expected = [
        (cut(x, 0.2, h_x) * keep[0] + (cut(x, 0.6, h_x) + cut(x, 0.9, h_x)) * keep[1]) / 3
        for x, keep in ((0.3, (1 - h_c, h_c / 2)), (0.7, (h_c / 2, 1 - h_c)), (0.7, (h_c / 2, h_c / 2)))
    ]
    found = np.exp(density.log_density(array([0.3, 0.0], [0.7, 2.0], [0.7, 1.0])))
    assert found == pytest.approx(expected, rel=1e-12)


def test_density_adds_up_to_one() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.random(12), rng.integers(3, size=12)])
    density = KernelDensity(points, np.array([0.0, 3.0]), 0.001)
    x = (np.arange(4000) + 0.5) / 4000
    mass = sum(
        np.exp(density.log_density(np.column_stack([x, np.full(4000, float(option))]))).mean()
        for option in range(3)
    )
    assert mass == pytest.approx(1.0, abs=1e-6)


def test_density_of_many_parameters_does_not_underflow() -> None:
    rng = np.random.default_rng(0)
    density = KernelDensity(rng.random((50, 40)) * 0.01, np.zeros(40), 0.001)
    found = density.log_density(np.full((1, 40), 0.9))
    assert np.isfinite(found).all()
    assert found[0] < math.log(1e-300)


def test_an_only_option_changes_nothing() -> None:
    x = array([0.2], [0.6])
    alone = KernelDensity(x, np.zeros(1), 0.001)
    both = KernelDensity(np.column_stack([x, np.zeros(2)]), np.array([0.0, 1.0]), 0.001)
    both.bandwidths[0] = alone.bandwidths[0]  # the rule counts parameters
    assert both.log_density(array([0.5, 0.0])) == pytest.approx(alone.log_density(array([0.5])))


def test_candidates_are_cut_normals_around_points() -> None:
    points = np.full((18, 1), 0.1)
    density = KernelDensity(points, np.zeros(1), 0.001)
    assert density.bandwidths == pytest.approx([0.05])
    drawn = density.sample_around(np.random.default_rng(0), 40_000, factor=3.0)[:, 0]
    assert 0 <= drawn.min() < drawn.max() <= 1
    h, a, b = 0.15, -0.1 / 0.15, 0.9 / 0.15
    inside = 0.5 * (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2)))
    mean = 0.1 + h * (normal(a, 0, 1) - normal(b, 0, 1)) / inside
    # The standard error is below 0.15 / 200. 6 sigma: fails by chance about twice in 1e9 seeds.
    assert drawn.mean() == pytest.approx(mean, abs=6 * 0.15 / 200)


def test_candidates_keep_an_option_or_take_any() -> None:
    density = KernelDensity(np.full((2, 1), 3.0), np.array([4.0]), 0.4)
    drawn = density.sample_around(np.random.default_rng(0), 40_000, factor=3.0)[:, 0]
    shares = np.bincount(drawn.astype(int), minlength=4) / 40_000
    # 1 - 0.4 and a quarter of 0.4, whatever the factor; 6 sigma are below 0.0142
    assert shares == pytest.approx([0.1, 0.1, 0.1, 0.7], abs=0.0142)


def test_proposals_come_in_the_order_of_the_ratio() -> None:
    rng = np.random.default_rng(1)
    good, bad = ([MIXED.sample(rng) for _ in range(n)] for n in (6, 20))
    model = Model(MIXED, MIXED.encode(good), MIXED.encode(bad), 0.001, rng)
    proposals = list(model.proposals(rng, 64, 3.0))
    assert len(proposals) == 64
    for each in proposals:
        MIXED.check(each)
    units, _ = MIXED.encode(proposals)
    points = units.copy()
    points[:, 1] = np.floor(units[:, 1] * 4)
    ratio = model.good.log_density(points) - model.bad.log_density(points)
    assert (np.diff(ratio) <= 1e-9).all()
    assert ratio[0] > ratio[-1] + 1


def test_missing_parameters_are_taken_from_their_group() -> None:
    good = [{"net": {"_name": "wide", "units": 0.25}}, {"net": {"_name": "deep", "layers": 0.75}}]
    bad = [{"net": {"_name": "wide", "units": 0.5}}] * 2
    model = Model(NESTED, NESTED.encode(good), NESTED.encode(bad), 0.001, np.random.default_rng(0))
    # net, units, layers: each column has one value where it is there, and that twice now
    assert model.good._points.tolist() == [[0, 0.25, 0.75], [1, 0.25, 0.75]]
    assert model.bad._points[:, :2].tolist() == [[0, 0.5], [0, 0.5]]
    assert len(set(model.bad._points[:, 2])) == 2  # nobody has it: any value


def test_results_make_a_model_once_good_and_bad_outnumber_the_parameters() -> None:
    results = Results(MIXED, None, 15, 0.001)
    rng = np.random.default_rng(0)
    for number in range(8):
        assert results.model_budget is None
        assert results.model(rng) is None
        results.add(Result(MIXED.sample(rng), 3, float(number)))
    assert results.model_budget == 3
    assert results.model(rng) is not None
    results.add(Result({"x": 11.0, "c": "a", "n": 0}, 9, 0.0))  # not of this space
    assert len(results.all) == 8
