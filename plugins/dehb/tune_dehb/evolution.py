"""Differential evolution in the unit cube: a mutant of three parents, crossed with a target.

Storn, R. and Price, K. (1997). Differential evolution: a simple and efficient heuristic for global
optimization over continuous spaces. Journal of Global Optimization 11, 341-359.
https://doi.org/10.1023/A:1008202821328

Every type of parameter is a coordinate in [0, 1], also a choice, as in section 4.3 of DEHB's paper: vectors
stay as they evolved, and only what a trial is given is rounded to values of the space.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "crossed", "mutant"]

Floats: TypeAlias = NDArray[np.float64]


def mutant(parents: Floats, factor: float, rng: np.random.Generator) -> Floats:
    """rand/1: one parent, moved by the difference of two others; shape (k,).

    Coordinates that leave [0, 1] are drawn anew, as in the authors' code: cut off, they would gather at
    the bounds.

    Args:
        parents: At least three, in [0, 1], shape (n, k).
        factor: The paper's F.
    """
    first, second, third = parents[rng.choice(len(parents), size=3, replace=False)]
    moved = first + factor * (second - third)
    drawn = rng.random(len(moved))
    result: Floats = np.where((moved < 0.0) | (moved > 1.0), drawn, moved)
    return result


def crossed(target: Floats, other: Floats, probability: float, rng: np.random.Generator) -> Floats:
    """Binomial crossover: `target` with coordinates of `other`, at least one, each with `probability`."""
    takes = rng.random(len(target)) < probability
    takes[rng.integers(len(target))] = True
    result: Floats = np.where(takes, other, target)
    return result
