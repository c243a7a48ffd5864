"""The Gaussian process against closed formulae, other implementations and differences."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from tune_gp.kernel import matern, matern_and_slope, matern_slope, squared_distances
from tune_gp.process import Hyper, Process, Smoothness, fit, negative_log_posterior

OWNERS = np.array([0, 1, 1, 2])
HYPER = Hyper(np.array([0.3, 0.8, 1.5]), 1.7, 0.02)
FORM = Smoothness()


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, len(OWNERS)))


def covariance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Point by point, from the definition."""
    lengths = HYPER.lengths[OWNERS]
    r = np.array([[math.dist(a / lengths, b / lengths) for b in y] for a in x]) * math.sqrt(5)
    return np.asarray(HYPER.signal * (1 + r + r**2 / 3) * np.exp(-r))


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_matern_of_any_smoothness_meets_the_closed_forms(nu: float) -> None:
    squares = np.array([0.0, 1e-6, 0.01, 0.5, 3.0, 40.0])
    assert matern(squares, nu + 1e-9) == pytest.approx(matern(squares, nu), abs=1e-6)
    assert matern_slope(squares[1:], nu + 1e-9) == pytest.approx(matern_slope(squares[1:], nu), rel=1e-4)
    assert matern(squares, nu)[0] == 1


def test_matern_of_growing_smoothness_becomes_the_squared_exponential() -> None:
    squares = np.array([0.0, 1e-20, 0.1, 1.0, 4.0])
    assert matern(squares, math.inf) == pytest.approx(np.exp(-squares / 2))
    assert matern(squares, 100.0) == pytest.approx(np.exp(-squares / 2), abs=0.01)
    assert matern_slope(squares, 100.0) == pytest.approx(-0.5 * np.exp(-squares / 2), abs=0.01)


@pytest.mark.parametrize("nu", [0.5, 0.8, 1.5, 2.5, 3.5, math.inf])
def test_matern_slope_is_the_derivative(nu: float) -> None:
    squares = np.array([0.01, 0.3, 2.0, 9.0])
    step = 1e-6
    differences = (matern(squares + step, nu) - matern(squares - step, nu)) / (2 * step)
    assert matern_slope(squares, nu) == pytest.approx(differences, rel=1e-5)


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5, 3.5, math.inf])
def test_matern_and_slope_are_both(nu: float) -> None:
    squares = np.array([0.0, 1e-8, 0.01, 0.5, 3.0, 900.0])
    correlation, slope = matern_and_slope(squares, nu)
    assert correlation == pytest.approx(matern(squares, nu), rel=1e-13)
    assert slope == pytest.approx(matern_slope(squares, nu), rel=1e-13)


def test_posterior_follows_the_closed_formulae() -> None:
    x, new, targets = points(12), points(5, seed=1), np.sin(np.arange(12.0))
    process = Process(x, OWNERS, HYPER, FORM)
    mean, variance = process.posterior(new, process.weights(targets))
    noisy = covariance(x, x) + (HYPER.noise + FORM.alpha) * np.eye(12)
    cross = covariance(new, x)
    assert mean == pytest.approx(cross @ np.linalg.solve(noisy, targets), rel=1e-9)
    explained = np.einsum("ij,ji->i", cross, np.linalg.solve(noisy, cross.T))
    assert variance == pytest.approx(HYPER.signal - explained, rel=1e-9)


def test_posterior_at_one_point_is_the_scalar_formula() -> None:
    process = Process(points(1), OWNERS, HYPER, FORM)
    mean, variance = process.posterior(points(1), process.weights(np.array([2.0])))
    total = HYPER.signal + HYPER.noise + FORM.alpha
    assert mean[0] == pytest.approx(2.0 * HYPER.signal / total)
    assert variance[0] == pytest.approx(HYPER.signal - HYPER.signal**2 / total)


def test_means_at_the_points_are_the_posterior_there() -> None:
    x, targets = points(12), np.sin(np.arange(9.0))
    process = Process(x, OWNERS, HYPER, FORM)
    weights = process.weights(targets)
    expected, _ = process.posterior(x[:9], weights)
    assert process.means(targets, weights) == pytest.approx(expected, abs=1e-10)


def test_extension_is_the_full_factorisation() -> None:
    x, new, targets = points(30), points(7, seed=1), np.cos(np.arange(30.0))
    full = Process(x, OWNERS, HYPER, FORM)
    grown = Process(x[:10], OWNERS, HYPER, FORM)
    for row in x[10:20]:
        grown = grown.extended(row[None])
    grown = grown.extended(x[20:])
    assert len(grown) == 30
    for got, wanted in zip(
        grown.posterior(new, grown.weights(targets)), full.posterior(new, full.weights(targets)), strict=True
    ):
        assert got == pytest.approx(wanted, rel=1e-8)


def test_extension_by_a_repeated_point_stays_finite() -> None:
    hyper = Hyper(HYPER.lengths, 1.0, 0.0)
    process = Process(points(3), OWNERS, hyper, Smoothness(alpha=1e-10))
    for _ in range(20):
        process = process.extended(points(3)[1:2])
    mean, variance = process.posterior(points(4, seed=1), process.weights(np.ones(23)))
    assert np.isfinite(mean).all()
    assert (variance > 0).all()


def test_running_points_take_deviation_and_leave_the_mean() -> None:
    x, new, targets = points(10), points(6, seed=1), np.arange(10.0)
    process = Process(x, OWNERS, HYPER, FORM)
    waiting = process.extended(new[:1])
    before, after = (each.posterior(new, each.weights(targets)) for each in (process, waiting))
    assert after[0] == pytest.approx(before[0], rel=1e-9)
    assert (after[1] < before[1]).all()
    assert after[1][0] < 0.1 * before[1][0]


def test_slopes_are_the_differences_of_the_posterior() -> None:
    process = Process(points(12), OWNERS, HYPER, FORM).extended(points(1, seed=3))
    weights = process.weights(np.sin(np.arange(12.0)))
    new, step = points(3, seed=2), 1e-6
    mean, variance, mean_slope, variance_slope = process.slopes(new, weights)
    assert mean == pytest.approx(process.posterior(new, weights)[0])
    assert variance == pytest.approx(process.posterior(new, weights)[1])
    for column in range(len(OWNERS)):
        ahead, behind = new.copy(), new.copy()
        ahead[:, column] += step
        behind[:, column] -= step
        high, low = process.posterior(ahead, weights), process.posterior(behind, weights)
        assert mean_slope[:, column] == pytest.approx((high[0] - low[0]) / (2 * step), rel=1e-4, abs=1e-7)
        assert variance_slope[:, column] == pytest.approx((high[1] - low[1]) / (2 * step), rel=1e-4, abs=1e-7)


def test_marginal_likelihood_is_that_of_the_normal_distribution() -> None:
    x, targets = points(15), np.sin(np.arange(15.0))
    logs = np.log([*HYPER.lengths, HYPER.signal, HYPER.noise])
    other = np.log([0.5, 0.5, 0.7, 1.0, 0.1])

    def likelihood(at: np.ndarray) -> float:
        lengths = np.exp(at[:-2])[OWNERS]
        within = np.exp(at[-2]) * matern(squared_distances(x / lengths, x / lengths), 2.5)
        return float(
            multivariate_normal(cov=within + (np.exp(at[-1]) + FORM.alpha) * np.eye(15)).logpdf(targets)
        )

    def prior(at: np.ndarray) -> float:
        z = (at - np.array([*[math.log(FORM.length)] * 3, 0.0, -4.0])) / [1, 1, 1, 1, 2.5]
        return float(-0.5 * (z**2).sum())

    got = [negative_log_posterior(at, x, targets, OWNERS, FORM)[0] for at in (logs, other)]
    wanted = [-likelihood(at) - prior(at) for at in (logs, other)]
    assert got[0] - got[1] == pytest.approx(wanted[0] - wanted[1], rel=1e-8)


@pytest.mark.parametrize("nu", [1.5, 2.5, 3.0, math.inf])
def test_gradient_of_the_marginal_likelihood_is_its_differences(nu: float) -> None:
    x, targets, form = points(15), np.sin(np.arange(15.0)), Smoothness(nu)
    logs = np.log([*HYPER.lengths, HYPER.signal, HYPER.noise])
    _, gradient = negative_log_posterior(logs, x, targets, OWNERS, form)
    for place, step in enumerate(np.eye(len(logs)) * 1e-5):
        high, _ = negative_log_posterior(logs + step, x, targets, OWNERS, form)
        low, _ = negative_log_posterior(logs - step, x, targets, OWNERS, form)
        assert gradient[place] == pytest.approx((high - low) / 2e-5, rel=1e-4, abs=1e-6)


def test_fit_finds_the_parameter_that_matters_and_the_noise() -> None:
    rng = np.random.default_rng(4)
    x = rng.random((80, 2))
    targets = np.sin(8 * x[:, 0]) + 0.1 * rng.standard_normal(80)
    hyper = fit(x, targets, np.arange(2), 2, FORM)
    assert hyper.lengths[0] < 0.5 < 3 * hyper.lengths[0] < hyper.lengths[1]
    assert 0.005 < hyper.noise < 0.02  # of 0.01


def test_fit_of_equal_results_is_the_prior_and_no_error() -> None:
    hyper = fit(points(10), np.zeros(10), OWNERS, 3, FORM)
    assert np.isfinite([*hyper.lengths, hyper.signal, hyper.noise]).all()
