"""Changing some values of a configuration, and nothing else: what mutation and exploration are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tune_core.space.tree import Leaf
from tune_core.space.values import copy_json
from tune_core.trial import Parameters

if TYPE_CHECKING:
    from tune_core.space.space import SearchSpace

__all__ = ["active_leaves", "changed", "value_of"]


def active_leaves(space: SearchSpace, parameters: Parameters) -> list[Leaf]:
    """The leaves that `parameters` have a value for."""
    return [leaf for leaf in space.leaves if _holder(space, parameters, leaf) is not None]


def value_of(space: SearchSpace, parameters: Parameters, leaf: Leaf) -> Any:
    """The value of an active `leaf`; of a nested choice, the name of its branch."""
    holder = _holder(space, parameters, leaf)
    assert holder is not None, f"{leaf.path} is not active"
    value = holder[leaf.name]
    return value["_name"] if leaf.is_nested else value


def changed(
    space: SearchSpace, parameters: Parameters, values: Mapping[int, Any], fresh: Sequence[float] = ()
) -> Parameters:
    """A copy of `parameters` with other values for some of its active leaves.

    All others keep their very values, which are not encoded and decoded, and so do keys beside those of
    the space. A nested choice that takes another branch takes the parameters of it from `fresh`; what
    `values` has for the branch that it leaves does not count. The result may be forbidden.

    Args:
        values: By `Leaf.index`; of a nested choice, the name of a branch.
        fresh: Coordinates in [0, 1], one for each leaf; not needed where no nested choice changes.
    """
    result: Parameters = copy_json(parameters)
    for index in sorted(values):  # a nested choice before what its branches hold
        leaf = space.leaves[index]
        holder = _holder(space, result, leaf)
        if holder is None:
            continue
        if not leaf.is_nested:
            holder[leaf.name] = copy_json(values[index])
        elif holder[leaf.name]["_name"] != values[index]:
            holder[leaf.name] = _branch(space, leaf, values[index], fresh)
    return result


def _branch(space: SearchSpace, leaf: Leaf, name: str, fresh: Sequence[float]) -> dict[str, Any]:
    """A branch of a nested choice, with its parameters at `fresh`."""
    point = list(fresh)
    above: Leaf | None = leaf
    chosen = leaf.domain.positions([name])[0]
    while above is not None:  # the coordinates at which the branch is there
        point[above.index] = (chosen + 0.5) / above.domain.size
        chosen = float(above.branch or 0)
        above = None if above.parent is None else space.leaves[above.parent]
    holder = _holder(space, space.from_unit_cube(point), leaf)
    assert holder is not None
    branch: dict[str, Any] = holder[leaf.name]
    return branch


def _holder(space: SearchSpace, parameters: Parameters, leaf: Leaf) -> dict[str, Any] | None:
    """The dictionary that holds the value of `leaf`; None where it is not active."""
    if leaf.parent is None:
        return parameters
    parent = space.leaves[leaf.parent]
    above = _holder(space, parameters, parent)
    if above is None:
        return None
    holder: dict[str, Any] = above[parent.name]
    return holder if parent.domain.positions([holder["_name"]])[0] == leaf.branch else None
