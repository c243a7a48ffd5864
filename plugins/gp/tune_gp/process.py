"""Gaussian process regression: posterior, extension by one row, and the fit of its scales.

Rasmussen, C. E. and Williams, C. K. I. (2006). Gaussian processes for machine learning, chapters 2 and 5.
http://gaussianprocess.org/gpml/

The inverse V of the Cholesky factor is what is kept: the inverse covariance is V'V, the variance is a
matrix product, and a row more costs O(n^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dtrmm
from scipy.linalg.lapack import dpotrf, dpotri, dtrtri
from scipy.optimize import minimize

from tune_gp.embedding import Floats, Indices
from tune_gp.kernel import matern, matern_and_slope, squared_distances

__all__ = ["Hyper", "Process", "Smoothness", "fit", "negative_log_posterior"]

# Priors of the logarithms, normal: of length scales the deviation, of signal and noise mean and deviation.
_LENGTH = 1.0
_SIGNAL = (0.0, 1.0)
_NOISE = (-4.0, 2.5)
_BOUNDS = ((-4.6, 5.0), (-3.0, 4.0), (-16.0, 1.0))  # of length scales, signal, noise
_STEPS = 40
_BLOCK = 64  # points that are predicted at once: their covariances fit into the cache


@dataclass(frozen=True)
class Smoothness:
    """What is not fitted.

    Attributes:
        nu: Of the Matern kernel.
        alpha: The least variance of the noise, in units of the variance of the targets.
        length: Where the prior of the length scales has its middle.
    """

    nu: float = 2.5
    alpha: float = 1e-6
    length: float = 0.5


@dataclass(frozen=True)
class Hyper:
    """The fitted scales.

    Attributes:
        lengths: Shape (scales,).
        signal: Variance of the function.
        noise: Variance of the noise, alpha not counted.
    """

    lengths: Floats
    signal: float
    noise: float

    @classmethod
    def from_logs(cls, logs: Floats) -> Hyper:
        """From the vector that `fit` searches: log length scales, log signal, log noise."""
        return cls(np.exp(logs[:-2]), float(np.exp(logs[-2])), float(np.exp(logs[-1])))


class Process:
    """A process with given scales, conditioned on some points; targets are given when asked.

    Args:
        features: Of the points, shape (n, features).
        owners: The length scale of each feature.
    """

    def __init__(self, features: Floats, owners: Indices, hyper: Hyper, form: Smoothness) -> None:
        self.hyper, self._form = hyper, form
        self._inverse_scale: Floats = 1.0 / hyper.lengths[owners]
        self._noise = hyper.noise + form.alpha
        self._place(features * self._inverse_scale)
        covariance = hyper.signal * matern(self._squares(self._x), form.nu)
        np.einsum("ii->i", covariance)[:] += self._noise
        self._v: Floats = _inverse_factor(covariance)

    def __len__(self) -> int:
        return len(self._x)

    def _place(self, x: Floats) -> None:
        """Keep the scaled points, shape (n, features)."""
        self._x, self._lengths = x, np.einsum("ij,ij->i", x, x)

    def _squares(self, x: Floats) -> Floats:
        """Squared distances of scaled points, shape (m, features), from the process's; shape (m, n)."""
        return squared_distances(x, self._x, self._lengths)

    def extended(self, features: Floats) -> Process:
        """This process with m more points, shape (m, features); costs O(m n^2)."""
        larger = object.__new__(Process)
        larger.hyper, larger._form = self.hyper, self._form
        larger._inverse_scale, larger._noise = self._inverse_scale, self._noise
        n, x = len(self._x), features * self._inverse_scale
        cross = self.covariance(features)  # (m, n)
        rows = cross @ self._v.T
        inner = self.hyper.signal * matern(squared_distances(x, x), self._form.nu) - rows @ rows.T
        np.einsum("ii->i", inner)[:] += self._noise
        corner = _inverse_factor(inner)
        larger._place(np.concatenate([self._x, x]))
        larger._v = np.zeros((n + len(x), n + len(x)))
        larger._v[:n, :n] = self._v
        larger._v[n:, :n] = -corner @ (rows @ self._v)
        larger._v[n:, n:] = corner
        return larger

    def weights(self, targets: Floats) -> Floats:
        """What correlations are weighed with in the mean, of targets of the first points; shape (n,).

        The leading block of V is the V of the first points alone: points beyond the targets, those of
        trials that are still running, have no influence on the mean.
        """
        leading = self._v[: len(targets), : len(targets)]
        return (leading @ targets) @ leading

    def means(self, targets: Floats, weights: Floats) -> Floats:
        """At the first points, those of the targets, shape (n,): K w, where (K + noise) w are the targets."""
        return targets - self._noise * weights

    def left_out(self, weights: Floats) -> Floats:
        """By how much each of the first points differs from what the others predict, shape (n,).

        Rasmussen and Williams' equation 5.12; `weights` are those of the targets.
        """
        leading = self._v[: len(weights), : len(weights)]
        errors: Floats = weights / np.einsum("ij,ij->j", leading, leading)
        return errors

    def covariance(self, features: Floats) -> Floats:
        """With the points, of m others; shape (m, n)."""
        return self.hyper.signal * matern(self._squares(features * self._inverse_scale), self._form.nu)

    def nearness(self, features: Floats, others: Floats) -> Floats:
        """Correlations at half the length scales: who counts as a neighbour; shape (m, n)."""
        squares = squared_distances(features * self._inverse_scale, others * self._inverse_scale)
        return matern(4.0 * squares, self._form.nu)

    def posterior(self, features: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the function itself, without noise, at m points; both of shape (m,)."""
        mean, variance = np.empty(len(features)), np.empty(len(features))
        for start in range(0, len(features), _BLOCK):
            block = slice(start, start + _BLOCK)
            cross = self.covariance(features[block])
            mean[block] = cross[:, : len(weights)] @ weights
            # Half of V is 0.
            explained = dtrmm(1.0, self._v.T, cross.T, trans_a=1)
            variance[block] = self.hyper.signal - np.einsum("ij,ij->j", explained, explained)
        return mean, np.maximum(variance, 1e-12 * self.hyper.signal)

    def slopes(self, features: Floats, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """`posterior`, and the gradients of both in the features, shape (m, features)."""
        x = features * self._inverse_scale
        cross, slope = matern_and_slope(self._squares(x), self._form.nu)
        cross *= self.hyper.signal
        slope *= 2.0 * self.hyper.signal
        explained = self._v @ cross.T
        variance = self.hyper.signal - np.einsum("ij,ij->j", explained, explained)
        mean: Floats = cross[:, : len(weights)] @ weights
        mean_slope = self._along(x, slope[:, : len(weights)] * weights)
        variance_slope = self._along(x, slope * (self._v.T @ explained).T) * -2.0
        return mean, np.maximum(variance, 1e-12 * self.hyper.signal), mean_slope, variance_slope

    def _along(self, x: Floats, pulls: Floats) -> Floats:
        """The sum over points i of pulls_ai (x_a - x_i), in unscaled features; shape (m, features)."""
        from_points = x * pulls.sum(axis=1, keepdims=True) - pulls @ self._x[: pulls.shape[1]]
        along: Floats = from_points * self._inverse_scale
        return along


def _inverse_factor(covariance: Floats) -> Floats:
    """The inverse of the lower Cholesky factor."""
    if not len(covariance):
        return covariance
    factor, more = _cholesky(covariance), 1e-10 * float(np.trace(covariance))
    while factor is None:  # rounding errors of points that repeat each other
        covariance = covariance + more * np.eye(len(covariance))
        factor, more = _cholesky(covariance), 10.0 * more
    return np.ascontiguousarray(dtrtri(factor, lower=1)[0])


def _cholesky(covariance: Floats) -> Floats | None:
    """The lower factor, or None for a matrix that is not positive."""
    factor, info = dpotrf(covariance, lower=1, clean=1)
    return None if info else factor


def fit(features: Floats, targets: Floats, owners: Indices, scales: int, form: Smoothness) -> Hyper:
    """The scales of highest posterior probability, by L-BFGS from the middle of the prior.

    It begins at the same place each time, so that the result depends on the data alone.

    Args:
        features: Shape (n, features).
        targets: Standardised results, shape (n,).
        scales: The number of length scales.
    """
    start = _prior(scales, form)[0]
    bounds = np.array([*[_BOUNDS[0]] * scales, *_BOUNDS[1:]])
    low, high = bounds.T
    found = minimize(
        negative_log_posterior,
        np.clip(start, low, high),
        args=(features, targets, owners, form),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _STEPS, "ftol": 1e-4, "gtol": 1e-3},
    )
    return Hyper.from_logs(np.clip(found.x, low, high))


def _prior(scales: int, form: Smoothness) -> tuple[Floats, Floats]:
    """Means and standard deviations of the logarithms, both of shape (scales + 2,)."""
    means = np.array([*[math.log(form.length)] * scales, _SIGNAL[0], _NOISE[0]])
    return means, np.array([*[_LENGTH] * scales, _SIGNAL[1], _NOISE[1]])


def negative_log_posterior(
    logs: Floats, features: Floats, targets: Floats, owners: Indices, form: Smoothness
) -> tuple[float, Floats]:
    """Of the logarithms of length scales, signal and noise, up to a constant; and its gradient.

    The marginal likelihood is Rasmussen and Williams' equation 5.8, its gradient 5.9. All length scales
    together cost one matrix product, because the kernel is a function of the squared distance.
    """
    scales = len(logs) - 2
    hyper = Hyper.from_logs(logs)
    x = features / hyper.lengths[owners]
    squares = squared_distances(x, x)
    function, slope = matern_and_slope(squares, form.nu)
    function *= hyper.signal
    covariance = function.copy()
    np.einsum("ii->i", covariance)[:] += hyper.noise + form.alpha
    factor = _cholesky(covariance)
    if factor is None:
        return 1e25, np.zeros(len(logs))
    half = dpotri(factor, lower=1)[0]
    inverse = half + np.tril(half, -1).T
    weights = inverse @ targets
    value = 0.5 * float(targets @ weights) + float(np.log(np.diag(factor)).sum())
    inner = inverse - np.outer(weights, weights)  # twice the derivative of `value` in the covariance
    by_square = inner * (hyper.signal * slope)
    # The sum over a, b of by_square_ab (x_af - x_bf)^2, for all features f.
    moved = 2.0 * (by_square.sum(axis=1) @ (x * x)) - 2.0 * (x * (by_square @ x)).sum(axis=0)
    gradient = np.empty(len(logs))
    gradient[:scales] = -np.bincount(owners, weights=moved, minlength=scales)
    gradient[-2] = 0.5 * float((inner * function).sum())
    gradient[-1] = 0.5 * hyper.noise * float(np.trace(inner))
    means, deviations = _prior(scales, form)
    z = (logs - means) / deviations
    return value + 0.5 * float(z @ z), gradient + z / deviations
