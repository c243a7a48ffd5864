"""Counting and numbering the configurations of a search space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tune_core.errors import SearchSpaceError
from tune_core.space.tree import Leaf

__all__ = ["at", "require_finite", "size"]


def size(leaves: Sequence[Leaf]) -> float:
    """The number of different configurations of `leaves`: an int, or infinity."""
    return math.prod(_leaf_size(leaf) for leaf in leaves)


def _leaf_size(leaf: Leaf) -> float:
    return sum(size(children) for children in leaf.branches) if leaf.is_nested else leaf.domain.size


def require_finite(leaves: Sequence[Leaf]) -> None:
    """Raise unless every leaf has finitely many values."""
    endless = [leaf for leaf in leaves if leaf.domain.size == math.inf]
    if endless:
        names = ", ".join(f"{leaf.path} ({leaf.domain.type})" for leaf in endless[:5])
        more = f" and {len(endless) - 5} more" if len(endless) > 5 else ""
        raise SearchSpaceError(f"this search space cannot be enumerated: {names}{more} has no end of values")


def at(leaves: Sequence[Leaf], number: int) -> dict[str, Any]:
    """Configuration `number` of a finite level of the tree: a number in mixed radix, whose last
    digit is the last leaf."""
    values: dict[str, Any] = {}
    for leaf in reversed(leaves):
        number, digit = divmod(number, int(_leaf_size(leaf)))
        values[leaf.name] = _leaf_at(leaf, digit)
    return dict(reversed(values.items()))


def _leaf_at(leaf: Leaf, number: int) -> Any:
    if not leaf.is_nested:
        return leaf.domain.at(number)
    branch = 0
    while number >= (count := int(size(leaf.branches[branch]))):
        number -= count
        branch += 1
    return {"_name": leaf.domain.value(branch), **at(leaf.branches[branch], number)}
