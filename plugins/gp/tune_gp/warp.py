"""What the model is shown in place of results: warped so that a normal distribution fits them.

The worse half is replaced by what its ranks would have in a normal distribution as wide as the better
half, so that a few disasters do not hide the differences that count:
Song, X. et al. (2024). The Vizier Gaussian process bandit algorithm. https://arxiv.org/abs/2408.11527

What is skewed after that is straightened by a power transform:
Yeo, I.-K. and Johnson, R. A. (2000). A new family of power transformations to improve normality or symmetry.
Biometrika 87, 954-959. https://doi.org/10.1093/biomet/87.4.954

Lower is better throughout, and no step changes the order of results.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtri

from tune_gp.embedding import Floats

__all__ = ["half_rank", "standardise", "warp", "yeo_johnson", "yeo_johnson_power"]

_ENOUGH_FOR_POWER = 20
_SKEWED = 1.0


def warp(values: Floats, *, straighten: bool = True) -> tuple[Floats, float]:
    """Targets for the model, and the factor by which the best results were scaled; shape (n,).

    Args:
        straighten: Apply the two warps; else results are standardised only.
    """
    scaled, factor = standardise(values)
    if not straighten:
        return scaled, factor
    z, second = standardise(half_rank(scaled))
    factor *= second
    if len(z) >= _ENOUGH_FOR_POWER and abs(_skewness(z)) > _SKEWED:
        power = yeo_johnson_power(z)
        slope = (1.0 - z.min()) ** (1.0 - power) if z.min() < 0 else 1.0
        z, second = standardise(yeo_johnson(z, power))
        factor *= second * float(slope)
    return z, factor


def standardise(values: Floats) -> tuple[Floats, float]:
    """Mean 0 and deviation 1, and the factor that did it; all 0 where results do not differ."""
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = values.min(), values.max()
        width = high - low
    if width == 0 or not len(values):
        return np.zeros(len(values)), 1.0
    if not np.isfinite(width):  # results as far apart as floating point allows
        return standardise(values / 4.0)
    unit = (values - low) / width  # first to [0, 1]: squares of 1e300 overflow
    centred = unit - unit.mean()
    deviation = float(np.sqrt((centred**2).mean()))
    return centred / deviation, float(1.0 / width / deviation)


def half_rank(values: Floats) -> Floats:
    """Results worse than the median are moved to normal quantiles; the others stay."""
    n = len(values)
    median = float(np.median(values))
    better = values[values <= median]
    spread = float(np.sqrt(((better - median) ** 2).mean()))
    worse = values > median
    if not spread or not worse.any():
        return values
    # Equal results share a rank.
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[place]
    warped = values.copy()
    warped[worse] = median + spread * ndtri((ranks[worse] - 0.5) / n)
    return np.where(worse, np.maximum(warped, median), warped)


def _skewness(z: Floats) -> float:
    return float((z**3).mean())


def yeo_johnson(z: Floats, power: float) -> Floats:
    """The transform itself; the identity for a power of 1, and rising for all."""
    result = np.empty_like(z)
    up = z >= 0
    high, low = np.log1p(z[up]), np.log1p(-z[~up])
    result[up] = high if abs(power) < 1e-9 else np.expm1(power * high) / power
    rest = 2.0 - power
    result[~up] = -low if abs(rest) < 1e-9 else -np.expm1(rest * low) / rest
    return result


def yeo_johnson_power(z: Floats) -> float:
    """The power that makes standardised results most normal, by their likelihood."""
    logs = float((np.sign(z) * np.log1p(np.abs(z))).sum())

    def cost(power: float) -> float:
        return 0.5 * len(z) * float(np.log(yeo_johnson(z, power).var() + 1e-300)) - (power - 1.0) * logs

    return float(minimize_scalar(cost, bounds=(-2.0, 4.0), method="bounded", options={"xatol": 1e-2}).x)
