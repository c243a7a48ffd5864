"""The densities and formulae of TPE against closed forms and sums over all values."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
from tune_tpe.parzen import Parzen, logsumexp, narrowing, neighbour_bandwidths, scott_bandwidths
from tune_tpe.split import count_good, forgetting_weights, improvement_weights, split, thin


def numeric(points: list[list[float]], bandwidths: list[list[float]], weights: list[float]) -> Parzen:
    k = len(points[0])
    return Parzen(np.array(points), np.array(weights), np.zeros(k), np.array(bandwidths), np.empty(0))


def cut_normal(x: float, mean: float, std: float) -> float:
    normal = NormalDist(mean, std)
    return normal.pdf(x) / (normal.cdf(1) - normal.cdf(0))


def mixed() -> Parzen:
    points = np.array([[0.2, 0.1, 0.5], [0.9, 0.9, 1 / 6]])
    counts = np.array([0.0, 2.0, 3.0])
    return Parzen(points, np.array([1.0, 2.0, 0.5]), counts, np.array([[0.1], [0.3]]), np.array([0.2, 0.4]))


def test_density_is_the_mixture_of_cut_normals() -> None:
    parzen = numeric([[0.2, 0.7], [0.5, 0.1]], [[0.1, 0.3], [0.05, 0.2]], [2, 1, 1])
    for x, y in [(0.25, 0.5), (0.0, 1.0), (1.0, 0.0)]:
        expected = (
            2 * cut_normal(x, 0.2, 0.1) * cut_normal(y, 0.7, 0.3)
            + cut_normal(x, 0.5, 0.05) * cut_normal(y, 0.1, 0.2)
            + cut_normal(x, 0.5, 1) * cut_normal(y, 0.5, 1)
        ) / 4
        assert parzen.log_density(np.array([[x, y]]))[0] == pytest.approx(math.log(expected), rel=1e-12)


def test_density_integrates_to_one() -> None:
    middles = (np.arange(2000) + 0.5) / 2000
    options = [*itertools.product([0.25, 0.75], [1 / 6, 0.5, 5 / 6])]
    points = np.array([[x, a, b] for x in middles for a, b in options])
    assert np.exp(mixed().log_density(points)).sum() / 2000 == pytest.approx(1, rel=1e-6)


def test_categorical_kernel_keeps_its_option_or_draws_any() -> None:
    [found] = np.exp(mixed().log_density(np.array([[0.4, 0.25, 0.5]])))
    first = cut_normal(0.4, 0.2, 0.1) * (0.8 + 0.2 / 2) * (0.6 + 0.4 / 3)
    second = cut_normal(0.4, 0.9, 0.3) * (0.2 / 2) * (0.4 / 3)
    prior = cut_normal(0.4, 0.5, 1) / 2 / 3
    assert found == pytest.approx((first + 2 * second + 0.5 * prior) / 3.5, rel=1e-12)


def test_density_far_from_narrow_kernels_is_finite() -> None:
    parzen = numeric([[0.0] * 40], [[1e-3] * 40], [1, 1e-3])
    found = parzen.log_density(np.full((1, 40), 1.0))[0]
    assert found == pytest.approx(math.log(1e-3 / 1.001) + 40 * math.log(cut_normal(1, 0.5, 1)), rel=1e-12)


def test_density_without_results_is_the_prior() -> None:
    parzen = Parzen(np.empty((0, 2)), np.ones(1), np.array([0.0, 4.0]), np.empty((0, 1)), np.array([0.2]))
    [found] = np.exp(parzen.log_density(np.array([[0.3, 0.1]])))
    assert found == pytest.approx(cut_normal(0.3, 0.5, 1) / 4)
    assert parzen.sample(np.random.default_rng(0), 5).shape == (5, 2)


def test_samples_follow_the_density() -> None:
    parzen, n = mixed(), 40_000
    points = parzen.sample(np.random.default_rng(11), n)
    assert ((points >= 0) & (points <= 1)).all()
    middles = (np.arange(400) + 0.5) / 400
    for a, b in itertools.product([0.25, 0.75], [1 / 6, 0.5, 5 / 6]):
        cell = np.exp(parzen.log_density(np.array([[x, a, b] for x in middles]))) / 400
        there = np.isclose(points[:, 1], a) & np.isclose(points[:, 2], b)
        for low, high in [(0, 0.25), (0.25, 0.8), (0.8, 1)]:
            share = cell[(middles > low) & (middles < high)].sum()
            found = np.count_nonzero(there & (points[:, 0] >= low) & (points[:, 0] < high)) / n
            # 6 sigma, 18 shares: fails by chance for one seed in 3e7.
            assert found == pytest.approx(share, abs=6 * math.sqrt(share * (1 - share) / n) + 1e-4)


def test_logsumexp_neither_overflows_nor_underflows() -> None:
    x = np.array([[1000.0, 1000.0], [-1000.0, -1001.0], [0.0, -np.inf]])
    expected = [1000 + math.log(2), -1000 + math.log1p(math.exp(-1)), 0.0]
    assert logsumexp(x) == pytest.approx(expected, rel=1e-15)


def test_scott_bandwidth_is_scotts_rule() -> None:
    points = np.array([[0.1], [0.2], [0.4], [0.6], [0.65]])
    spread = min(points.std(), (np.percentile(points, 75) - np.percentile(points, 25)) / 1.34)
    assert scott_bandwidths(points, np.zeros(1))[:, 0] == pytest.approx([1.059 * spread * 5**-0.2] * 5)
    assert scott_bandwidths(points, np.array([0.7]))[0, 0] == 0.7
    assert scott_bandwidths(points, np.zeros(1), 0.5)[:, 0] == pytest.approx(
        [0.5 * 1.059 * spread * 5**-0.2] * 5
    )


@pytest.mark.parametrize(
    ("dimensions", "factor"), [(1, 0.5), (6, 0.5), (9, 0.6), (16, 0.8), (25, 1.0), (400, 1.0)]
)
def test_density_of_the_others_is_smoother_in_many_dimensions(dimensions: int, factor: float) -> None:
    assert narrowing(dimensions) == pytest.approx(factor)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 10])
def test_scott_bandwidth_takes_quartiles_as_numpy_does(n: int) -> None:
    points = np.random.default_rng(n).random((n, 3))
    low, high = np.percentile(points, [25, 75], axis=0)
    spread = np.minimum(points.std(axis=0), (high - low) / 1.34)
    expected = np.maximum(1.059 * spread * n ** (-1 / 7), 1e-3)
    assert scott_bandwidths(points, np.full(3, 1e-3))[0] == pytest.approx(expected)


def test_neighbour_bandwidth_is_nnis() -> None:
    # Sorted with the prior: 0.1 0.4 [0.5] 0.9; gaps 0.3 0.1 0.4; at least 1 / (3 + 1).
    found = neighbour_bandwidths(np.array([[0.9], [0.1], [0.4]]))
    assert found[:, 0] == pytest.approx([0.4, 0.3, 0.3])
    assert neighbour_bandwidths(np.array([[0.5], [0.5]]))[:, 0] == pytest.approx([1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("n", "gamma", "most", "expected"),
    [
        (20, 0.25, 25, 2),
        (100, 0.25, 25, 3),
        (10_000, 0.25, 25, 25),
        (20_000, 1.0, 10, 10),
        (6, None, 25, 1),
        (101, None, 25, 16),
        (1000, None, 25, 25),
    ],
)
def test_count_good_follows_its_formula(n: int, gamma: float | None, most: int, expected: int) -> None:
    assert count_good(n, gamma, most) == expected


def test_forgetting_weights_ramp_to_the_newest() -> None:
    assert forgetting_weights(3, newest=25).tolist() == [1, 1, 1]
    weights = forgetting_weights(29, newest=25)
    assert weights[:4] == pytest.approx(np.linspace(1 / 29, 1, 4))
    assert (weights[4:] == 1).all()
    assert forgetting_weights(0, newest=25).size == 0


def test_improvement_weights_are_gains_over_their_mean() -> None:
    assert improvement_weights(np.array([1.0, 3.0]), 4.0) == pytest.approx([1.5, 0.5])
    assert improvement_weights(np.array([4.0, 4.0]), 4.0).tolist() == [1, 1]
    assert improvement_weights(np.array([-1.7e308, 1.0]), 1.7e308).tolist() == [1, 1]  # the gain overflows


def test_split_takes_the_lowest_and_keeps_order_of_arrival() -> None:
    good, others = split(np.array([5.0, 1.0, 3.0, 1.0, 0.5]), 2)
    assert good.tolist() == [1, 4]
    assert others.tolist() == [0, 2, 3]


def test_thin_keeps_the_newest_and_the_whole_weight() -> None:
    numbers, weights = np.arange(1000), forgetting_weights(1000, 25)
    kept, kept_weights = thin(numbers, weights, 200, np.random.default_rng(0))
    assert len(kept) == len(set(kept.tolist())) == 200
    assert (np.diff(kept) > 0).all()
    assert kept[-100:].tolist() == list(range(900, 1000))
    assert kept_weights.sum() == pytest.approx(weights.sum())
    same, _ = thin(numbers, weights, 1000, np.random.default_rng(0))
    assert same is numbers
