"""Changing one parameter of a configuration, and nothing else."""

from __future__ import annotations

import numpy as np

from tune_core import Parameters, SearchSpace
from tune_core.space import active_leaves, changed, value_of

__all__ = ["mutate"]

_REDRAWS = 20  # a draw of a q type under a narrow distribution may well repeat


def mutate(space: SearchSpace, parameters: Parameters, rng: np.random.Generator) -> Parameters:
    """`parameters` with one of its active parameters drawn anew, to another value.

    A nested choice that is drawn anew takes another branch, whose parameters are then drawn too. All
    others keep their very values.
    """
    open_to_change = [leaf for leaf in active_leaves(space, parameters) if leaf.domain.size > 1]
    if not open_to_change:
        return parameters
    leaf = open_to_change[int(rng.integers(len(open_to_change)))]
    units, active = space.encode([parameters])
    drawn = np.where(active[0], units[0], rng.random(space.dimensions))
    before = value_of(space, parameters, leaf)
    for _ in range(_REDRAWS):
        drawn[leaf.index] = rng.random()
        value = value_of(space, space.from_unit_cube(drawn.tolist()), leaf)
        if leaf.domain.key(value) != leaf.domain.key(before):
            break
    return changed(space, parameters, {leaf.index: value}, drawn.tolist())
