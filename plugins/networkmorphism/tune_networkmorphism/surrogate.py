"""What to expect of a network: a Gaussian process over networks, by their edit distances.

The kernel is exp(-d / length). An edit distance is nearly, but not quite, one for which that is positive
definite, so the covariance of what is known is replaced by the nearest one that is, and a variance below zero
is zero. The paper embeds networks in a Euclidean space instead, with Bourgain's theorem, by their distances
from those that are known; but then all that is equally far from those is alike, whatever makes it so far, and
one bad network speaks against every other that is new.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from tune_networkmorphism.distance import Outline, distances

__all__ = ["Posterior", "Surrogate", "nearest_positive", "standardised"]

Floats = NDArray[np.float64]

_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median distance
_NOISES = (1e-4, 1e-3, 1e-2, 1e-1)  # of the variance of results
_LARGEST = 1e150  # squares of sums of which are finite
# What a network is expected to be of which nothing is known, in deviations above the mean of results. Around
# 0, a confidence bound promises most as far away as one may go, and a tree of networks has no end.
_UNKNOWN = 2.0
_BAD = 3.0  # spreads above the median from which results are equally bad


@dataclass(frozen=True)
class Posterior:
    """A Gaussian process of unit variance around 0, given values.

    Attributes:
        factor: Lower Cholesky factor of the covariance with noise, shape (n, n).
        weights: Its inverse times the values, shape (n,).
    """

    factor: Floats
    weights: Floats

    @classmethod
    def of(cls, covariance: Floats, values: Floats, noise: float) -> Posterior:
        """Given `values`, shape (n,), at points of this covariance, shape (n, n)."""
        factor, _ = cho_factor(covariance + noise * np.eye(len(values)), lower=True)
        factor = np.tril(factor)
        return cls(factor, cho_solve((factor, True), values))

    def at(self, cross: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, both of shape (m,), at points of covariance `cross`, shape (m, n)."""
        explained = solve_triangular(self.factor, cross.T, lower=True)
        variance = 1.0 - np.einsum("ij,ij->j", explained, explained)
        return cross @ self.weights, np.sqrt(np.maximum(variance, 0.0))

    def log_likelihood(self, values: Floats) -> float:
        """Of `values` themselves (Rasmussen and Williams, equation 5.8)."""
        return float(
            -0.5 * values @ self.weights
            - np.log(np.diag(self.factor)).sum()
            - 0.5 * len(values) * math.log(2.0 * math.pi)
        )


class Surrogate:
    """Learns from results and from what is running.

    Args:
        tried: Networks with results.
        values: Their results, lower is better, shape (n,).
        running: Networks without. They take away the deviation around them, and leave the mean as it is.
    """

    def __init__(
        self, tried: Sequence[Outline], values: Sequence[float], running: Sequence[Outline] = ()
    ) -> None:
        self._landmarks = [*tried, *running]
        apart = distances(self._landmarks, self._landmarks)
        targets = standardised(np.asarray(values, dtype=np.float64)) - _UNKNOWN
        n = len(targets)
        self._length, noise = _fitted(apart[:n, :n], targets)
        covariance = nearest_positive(np.exp(-apart / self._length))
        self._known = Posterior.of(covariance[:n, :n], targets, noise)
        everything = np.concatenate([targets, np.zeros(len(running))])
        self._all = Posterior.of(covariance, everything, noise)  # its deviation does not depend on the values

    def predict(self, networks: Sequence[Outline]) -> tuple[Floats, Floats]:
        """Mean and standard deviation of standardised results, both of shape (len(networks),)."""
        cross = np.exp(-distances(networks, self._landmarks) / self._length)
        mean, _ = self._known.at(cross[:, : len(self._known.weights)])
        return mean + _UNKNOWN, self._all.at(cross)[1]


def nearest_positive(covariance: Floats) -> Floats:
    """The nearest matrix with no negative eigenvalue (Higham, 1988), shape (n, n)."""
    values, vectors = np.linalg.eigh(covariance)
    positive: Floats = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return positive


def standardised(values: Floats) -> Floats:
    """Around 0 and of unit variance. Lower is better; the worst are cut off, as a net that diverged says no
    more than that it is bad. However large they are, shape (n,)."""
    values = np.clip(values, -_LARGEST, _LARGEST)
    scaled = values - np.median(values)
    spread = float(np.median(np.abs(scaled)))
    if spread > 0.0:
        scaled = np.minimum(scaled, _BAD * 1.4826 * spread)  # so many deviations, if they are normal
    most = float(np.abs(scaled).max())
    if most < np.finfo(np.float64).tiny:
        return np.zeros(len(values))
    scaled /= most
    standard: Floats = (scaled - scaled.mean()) / scaled.std()
    return standard


def _fitted(apart: Floats, targets: Floats) -> tuple[float, float]:
    """The length scale and the noise of highest posterior probability, of a few.

    The priors are wide, and say that neighbours are alike and that results repeat to a tenth or so.

    Args:
        apart: Distances, shape (n, n).
        targets: Shape (n,).
    """
    pairs = apart[np.triu_indices(len(apart), 1)]
    typical = float(np.median(pairs[pairs > 0])) if (pairs > 0).any() else 1.0
    best, found = -math.inf, (typical, 1e-2)
    for share in _LENGTHS:
        covariance = nearest_positive(np.exp(-apart / (share * typical)))
        for noise in _NOISES:
            prior = -0.5 * (math.log(share) ** 2 + (math.log10(noise) + 2.0) ** 2)
            score = prior + Posterior.of(covariance, targets, noise).log_likelihood(targets)
            if score > best:
                best, found = score, (share * typical, noise)
    return found
