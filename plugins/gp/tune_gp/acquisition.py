"""How much a configuration promises: the utilities of NNI's GP tuner, and one for batches, for results to be
minimised.

Each is given the posterior mean and standard deviation of the function, and answers with a number of
which more is better. Expected improvement and its probability are answered as logarithms, which do not
vanish where there is little to gain:
Ament, S. et al. (2023). Unexpected improvements to expected improvement for Bayesian optimization.
https://arxiv.org/abs/2310.20708
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import erfcx, log_ndtr

from tune_gp.embedding import Floats

__all__ = [
    "Acquisition",
    "Aim",
    "Utility",
    "log_expected_improvement",
    "log_probability_of_improvement",
    "pure_exploration",
    "upper_bound",
]

Utility: TypeAlias = Literal["ei", "ucb", "poi"]
Aim: TypeAlias = Literal["ei", "ucb", "poi", "pe"]

_OPTIMISM = 0.5  # deviations below the mean that still count as possible
_PENALTY = 10.0  # of a point's being worse than that, per unit; both are of Song et al. (2024)

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_ROOT_HALF_PI = math.sqrt(0.5 * math.pi)


def _log_h(z: Floats) -> Floats:
    """log(phi(z) + z Phi(z)), to full precision for z down to -1e100."""
    result = np.empty_like(z)
    near = z > -1.0
    a = z[near]
    result[near] = np.log(np.exp(-0.5 * a * a - _LOG_SQRT_2PI) + a * np.exp(log_ndtr(a)))
    b = z[~near]
    # 1 - sqrt(pi/2) |z| erfcx(|z|/sqrt 2) cancels; beyond 1e3 it is 1/z^2 (1 - 3/z^2).
    middle = np.maximum(b, -1e3)
    rest = np.log1p(_ROOT_HALF_PI * middle * erfcx(-middle / math.sqrt(2.0)))
    far = b < -1e3
    rest[far] = -2.0 * np.log(-b[far]) + np.log1p(-3.0 / b[far] ** 2)
    result[~near] = -0.5 * b * b - _LOG_SQRT_2PI + rest
    return result


def log_expected_improvement(mean: Floats, deviation: Floats, best: float, xi: float = 0.0) -> Floats:
    """Log of E[max(best - xi - f, 0)] for f normal."""
    return _log_h((best - xi - mean) / deviation) + np.log(deviation)


def log_probability_of_improvement(mean: Floats, deviation: Floats, best: float, xi: float = 0.0) -> Floats:
    """Log of P(f < best - xi) for f normal."""
    result: Floats = log_ndtr((best - xi - mean) / deviation)
    return result


def upper_bound(mean: Floats, deviation: Floats, kappa: float) -> Floats:
    """-mean + kappa deviation: NNI's upper confidence bound, of results to be maximised."""
    return kappa * deviation - mean


def pure_exploration(mean: Floats, deviation: Floats, best: float) -> Floats:
    """The deviation, where the function may be better than `best`: what is best there is still to be learnt.

    Contal, E. et al. (2013). Parallel Gaussian process optimization with upper confidence bound and pure
    exploration. ECML PKDD. https://arxiv.org/abs/1304.5350
    """
    return deviation - _PENALTY * np.maximum(mean - _OPTIMISM * deviation - best, 0.0)


@dataclass(frozen=True)
class Acquisition:
    """One of the four, with its constants.

    Attributes:
        best: What to improve on.
        kappa: Of the upper confidence bound.
        xi: By how much to improve on it.
    """

    utility: Aim
    best: float
    kappa: float
    xi: float

    def __call__(self, mean: Floats, deviation: Floats) -> Floats:
        if self.utility == "ucb":
            return upper_bound(mean, deviation, self.kappa)
        if self.utility == "pe":
            return pure_exploration(mean, deviation, self.best)
        if self.utility == "poi":
            return log_probability_of_improvement(mean, deviation, self.best, self.xi)
        return log_expected_improvement(mean, deviation, self.best, self.xi)

    def slopes(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        """Derivatives with respect to mean and deviation, both of shape (m,)."""
        if self.utility == "ucb":
            return np.full_like(mean, -1.0), np.full_like(mean, self.kappa)
        if self.utility == "pe":
            penalty = np.where(mean - _OPTIMISM * deviation > self.best, _PENALTY, 0.0)
            return -penalty, 1.0 + _OPTIMISM * penalty
        z = (self.best - self.xi - mean) / deviation
        log_density = -0.5 * z * z - _LOG_SQRT_2PI
        if self.utility == "poi":
            ratio = np.exp(log_density - log_ndtr(z))
            return -ratio / deviation, -ratio * z / deviation
        log_h = _log_h(z)
        return -np.exp(log_ndtr(z) - log_h) / deviation, np.exp(log_density - log_h) / deviation
