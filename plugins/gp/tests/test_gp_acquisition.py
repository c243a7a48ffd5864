"""Expected improvement, its probability and the confidence bound against formulae and quadrature."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.integrate import quad
from tune_gp.acquisition import (
    Acquisition,
    log_expected_improvement,
    log_probability_of_improvement,
    pure_exploration,
    upper_bound,
)

CASES = [(0.0, 1.0, 0.5, 0.0), (2.0, 0.5, 1.0, 0.1), (-1.0, 0.1, 0.3, 0.0), (3.0, 0.4, 0.0, 0.2)]


def arrays(mean: float, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([mean]), np.array([deviation])


@pytest.mark.parametrize(("mean", "deviation", "best", "xi"), CASES)
def test_expected_improvement_is_its_integral(mean: float, deviation: float, best: float, xi: float) -> None:
    normal = NormalDist(mean, deviation)
    expected, _ = quad(
        lambda y: (best - xi - y) * normal.pdf(y), mean - 12 * deviation, best - xi, epsabs=1e-18, limit=200
    )
    [found] = log_expected_improvement(*arrays(mean, deviation), best, xi)
    assert math.exp(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("mean", "deviation", "best", "xi"), CASES)
def test_expected_improvement_is_its_formula(mean: float, deviation: float, best: float, xi: float) -> None:
    z, normal = (best - xi - mean) / deviation, NormalDist()
    [found] = log_expected_improvement(*arrays(mean, deviation), best, xi)
    assert math.exp(found) == pytest.approx(
        (best - xi - mean) * normal.cdf(z) + deviation * normal.pdf(z), rel=1e-7
    )


@pytest.mark.parametrize(("mean", "deviation", "best", "xi"), CASES)
def test_probability_of_improvement_is_its_formula(
    mean: float, deviation: float, best: float, xi: float
) -> None:
    [found] = log_probability_of_improvement(*arrays(mean, deviation), best, xi)
    assert math.exp(found) == pytest.approx(NormalDist(mean, deviation).cdf(best - xi), rel=1e-7)


def test_upper_bound_adds_kappa_deviations() -> None:
    assert upper_bound(np.array([2.0, -1.0]), np.array([0.5, 1.0]), 5.0).tolist() == [0.5, 6.0]


@pytest.mark.parametrize("z", [-1.0, -1.0000001, -5.0, -30.0, -999.999, -1000.001, -1e8, -1e50])
def test_log_of_a_tiny_improvement_is_precise(z: float) -> None:
    """phi(z) / z^2 (1 - 3/z^2 + 15/z^4 - ...) far out; neighbours agree where formulae meet."""
    [found] = log_expected_improvement(*arrays(-z, 1.0), 0.0)
    assert math.isfinite(found)
    if z < -20:
        rest = 1 - 3 / z**2 + 15 / z**4
        assert found == pytest.approx(
            -0.5 * z * z - 0.5 * math.log(2 * math.pi) - 2 * math.log(-z) + math.log(rest), rel=1e-7
        )
    [near] = log_expected_improvement(*arrays(-z * (1 + 1e-9), 1.0), 0.0)
    assert found == pytest.approx(near, rel=1e-6)


def test_pure_exploration_is_the_deviation_where_the_best_may_be() -> None:
    mean, deviation = np.array([0.0, 1.4, 1.6, 3.0]), np.array([0.1, 1.0, 1.0, 2.0])
    found = pure_exploration(mean, deviation, best=1.0)
    assert found == pytest.approx([0.1, 1.0, 1.0 - 10 * 0.1, 2.0 - 10 * 1.0])


@pytest.mark.parametrize("utility", ["ei", "ucb", "poi", "pe"])
@pytest.mark.parametrize(("mean", "deviation", "best", "xi"), [*CASES, (40.0, 1.0, 0.0, 0.0)])
def test_slopes_are_differences(utility: str, mean: float, deviation: float, best: float, xi: float) -> None:
    acquisition, step = Acquisition(utility, best, 2.0, xi), 1e-6  # type: ignore[arg-type]
    by_mean, by_deviation = acquisition.slopes(*arrays(mean, deviation))
    in_mean = acquisition(*arrays(mean + step, deviation)) - acquisition(*arrays(mean - step, deviation))
    in_deviation = acquisition(*arrays(mean, deviation + step)) - acquisition(*arrays(mean, deviation - step))
    assert by_mean == pytest.approx(in_mean / (2 * step), rel=1e-5, abs=1e-8)
    assert by_deviation == pytest.approx(in_deviation / (2 * step), rel=1e-5, abs=1e-8)
