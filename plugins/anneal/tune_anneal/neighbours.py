"""Drawing from a parameter's distribution, narrowed around a value.

A domain's *position* is a number's value or the index of an option. `share` is how much of the width is left:
with 1 every function here draws from the distribution of the search space itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tune_core.space import Choice, Domain, Numeric

__all__ = ["near", "position_of"]

_SIGMAS = 8.2  # how far from the mean a draw of the search space reaches; a walk must not leave that


def position_of(domain: Domain, value: Any) -> float:
    """The number to draw around: of a `randint` it is the index too, its values have no order here."""
    if isinstance(domain, Numeric):
        return float(value - domain.a) if domain.type == "randint" else float(value)
    return float(domain.positions([value])[0])


def near(domain: Domain, position: float | None, share: float, rng: np.random.Generator) -> Any:
    """A value of `domain` near `position`; None: there is nothing to be near to.

    For types of options, the index of one.
    """
    if not isinstance(domain, Numeric) or domain.type == "randint":
        count = int(domain.size)
        if isinstance(domain, Choice) and domain.is_ordered:
            return min(
                int(_uniform(0.0, count, None if position is None else position + 0.5, share, rng)), count - 1
            )
        return _option(count, position, share, rng)
    log = domain.is_log
    if position is not None and log:
        # 0 stands for all that rounds to it. Hyperopt takes the logarithm of 1e-16 and cannot come back.
        position = math.log(position or domain.step / 2)
    if domain.is_normal:
        x = _normal(domain.a, domain.b, position, share, rng)
    else:
        low, high = (math.log(end) if log else end for end in domain.bounds)
        x = _uniform(low, high, position, share, rng)
    return domain.value(domain.snap(math.exp(x) if log else x))


def _uniform(low: float, high: float, centre: float | None, share: float, rng: np.random.Generator) -> float:
    """From a window around `centre`, moved to lie within the bounds."""
    half = 0.5 * (high - low) * share
    middle = 0.5 * (low + high) if centre is None else centre
    middle = min(max(middle, low + half), high - half)
    return float(rng.uniform(middle - half, middle + half))


def _normal(mu: float, sigma: float, centre: float | None, share: float, rng: np.random.Generator) -> float:
    drawn = rng.normal(mu if centre is None else centre, sigma * share)
    return float(min(max(drawn, mu - _SIGMAS * sigma), mu + _SIGMAS * sigma))


def _option(count: int, index: float | None, share: float, rng: np.random.Generator) -> int:
    """The same option with probability 1 - share, else any."""
    draws_anew = rng.random() < share
    drawn = int(rng.integers(count))
    return drawn if draws_anew or index is None else int(index)
