"""Kernel densities on the unit cube: products of a kernel for each parameter, one bandwidth for each.

Numeric parameters have normal kernels, categorical ones those of Aitchison and Aitken: an option keeps its
place with probability 1 - h, and the others share h. Bandwidths follow the normal reference rule, as in the
authors' code, whose densities are those of statsmodels' `KDEMultivariate`. Two things differ: bandwidths of
few points are wider, and no probability lies beyond the unit cube.

Aitchison, J. and Aitken, C. G. G. (1976). Multivariate binary discrimination by the kernel method.
Biometrika 63, 413-420. https://doi.org/10.1093/biomet/63.3.413
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tune_core.space.normal import normal_cdf, normal_ppf

__all__ = ["KernelDensity", "bandwidths", "spreads"]

Floats: TypeAlias = NDArray[np.float64]

_LOG_SQRT_2PI = 0.91893853320467274178
_FINEST = 100  # bandwidths of very many points are at least 1 / _FINEST


def spreads(points: Floats, counts: Floats) -> Floats:
    """How far the values of each parameter lie apart; shape (k,).

    The standard deviation of a numeric one. For categorical ones, sqrt((1 - sum of squared shares) / 2): that
    is the standard deviation of 0 and 1 where there are two options. The authors' code takes that of the
    options' numbers, which depends on the order in which they are listed.

    Args:
        points: Coordinates in [0, 1] and numbers of options, shape (n, k).
        counts: How many options each column has, 0 for numeric ones; shape (k,).
    """
    found: Floats = points.std(axis=0)
    for column in np.flatnonzero(counts):
        shares = np.bincount(points[:, column].astype(int)) / len(points)
        found[column] = np.sqrt(max(1.0 - (shares**2).sum(), 0.0) / 2.0)
    return found


def bandwidths(points: Floats, counts: Floats, least: float) -> Floats:
    """The normal reference rule, 1.06 spread n^(-1 / (4 + k)), but not below a floor; shape (k,).

    The floor is 1 / (n + 2), at most `_FINEST` of them, as TPE's: by the rule alone, the kernels of the few
    configurations that ever reach a large budget, which are near one another because they were chosen, are so
    narrow that nothing but these is proposed again.

    The bandwidth of a categorical parameter is at most (c - 1) / c, where its kernel is uniform.
    """
    n, k = points.shape
    floor = max(least, 1.0 / min(n + 2, _FINEST))
    rule = np.maximum(1.06 * spreads(points, counts) * n ** (-1.0 / (4 + k)), floor)
    most = np.where(counts > 0, (counts - 1) / np.maximum(counts, 1), np.inf)
    found: Floats = np.minimum(rule, most)
    return found


class KernelDensity:
    """The mean of the kernels around `points`, each cut to the unit cube.

    Args:
        points: Coordinates in [0, 1] and numbers of options, shape (n, k).
        counts: How many options each column has, 0 for numeric ones; shape (k,).
        least: The smallest bandwidth.
    """

    def __init__(self, points: Floats, counts: Floats, least: float) -> None:
        self._points = points
        self._counts = counts
        self._numeric = np.flatnonzero(counts == 0)
        self._categorical = np.flatnonzero(counts)
        self.bandwidths = bandwidths(points, counts, least)
        h, centres = self.bandwidths[self._numeric], points[:, self._numeric]
        self._inside = normal_cdf((1.0 - centres) / h) - normal_cdf(
            -centres / h
        )  # of each kernel, (n, numeric)

    def log_density(self, points: Floats) -> Floats:
        """Natural log at `points`, shape (m, k); shape (m,)."""
        # Sums of logs where the authors bound a product by 1e-32: with 40 parameters it would always be that.
        kernels = self._log_numeric(points) + self._log_categorical(points)  # (m, n)
        highest = kernels.max(axis=1, keepdims=True)
        result: Floats = np.log(np.exp(kernels - highest).mean(axis=1)) + highest[:, 0]
        return result

    def _log_numeric(self, points: Floats) -> Floats:
        h = self.bandwidths[self._numeric]
        x, centres = (each[:, self._numeric] / h for each in (points, self._points))
        # (x - c)^2 as x^2 - 2 x c + c^2, a matrix product: no (m, n, k) array.
        squares = (x**2).sum(axis=1)[:, None] - 2.0 * (x @ centres.T) + (centres**2).sum(axis=1)
        result: Floats = -0.5 * np.maximum(squares, 0.0) - (np.log(h) + _LOG_SQRT_2PI).sum()
        return result - np.log(self._inside).sum(axis=1)

    def _log_categorical(self, points: Floats) -> Floats:
        result = np.zeros((len(points), len(self._points)))
        for column in self._categorical:
            h, others = self.bandwidths[column], max(self._counts[column] - 1.0, 1.0)
            same = points[:, column, None] == self._points[:, column]
            # An only option has the bandwidth 0, and is never different.
            result += np.where(same, np.log1p(-h), np.log(max(h, 1e-300) / others))
        return result

    def sample_around(self, rng: np.random.Generator, n: int, factor: float) -> Floats:
        """Candidates: a random point, moved; shape (n, k).

        Numeric coordinates by a normal of `factor` bandwidths, cut to [0, 1]; an option stays with
        probability 1 - h, or else is any, itself too.
        """
        found = self._points[rng.integers(len(self._points), size=n)].copy()
        centres, h = found[:, self._numeric], factor * self.bandwidths[self._numeric]
        low, high = normal_cdf(-centres / h), normal_cdf((1.0 - centres) / h)
        mass = low + rng.random(low.shape) * (high - low)
        moved = centres + h * normal_ppf(np.clip(mass, 1e-300, 1.0 - 2.0**-53))
        found[:, self._numeric] = np.clip(moved, 0.0, 1.0)
        counts = self._counts[self._categorical]
        options = np.floor(rng.random((n, len(counts))) * counts)
        leave = rng.random(options.shape) < self.bandwidths[self._categorical]
        found[:, self._categorical] = np.where(leave, options, found[:, self._categorical])
        return found
