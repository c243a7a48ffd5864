"""Mixtures against their formulae, and the gain of a measurement against quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from tune_metis.gain import expected_minimum
from tune_metis.mixture import _LEAST_WIDTH, Mixture, _climb, _maximised, _prior_scale, fit_mixture


def test_density_is_that_of_normal_distributions() -> None:
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(2, 3, 3))
    covariances = roots @ roots.transpose(0, 2, 1) + np.eye(3)
    mixture = Mixture(np.array([0.3, 0.7]), rng.normal(size=(2, 3)), np.linalg.cholesky(covariances))
    x = rng.normal(size=(5, 3))
    expected = sum(
        weight * multivariate_normal(mean, covariance).pdf(x)
        for weight, mean, covariance in zip(mixture.weights, mixture.means, covariances, strict=True)
    )
    assert mixture.log_density(x) == pytest.approx(np.log(expected))


def test_one_component_is_the_mode_of_the_posterior() -> None:
    x = np.random.default_rng(1).random((12, 2))
    mixture, _ = _climb(x, 1)
    apart = x - x.mean(axis=0)
    covariance = (apart.T @ apart + np.diag(x.var(axis=0))) / (12 + 2 * 2 + 4)
    assert mixture.means[0] == pytest.approx(x.mean(axis=0))
    found = mixture.factors[0] @ mixture.factors[0].T
    assert found == pytest.approx(covariance + _LEAST_WIDTH**2 * np.eye(2))


def test_two_clusters_are_found() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal([0.2, 0.3], 0.03, (30, 2)), rng.normal([0.8, 0.6], 0.03, (10, 2))])
    mixture = fit_mixture(x)
    assert len(mixture.weights) == 2
    order = np.argsort(mixture.means[:, 0])
    assert mixture.means[order] == pytest.approx(np.array([[0.2, 0.3], [0.8, 0.6]]), abs=0.03)
    assert mixture.weights[order] == pytest.approx([0.75, 0.25], abs=1e-3)


def test_one_cluster_needs_one_component() -> None:
    x = np.random.default_rng(3).normal(0.5, 0.1, (40, 3))
    assert len(fit_mixture(x).weights) == 1


def test_each_step_climbs() -> None:
    """Expectation maximisation never lowers the likelihood by more than the prior wins."""
    x = np.random.default_rng(4).random((25, 2))
    scale = _prior_scale(x, 3)

    def log_posterior(mixture: Mixture) -> float:
        total = float(mixture.log_density(x).sum())
        for factor in mixture.factors:
            inverse = np.linalg.inv(factor @ factor.T - _LEAST_WIDTH**2 * np.eye(2))
            log_root = float(np.linalg.slogdet(inverse)[1])
            # Inverse Wishart with features + 2 degrees of freedom, and the flat prior of the mean.
            total += 0.5 * (2 * 2 + 4) * log_root - 0.5 * float((np.diag(inverse) * scale).sum())
        return total

    shares = np.eye(3)[np.arange(25) % 3]
    mixture = _maximised(x, shares, scale)
    heights = []
    for _ in range(15):
        heights.append(log_posterior(mixture))
        joint = mixture._joint(x)
        shares = np.exp(joint - mixture.log_density(x)[:, None])
        mixture = _maximised(x, shares, scale)
    assert heights[-1] > heights[0] + 0.5
    assert np.diff(heights).min() > -0.02  # the least width is added after the maximum


def test_points_on_one_spot_are_no_singularity() -> None:
    mixture = fit_mixture(np.full((6, 3), 0.4))
    assert np.isfinite(mixture.log_density(np.array([[0.4, 0.4, 0.4], [0.0, 1.0, 0.0]]))).all()


def test_expected_minimum_of_two_lines_is_expected_improvement() -> None:
    best, mean, deviation = -0.3, 0.2, 0.7
    z = (best - mean) / deviation
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    improvement = (best - mean) * 0.5 * (1 + math.erf(z / math.sqrt(2))) + deviation * density
    found = expected_minimum(np.array([best, mean]), np.array([0.0, deviation]))
    assert found == pytest.approx(best - improvement)


@pytest.mark.parametrize("seed", range(5))
def test_expected_minimum_agrees_with_quadrature(seed: int) -> None:
    rng = np.random.default_rng(seed)
    intercepts, slopes = rng.normal(size=9), rng.normal(size=9).round(1)  # some are parallel
    z = np.linspace(-9, 9, 200_001)
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    lowest = (intercepts[:, None] + slopes[:, None] * z).min(axis=0)
    expected = float(np.trapezoid(lowest * density, z))
    assert expected_minimum(intercepts, slopes) == pytest.approx(expected, abs=1e-7)


def test_certain_results_gain_nothing() -> None:
    assert expected_minimum(np.array([2.0, -1.0, 0.5]), np.zeros(3)) == -1.0
