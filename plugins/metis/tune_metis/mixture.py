"""Gaussian mixtures by expectation maximisation, for a few dozen points.

With so few points the likelihood has no maximum: a component on a single point grows without bound. What is
climbed is the posterior under the inverse Wishart prior of
Fraley, C. and Raftery, A. E. (2007). Bayesian regularization for normal mixture estimation and model-based
clustering. Journal of Classification 24, 155-181. https://doi.org/10.1007/s00357-007-0004-5
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from tune_gp.embedding import Floats

__all__ = ["Mixture", "fit_mixture"]

_STEPS = 20
_ENOUGH = 1e-4  # of log posterior for each point: less is no progress
_LEAST_WIDTH = 0.02  # standard deviation, of coordinates in [0, 1]: points on a line have none across it


@dataclass(frozen=True)
class Mixture:
    """A weighted sum of normal distributions.

    Attributes:
        weights: Shape (components,).
        means: Shape (components, features).
        factors: Lower Cholesky factors of the covariances, shape (components, features, features).
    """

    weights: Floats
    means: Floats
    factors: Floats

    def log_density(self, x: Floats) -> Floats:
        """Natural log density at points of shape (n, features); shape (n,)."""
        density: Floats = logsumexp(self._joint(x), axis=1)
        return density

    def _joint(self, x: Floats) -> Floats:
        """Log of weight times density, for each component; shape (n, components)."""
        joint = np.empty((len(x), len(self.weights)))
        constant = 0.5 * x.shape[1] * math.log(2.0 * math.pi)
        for k, (mean, factor) in enumerate(zip(self.means, self.factors, strict=True)):
            z = solve_triangular(factor, (x - mean).T, lower=True, check_finite=False)
            log_root = float(np.log(np.diag(factor)).sum())
            joint[:, k] = math.log(self.weights[k]) - constant - log_root - 0.5 * (z * z).sum(axis=0)
        return joint


def fit_mixture(x: Floats, most: int = 3) -> Mixture:
    """The mixture of up to `most` components with the best Bayesian information criterion.

    It depends on the points and their order alone.

    Args:
        x: Points, shape (n, features), n > 0. The first is the middle of the first component at the start.
    """
    features = x.shape[1]
    free = 1 + features + features * (features + 1) // 2  # numbers that a component adds
    fits = [_climb(x, count) for count in range(1, min(most, len(x)) + 1)]
    scores = [
        2.0 * log_likelihood - len(mixture.weights) * free * math.log(len(x))
        for mixture, log_likelihood in fits
    ]
    return fits[int(np.argmax(scores))][0]


def _climb(x: Floats, count: int) -> tuple[Mixture, float]:
    """A mixture of `count` components at the end of its climb, and its log likelihood."""
    scale = _prior_scale(x, count)
    shares = _nearest(x, count)
    before, log_likelihood = -math.inf, -math.inf
    mixture = _maximised(x, shares, scale)
    for _ in range(_STEPS):
        joint = mixture._joint(x)
        totals = logsumexp(joint, axis=1)
        log_likelihood = float(totals.sum())
        if log_likelihood - before < _ENOUGH * len(x) or count == 1:
            break
        before = log_likelihood
        mixture = _maximised(x, np.exp(joint - totals[:, None]), scale)
    return mixture, log_likelihood


def _prior_scale(x: Floats, count: int) -> Floats:
    """The prior's scale matrix, diagonal: the variance of all points, shared out among the components."""
    share = count ** (2.0 / x.shape[1])
    return np.asarray(np.maximum(x.var(axis=0) / share, _LEAST_WIDTH**2))


def _nearest(x: Floats, count: int) -> Floats:
    """To start with, each point belongs to the nearest of `count` points that are far apart."""
    centres = [0]
    squares = ((x - x[0]) ** 2).sum(axis=1)
    while len(centres) < count:
        centres.append(int(squares.argmax()))
        squares = np.minimum(squares, ((x - x[centres[-1]]) ** 2).sum(axis=1))
    distances = ((x[:, None] - x[centres]) ** 2).sum(axis=-1)
    return np.asarray(np.eye(count)[distances.argmin(axis=1)])


def _maximised(x: Floats, shares: Floats, scale: Floats) -> Mixture:
    """The components that are most probable when point i belongs to component k by `shares`[i, k]."""
    features = x.shape[1]
    counts = shares.sum(axis=0) + 1e-10
    means = (shares.T @ x) / counts[:, None]
    factors = np.empty((len(counts), features, features))
    for k, count in enumerate(counts):
        apart = x - means[k]
        scatter = (shares[:, k, None] * apart).T @ apart
        # Degrees of freedom features + 2, and features + 2 more from the mode: equation 13 of the paper.
        covariance = (scatter + np.diag(scale)) / (count + 2.0 * features + 4.0)
        np.einsum("ii->i", covariance)[:] += _LEAST_WIDTH**2
        factors[k] = np.linalg.cholesky(covariance)
    return Mixture(counts / counts.sum(), means, factors)
