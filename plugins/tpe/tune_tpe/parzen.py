"""Parzen estimators on the unit cube: weighted mixtures of kernels that are products over parameters.

A kernel is, for a numeric parameter, a normal density cut to [0, 1]; for a categorical one it keeps
its option with probability 1 - flip and otherwise draws any option. The last kernel is the prior.
"""

from __future__ import annotations

import math

import numpy as np

from tune_core.space.normal import normal_cdf, normal_ppf
from tune_tpe.history import Floats

__all__ = ["Parzen", "logsumexp", "narrowing", "neighbour_bandwidths", "scott_bandwidths"]

_LOG_SQRT_2PI = 0.91893853320467274178


def logsumexp(x: Floats) -> Floats:
    """Log of the sum of exponentials over the last axis, without overflow; shape (n, m) to (n,)."""
    highest = x.max(axis=-1, keepdims=True)
    result: Floats = np.log(np.exp(x - highest).sum(axis=-1)) + highest[..., 0]
    return result


class Parzen:
    """One mixture over some columns of the encoding.

    Args:
        points: What the kernels are centred on, coordinates in [0, 1], shape (n, k).
        weights: Of the n kernels and, last, of the prior; shape (n + 1,), not all 0.
        counts: How many options each column has, 0 for numeric ones; shape (k,).
        bandwidths: Standard deviations of the numeric columns before cutting, shape (n, n_numeric).
            The prior's is 1.
        flips: Of the categorical columns, shape (n_categorical,). The prior's is 1.
    """

    def __init__(
        self, points: Floats, weights: Floats, counts: Floats, bandwidths: Floats, flips: Floats
    ) -> None:
        self._numeric = np.flatnonzero(counts == 0)
        self._categorical = np.flatnonzero(counts)
        self._counts = counts[self._categorical]
        self._flips = flips
        self._weights = weights / weights.sum()
        prior = np.full((1, points.shape[1]), 0.5)
        points = np.concatenate([points, prior])
        self._centres = points[:, self._numeric]  # (n + 1, n_numeric)
        self._bandwidths = np.concatenate([bandwidths, np.ones((1, len(self._numeric)))])
        self._options = self._as_options(points)  # (n + 1, n_categorical); the prior's mean nothing
        ends = np.stack([-self._centres, 1.0 - self._centres])
        self._low, self._high = normal_cdf(ends / self._bandwidths)

    def _as_options(self, points: Floats) -> Floats:
        return np.minimum(np.floor(points[:, self._categorical] * self._counts), self._counts - 1)

    def sample(self, rng: np.random.Generator, n: int) -> Floats:
        """Points drawn from the mixture, shape (n, k)."""
        reach = np.cumsum(self._weights)
        kernels = np.minimum(np.searchsorted(reach, rng.random(n), side="right"), len(reach) - 1)
        points = np.empty((n, len(self._numeric) + len(self._categorical)))
        low, high = self._low[kernels], self._high[kernels]
        mass = low + rng.random(low.shape) * (high - low)
        z = normal_ppf(np.clip(mass, 1e-300, 1.0 - 2.0**-53))
        points[:, self._numeric] = np.clip(self._centres[kernels] + self._bandwidths[kernels] * z, 0.0, 1.0)
        options = np.floor(rng.random((n, len(self._counts))) * self._counts)
        keep = rng.random(options.shape) >= self._flips
        keep &= (kernels < len(self._weights) - 1)[:, None]
        options[keep] = self._options[kernels][keep]
        points[:, self._categorical] = (options + 0.5) / self._counts
        return points

    def log_density(self, points: Floats) -> Floats:
        """Natural log at `points`, shape (m, k), of the density in numeric columns and the probability
        in categorical ones; shape (m,)."""
        with np.errstate(divide="ignore"):  # kernels of weight 0, flips of probability 0
            return logsumexp(
                self._log_numeric(points) + self._log_categorical(points) + np.log(self._weights)
            )

    def _log_numeric(self, points: Floats) -> Floats:
        """Log density of the kernels in numeric columns, shape (m, n + 1)."""
        # sum_j (x_j - mu_ij)^2 / h_ij^2 as two matrix products: no (points, kernels, params) array.
        x, mu = points[:, self._numeric] - 0.5, self._centres - 0.5  # smaller numbers cancel less
        precision = self._bandwidths**-2.0
        squares = x**2 @ precision.T - 2.0 * (x @ (mu * precision).T) + (mu**2 * precision).sum(axis=1)
        log_norm = np.log((self._high - self._low) * self._bandwidths).sum(axis=1)
        result: Floats = -0.5 * np.maximum(squares, 0.0) - (log_norm + len(self._numeric) * _LOG_SQRT_2PI)
        return result

    def _log_categorical(self, points: Floats) -> Floats:
        """Log probability of the kernels in categorical columns, shape (m, n + 1)."""
        options = self._as_options(points)
        result = np.zeros((len(points), len(self._weights)))
        for column, (count, flip) in enumerate(zip(self._counts, self._flips, strict=True)):
            same = options[:, column, None] == self._options[:-1, column]  # (m, n)
            result[:, :-1] += np.where(same, np.log(1.0 - flip + flip / count), np.log(flip / count))
            result[:, -1] -= np.log(count)
        return result


def narrowing(dimensions: int) -> float:
    """By what Scott's bandwidths are multiplied for the results that are not good.

    His rule is for a single hump, and those lie everywhere: at its width the estimate hardly sees where they
    lie, and the proposals stay where they are dense. But distances grow with the root of the dimensions, and
    kernels that do not grow with it no longer meet.

    >>> [narrowing(dimensions) for dimensions in (2, 6, 16, 25, 100)]
    [0.5, 0.5, 0.8, 1.0, 1.0]
    """
    return min(max(0.5, 0.2 * math.sqrt(dimensions)), 1.0)


def scott_bandwidths(points: Floats, least: Floats, factor: float = 1.0) -> Floats:
    """Scott's rule in each column, the same for all kernels; shape (n, k).

    Scott, D. W. (1992). Multivariate density estimation, section 6.3, with the smaller of standard
    deviation and interquartile range / 1.34 for the spread.

    Args:
        points: Shape (n, k), in [0, 1].
        least: Smallest bandwidth of each column, shape (k,).
        factor: What the rule is multiplied by.
    """
    n, k = points.shape
    deviation = points.std(axis=0)
    low, high = _quartiles(points)
    spread = np.where(high > low, np.minimum(deviation, (high - low) / 1.34), deviation)
    rule = factor * 1.059 * spread * n ** (-1.0 / (k + 4))
    bandwidths: Floats = np.broadcast_to(np.clip(rule, least, 1.0), points.shape)
    return bandwidths


def _quartiles(points: Floats) -> tuple[Floats, Floats]:
    """First and third quartile of each column, by linear interpolation (np.percentile is ten times
    slower for small arrays)."""
    ordered = np.sort(points, axis=0)
    position = 0.25 * (len(points) - 1)
    index = int(position)
    share = position - index
    low = ordered[index] * (1 - share) + ordered[min(index + 1, len(points) - 1)] * share
    high = ordered[-1 - index] * (1 - share) + ordered[max(-2 - index, -len(points))] * share
    return low, high


def neighbour_bandwidths(points: Floats) -> Floats:
    """Distance to the farther neighbour in each column, the prior's 0.5 being one; shape (n, k).

    Bergstra, J. et al. (2011), section 4.2, as NNI has it: at least 1 / min(100, n + 1), at most 1.
    """
    n, k = points.shape
    everything = np.concatenate([points, np.full((1, k), 0.5)])
    order = np.argsort(everything, axis=0, kind="stable")
    gaps = np.diff(np.take_along_axis(everything, order, axis=0), axis=0)  # (n, k)
    edge = np.zeros((1, k))
    farther = np.maximum(np.concatenate([edge, gaps]), np.concatenate([gaps, edge]))
    bandwidths = np.empty_like(everything)
    np.put_along_axis(bandwidths, order, farther, axis=0)
    np.clip(bandwidths, 1.0 / min(100, n + 1), 1.0, out=bandwidths)
    return bandwidths[:n]
