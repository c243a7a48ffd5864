"""Bayesian linear regression: posterior, evidence, and the precisions of highest evidence.

y = Phi w + noise, with w normal of precision alpha and noise normal of precision beta. The equations are
those of section 3.5 in Bishop, C. M. (2006). Pattern recognition and machine learning.
https://www.microsoft.com/en-us/research/people/cmbishop/prml-book/
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from tune_gp.embedding import Floats

__all__ = ["Precisions", "Regression", "caution", "log_evidence", "most_evident"]

_GRID = 17  # points of each axis at each magnification
_ZOOMS = 5
_ALPHA = (-4.0, 4.0)  # powers of ten that are looked through, of targets with variance 1
_BETA = (-1.0, 7.0)
_CHI_SQUARED_MEDIAN = 0.4549  # of one degree of freedom
_MOST_CAUTION = 10.0  # beyond, expected improvement is all exploration


@dataclass(frozen=True)
class Precisions:
    """Of the weights and of the noise."""

    alpha: float
    beta: float


class Regression:
    """The posterior of the weights.

    Args:
        features: Phi, shape (n, d).
        targets: Shape (n,).
    """

    def __init__(self, features: Floats, targets: Floats, precisions: Precisions) -> None:
        alpha, beta = precisions.alpha, precisions.beta
        self.precisions = precisions
        # The posterior precision is beta Phi'Phi + alpha (3.54); its inverse by the eigenvectors.
        values, vectors = np.linalg.eigh(features.T @ features)
        self._root: Floats = vectors / np.sqrt(beta * np.maximum(values, 0.0) + alpha)
        self.mean: Floats = beta * self._root @ (self._root.T @ (features.T @ targets))  # (3.53)

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the function itself, without noise (3.58); both of shape (m,)."""
        spread = features @ self._root
        return features @ self.mean, np.einsum("ij,ij->i", spread, spread)


def log_evidence(features: Floats, targets: Floats, precisions: Precisions) -> float:
    """Natural log of the marginal likelihood p(targets | alpha, beta) (3.86)."""
    n = len(targets)
    logs = _log_evidences(*_spectrum(features, targets), n, *_logs(precisions))
    return float(logs[0, 0])


def most_evident(features: Floats, targets: Floats) -> Precisions:
    """The precisions of highest evidence, by a grid of logarithms that closes in on the best point."""
    spectrum, n = _spectrum(features, targets), len(targets)
    (low_a, high_a), (low_b, high_b) = _ALPHA, _BETA
    for _ in range(_ZOOMS):
        alphas, betas = np.linspace(low_a, high_a, _GRID), np.linspace(low_b, high_b, _GRID)
        logs = _log_evidences(*spectrum, n, alphas * math.log(10), betas * math.log(10))
        a, b = np.unravel_index(int(logs.argmax()), logs.shape)
        width_a, width_b = (high_a - low_a) / 8, (high_b - low_b) / 8
        low_a, high_a = max(alphas[a] - width_a, _ALPHA[0]), min(alphas[a] + width_a, _ALPHA[1])
        low_b, high_b = max(betas[b] - width_b, _BETA[0]), min(betas[b] + width_b, _BETA[1])
    return Precisions(float(10.0 ** alphas[a]), float(10.0 ** betas[b]))


def caution(regression: Regression, features: Floats, targets: Floats) -> float:
    """By which factor predicted variances are too small, between 1 and 10.

    Results say so that neither the basis nor the regression has seen.
    A network comes as close to the results it is trained on as one likes, and the evidence on its features
    takes that for certainty. The median of the squared errors, in units of their variance, should be that of
    a chi-squared distribution; the mean would be that of the worst error.

    Args:
        features: Of the unseen results, shape (n, d), n > 0.
        targets: Shape (n,).
    """
    mean, variance = regression.predict(features)
    squares = (targets - mean) ** 2 / (variance + 1.0 / regression.precisions.beta)
    return float(np.clip(np.median(squares) / _CHI_SQUARED_MEDIAN, 1.0, _MOST_CAUTION))


def _logs(precisions: Precisions) -> tuple[Floats, Floats]:
    return np.array([math.log(precisions.alpha)]), np.array([math.log(precisions.beta)])


def _spectrum(features: Floats, targets: Floats) -> tuple[Floats, Floats, float]:
    """All that the evidence depends on: the eigenvalues of Phi'Phi that are not 0, the squares of the targets
    along their directions, and the squares of what is left of the targets."""
    values, vectors = np.linalg.eigh(features.T @ features)
    kept = values > 1e-10 * max(float(values[-1]), 1e-300)
    along = (vectors[:, kept].T @ (features.T @ targets)) ** 2 / values[kept]
    return values[kept], along, max(float(targets @ targets - along.sum()), 0.0)


def _log_evidences(
    values: Floats, along: Floats, rest: float, n: int, log_alpha: Floats, log_beta: Floats
) -> Floats:
    """For all pairs, shape (alphas, betas).

    The targets are normal with covariance 1 / beta + Phi Phi' / alpha, which has the eigenvalues
    1 / beta + value / alpha, and 1 / beta in all other directions.
    """
    noise = np.exp(-log_beta)
    variances = noise[:, None] + values * np.exp(-log_alpha)[:, None, None]  # (alphas, betas, values)
    others = n - len(values)
    logs = np.log(variances).sum(axis=-1) - others * log_beta
    squares = (along / variances).sum(axis=-1) + rest / noise
    return np.asarray(-0.5 * (logs + squares + n * math.log(2.0 * math.pi)))
