"""What to expect of a network: a Gaussian process over networks, by their edit distances.

exp(-d^2) of an edit distance d need not be positive definite. The paper maps networks into a Euclidean
space with Bourgain's theorem and takes the kernel there; so does this. The coordinates of a network are its
distances from those that were tried (Bourgain's sets of one element), and because such a space is Euclidean
the kernel is positive definite whatever networks there are, without random sets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from tune_networkmorphism.distance import Outline, distances

__all__ = ["Posterior", "Surrogate", "gaussian", "standardised"]

Floats = NDArray[np.float64]

_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median distance
_NOISES = (1e-4, 1e-3, 1e-2, 1e-1)  # of the variance of results
_LARGEST = 1e150  # squares of sums of which are finite
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
        places = self._embed(self._landmarks)
        squares = _squares(places, places)
        targets = standardised(np.asarray(values, dtype=np.float64))
        n = len(targets)
        self._places = places
        self._length, noise = _fitted(squares[:n, :n], targets)
        covariance = gaussian(squares, self._length)
        self._known = Posterior.of(covariance[:n, :n], targets, noise)
        everything = np.concatenate([targets, np.zeros(len(running))])
        self._all = Posterior.of(covariance, everything, noise)  # its deviation does not depend on the values

    def predict(self, networks: Sequence[Outline]) -> tuple[Floats, Floats]:
        """Mean and standard deviation of standardised results, both of shape (len(networks),)."""
        cross = gaussian(_squares(self._embed(networks), self._places), self._length)
        mean, _ = self._known.at(cross[:, : len(self._known.weights)])
        return mean, self._all.at(cross)[1]

    def _embed(self, networks: Sequence[Outline]) -> Floats:
        """Euclidean coordinates, shape (len(networks), len(landmarks))."""
        return distances(networks, self._landmarks) / math.sqrt(len(self._landmarks))


def gaussian(squares: Floats, length: float) -> Floats:
    """The kernel, of squared Euclidean distances."""
    kernel: Floats = np.exp(-0.5 * squares / length**2)
    return kernel


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


def _squares(a: Floats, b: Floats) -> Floats:
    """Squared Euclidean distances, shape (len(a), len(b))."""
    squares = (a * a).sum(axis=1)[:, None] - 2.0 * a @ b.T + (b * b).sum(axis=1)
    found: Floats = np.maximum(squares, 0.0)
    return found


def _fitted(squares: Floats, targets: Floats) -> tuple[float, float]:
    """The length scale and the noise of highest posterior probability, of a few.

    The priors are wide, and say that neighbours are alike and that results repeat to a tenth or so.
    """
    apart = np.sqrt(squares[np.triu_indices(len(squares), 1)])
    typical = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    best, found = -math.inf, (typical, 1e-2)
    for share in _LENGTHS:
        covariance = gaussian(squares, share * typical)
        for noise in _NOISES:
            prior = -0.5 * (math.log(share) ** 2 + (math.log10(noise) + 2.0) ** 2)
            score = prior + Posterior.of(covariance, targets, noise).log_likelihood(targets)
            if score > best:
                best, found = score, (share * typical, noise)
    return found
