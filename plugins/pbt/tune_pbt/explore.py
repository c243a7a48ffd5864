"""Explore: every parameter of a configuration takes a step up or down, or is drawn anew.

Jaderberg, M. et al. (2017). Population based training of neural networks, section 4.1.1.
https://arxiv.org/abs/1711.09846

The steps are NNI's: a share of the range where the paper multiplies, so that small values move as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tune_core import Parameters, SearchSpace
from tune_core.space import Domain, Leaf, Numeric, active_leaves, changed, value_of

__all__ = ["explored", "stepped"]

_SIGMAS = 8.2  # how far from the mean a draw of the search space reaches; steps must not leave that


def explored(
    space: SearchSpace,
    configuration: Parameters,
    factor: float,
    resample_probability: float,
    rng: np.random.Generator,
) -> Parameters:
    """`configuration` with each of its parameters stepped up or down, as likely, or drawn anew.

    A nested choice that takes another branch draws the parameters of it. What is forbidden then is repaired.
    """
    units = space.encode([configuration])[0][0]
    drawn = rng.random(len(units))
    resampled = rng.random(len(units)) < resample_probability
    up = rng.random(len(units)) < 0.5
    leaves = active_leaves(space, configuration)
    # A nested choice stays where it is in `others`, so that what it holds is active there.
    nested = np.array([leaf.is_nested for leaf in space.leaves], dtype=np.bool_)
    others = space.from_unit_cube(np.where(nested, units, drawn).tolist())

    def value(leaf: Leaf) -> Any:
        if not resampled[leaf.index]:
            return stepped(leaf.domain, value_of(space, configuration, leaf), up[leaf.index], factor)
        if leaf.is_nested:
            return leaf.domain.at(int(drawn[leaf.index] * leaf.domain.size))
        return value_of(space, others, leaf)

    fresh = rng.random(len(units)).tolist()
    result = changed(space, configuration, {leaf.index: value(leaf) for leaf in leaves}, fresh)
    return space.repair(result, rng)


def stepped(domain: Domain, value: Any, up: bool, factor: float) -> Any:
    """The value one step above or below `value`; itself at an end.

    One option, one whole number, one q; or `factor` of the range, in logarithms for log types. The range of
    normal types is their standard deviation.
    """
    sign = 1 if up else -1
    if not isinstance(domain, Numeric):
        place = int(domain.positions([value])[0]) + sign
        return domain.at(min(max(place, 0), domain.size - 1))
    if domain.step:
        moved = (round(value / domain.step) + sign) * domain.step
    else:
        moved = _moved(domain, float(value), sign * factor)
    low, high = domain.bounds
    return domain.value(domain.snap(min(max(moved, low), high)))


def _moved(domain: Numeric, value: float, share: float) -> float:
    """`value` of a continuous domain, moved by `share` of its range."""
    x = math.log(value) if domain.is_log else value
    if domain.is_normal:
        x += share * domain.b
        x = min(max(x, domain.a - _SIGMAS * domain.b), domain.a + _SIGMAS * domain.b)
    else:
        low, high = (math.log(end) if domain.is_log else end for end in domain.bounds)
        x += share * (high - low)
    return math.exp(x) if domain.is_log else x
