"""The warps keep the order of results and do what their papers say."""

import numpy as np
import pytest
from scipy.stats import norm, yeojohnson, yeojohnson_normmax
from tune_gp.warp import half_rank, standardise, warp, yeo_johnson, yeo_johnson_power

SAMPLES = {
    "normal": np.random.default_rng(0).standard_normal(101),
    "heavy": np.random.default_rng(1).standard_cauchy(100),
    "ties": np.random.default_rng(2).integers(0, 6, 80).astype(float),
    "huge": np.array([1.7e308, -1.7e308, 0.0, 1.0, 1e300] * 6),
    "tiny": np.array([5e-324, 0.0, 1e-300, 2e-300] * 8),
    "few": np.array([3.0, 1.0]),
    "log": 10.0 ** np.random.default_rng(3).uniform(-8, 8, 60),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_warp_keeps_the_order(name: str) -> None:
    values = SAMPLES[name]
    z, factor = warp(values)
    assert np.isfinite(z).all()
    assert factor > 0
    order = np.argsort(values, kind="stable")
    assert (np.diff(z[order]) >= 0).all()
    assert (z[values == values[0]] == z[0]).all()


def test_warp_of_equal_results_is_nothing() -> None:
    assert warp(np.full(30, 7.0))[0].tolist() == [0.0] * 30
    assert warp(np.array([7.0]))[0].tolist() == [0.0]


def test_standardised_results_have_mean_0_and_deviation_1() -> None:
    z, factor = standardise(SAMPLES["heavy"])
    assert (z.mean(), z.std()) == pytest.approx((0, 1), abs=1e-12)
    assert factor == pytest.approx(1 / SAMPLES["heavy"].std())


def test_half_rank_moves_the_worse_half_to_normal_quantiles() -> None:
    values = np.array([0.0, 1.0, 2.0, 1e6, 50.0])
    warped = half_rank(values)
    spread = np.sqrt((4 + 1 + 0) / 3)
    assert warped[:3].tolist() == [0, 1, 2]
    assert warped[4] == pytest.approx(2 + spread * norm.ppf(3.5 / 5))
    assert warped[3] == pytest.approx(2 + spread * norm.ppf(4.5 / 5))


def test_warp_tells_how_the_best_were_scaled() -> None:
    values = np.array([0.0, 0.001, 0.1, 0.5, 0.6, 3.0, 1e5])
    z, factor = warp(values)
    assert (z[1] - z[0]) / 0.001 == pytest.approx(factor)
    values = -np.exp(SAMPLES["normal"])  # skewed to the better side: it needs the power
    z, factor = warp(np.append(values, values.min() + 1e-7))
    assert (z[-1] - z.min()) / 1e-7 == pytest.approx(factor, rel=1e-4)


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
def test_yeo_johnson_is_scipys(power: float) -> None:
    z = np.linspace(-3, 3, 31)
    assert yeo_johnson(z, power) == pytest.approx(yeojohnson(z, lmbda=power), rel=1e-12, abs=1e-12)


def test_yeo_johnson_power_is_scipys() -> None:
    z = np.exp(SAMPLES["normal"])
    z = (z - z.mean()) / z.std()
    assert yeo_johnson_power(z) == pytest.approx(yeojohnson_normmax(z), abs=0.02)
