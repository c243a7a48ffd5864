"""Samples of each type of a search space, from a generator with NumPy's old interface (`RandomState`)."""

from __future__ import annotations

import math
from typing import Any, Sequence

__all__ = [
    "choice",
    "lognormal",
    "loguniform",
    "normal",
    "qlognormal",
    "qloguniform",
    "qnormal",
    "quniform",
    "randint",
    "uniform",
]


def choice(options: Sequence[Any], random_state: Any) -> Any:
    """One of the options."""
    return options[int(random_state.randint(len(options)))]


def randint(lower: int, upper: int, random_state: Any) -> int:
    """A whole number from `lower` to below `upper`."""
    return int(random_state.randint(lower, upper))


def uniform(low: float, high: float, random_state: Any) -> float:
    """A number from `low` to `high`."""
    if high < low:
        raise AssertionError("Upper bound must be larger than lower bound")
    return float(random_state.uniform(low, high))


def quniform(low: float, high: float, q: float, random_state: Any) -> float:
    """A multiple of `q`, or a bound."""
    return _within(_rounded(uniform(low, high, random_state), q), low, high)


def loguniform(low: float, high: float, random_state: Any) -> float:
    """A number whose logarithm is uniform."""
    if low <= 0:
        raise AssertionError("Lower bound must be positive")
    return math.exp(uniform(math.log(low), math.log(high), random_state))


def qloguniform(low: float, high: float, q: float, random_state: Any) -> float:
    """A multiple of `q`, or a bound, whose logarithm is about uniform."""
    return _within(_rounded(loguniform(low, high, random_state), q), low, high)


def normal(mu: float, sigma: float, random_state: Any) -> float:
    """A number around `mu`."""
    return float(random_state.normal(mu, sigma))


def qnormal(mu: float, sigma: float, q: float, random_state: Any) -> float:
    """A multiple of `q` around `mu`."""
    return _rounded(normal(mu, sigma, random_state), q)


def lognormal(mu: float, sigma: float, random_state: Any) -> float:
    """A number whose logarithm is around `mu`."""
    return math.exp(normal(mu, sigma, random_state))


def qlognormal(mu: float, sigma: float, q: float, random_state: Any) -> float:
    """A multiple of `q` whose logarithm is around `mu`."""
    return _rounded(lognormal(mu, sigma, random_state), q)


def _rounded(value: float, q: float) -> float:
    return float(round(value / q) * q)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
