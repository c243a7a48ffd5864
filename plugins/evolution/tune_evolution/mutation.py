"""Changing one parameter of a configuration, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tune_core import Parameters, SearchSpace
from tune_core.space import Leaf
from tune_core.space.values import copy_json

__all__ = ["mutate"]

_REDRAWS = 20  # a draw of a q type under a narrow distribution may well repeat


def mutate(space: SearchSpace, parameters: Parameters, rng: np.random.Generator) -> Parameters:
    """`parameters` with one of its active parameters drawn anew, to another value.

    A nested choice that is drawn anew takes another branch, whose parameters are then drawn too. All
    others keep their very values: they are not encoded and decoded.
    """
    units, active = space.encode([parameters])
    open_to_change = [leaf for leaf in space.leaves if active[0, leaf.index] and leaf.domain.size > 1]
    if not open_to_change:
        return parameters
    leaf = open_to_change[int(rng.integers(len(open_to_change)))]
    drawn = np.where(active[0], units[0], rng.random(space.dimensions))
    before = space.snap(units)[0, leaf.index]
    for _ in range(_REDRAWS):
        drawn[leaf.index] = rng.random()
        if space.snap(drawn[None])[0, leaf.index] != before:
            break
    changed: Parameters = copy_json(parameters)
    _holder(changed, leaf, space.leaves)[leaf.name] = _holder(
        space.from_unit_cube(drawn.tolist()), leaf, space.leaves
    )[leaf.name]
    return changed


def _holder(parameters: Parameters, leaf: Leaf, leaves: Sequence[Leaf]) -> dict[str, Any]:
    """The dictionary that holds the value of an active `leaf`."""
    if leaf.parent is None:
        return parameters
    parent = leaves[leaf.parent]
    holder: dict[str, Any] = _holder(parameters, parent, leaves)[parent.name]
    return holder
