"""Groups: the parameters that are modelled together because they are always active together.

All top-level parameters are one group, nested choices included as categorical columns; what a branch
of a nested choice holds is another, whose estimators use every result that took this branch. So no
result is lost and no parameter falls back to being modelled alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tune_core.space import Leaf
from tune_tpe.history import Bools, Floats, Indices

__all__ = ["Group", "active_on_average", "make_groups"]


@dataclass(frozen=True)
class Group:
    """Some leaves of the tree that are active together.

    Attributes:
        columns: Their columns in the encoding, shape (k,).
        counts: Number of options of the categorical ones, 0 for numeric ones, shape (k,).
        half_cells: For the numeric ones, half the share of [0, 1] that one value has on average; 0 for
            continuous ones; shape (n_numeric,).
        parent: Column of the nested choice whose option `branch` makes them active, None at the top.
        branches: Number of options of `parent`.
    """

    columns: Indices
    counts: Floats
    half_cells: Floats
    parent: int | None
    branch: int
    branches: int

    def rows(self, units: Floats, active: Bools) -> Indices:
        """The rows in which this group is active, of `units` and `active`, shape (n, dimensions)."""
        if self.parent is None:
            return np.arange(len(units))
        chosen = np.floor(units[:, self.parent] * self.branches) == self.branch
        return np.flatnonzero(chosen & active[:, self.parent])


def make_groups(leaves: Sequence[Leaf], *, joint: bool) -> list[Group]:
    """Groups in the order of the tree, parents before what hangs under them.

    Args:
        leaves: All leaves of a search space.
        joint: Put leaves that are active together into one group; else each is alone.
    """
    members: dict[tuple[int | None, int | None, int], list[Leaf]] = {}
    for leaf in leaves:
        members.setdefault((leaf.parent, leaf.branch, 0 if joint else leaf.index), []).append(leaf)
    return [_group(group, leaves) for group in members.values()]


def _group(group: list[Leaf], leaves: Sequence[Leaf]) -> Group:
    parent, branch = group[0].parent, group[0].branch
    numeric = [leaf for leaf in group if leaf.domain.is_ordered]
    return Group(
        columns=np.array([leaf.index for leaf in group], dtype=np.intp),
        counts=np.array([0.0 if leaf.domain.is_ordered else leaf.domain.size for leaf in group]),
        half_cells=np.array([0.5 / leaf.domain.size for leaf in numeric]),
        parent=parent,
        branch=branch or 0,
        branches=0 if parent is None else int(leaves[parent].domain.size),
    )


def active_on_average(leaves: Sequence[Leaf]) -> float:
    """The mean number of active leaves of a random configuration."""
    shares: list[float] = []
    for leaf in leaves:
        above = 1.0 if leaf.parent is None else shares[leaf.parent] / leaves[leaf.parent].domain.size
        shares.append(above)
    return sum(shares)
