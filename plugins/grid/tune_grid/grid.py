"""Numbering the configurations of a grid that grows finer, without making the rest.

By epoch e the grid has every combination of the values that the axes have by e. Configurations are
numbered epoch by epoch; within one, the last parameter changes fastest. Those of an earlier epoch are not
numbered again, which is what the arithmetic here is about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tune_core.space import Leaf
from tune_grid.axes import Axis, axis_of

__all__ = ["Grid"]


class Grid:
    """All parameters of one level of the tree: the top, or what a branch of a nested choice holds.

    Raises:
        SearchSpaceError: As `axis_of`.
    """

    def __init__(self, leaves: Sequence[Leaf], *, legacy_q: bool = False) -> None:
        self._axes: list[tuple[str, Axis]] = [
            (leaf.name, _Nested(leaf, legacy_q) if leaf.is_nested else axis_of(leaf, legacy_q=legacy_q))
            for leaf in leaves
        ]

    def size(self, epoch: int) -> int:
        return math.prod(axis.size(epoch) for _, axis in self._axes) if epoch else 0

    def ends(self, epoch: int) -> bool:
        return epoch > 0 and all(axis.ends(epoch) for _, axis in self._axes)

    def at(self, number: int) -> dict[str, Any]:
        """Configuration `number`.

        Raises:
            IndexError: The grid has no more, and will have no more in any epoch.
        """
        epoch = 1
        while number >= self.size(epoch):
            if self.ends(epoch):
                raise IndexError(number)
            epoch += 1
        return self._new_at(epoch, number - self.size(epoch - 1))

    def _new_at(self, epoch: int, number: int) -> dict[str, Any]:
        """Configuration `number` of those that `epoch` adds: with at least one value that it adds.

        Values in front of the first new one are old, those behind it may be either. As long as none was
        new, an old value is followed by the combinations with a new one further on.
        """
        row: dict[str, Any] = {}
        rest, old_rest = self.size(epoch), self.size(epoch - 1)
        is_new = False
        for name, axis in self._axes:
            n_old = axis.size(epoch - 1)
            rest //= axis.size(epoch)
            old_rest //= max(n_old, 1)
            behind = rest - old_rest  # combinations behind an old value
            if is_new:
                digit, number = divmod(number, rest)
            elif number < n_old * behind:
                digit, number = divmod(number, behind)
            else:
                digit, number = divmod(number - n_old * behind, rest)
                digit += n_old
                is_new = True
            row[name] = axis.at(digit)
        return row


class _Nested:
    """A nested choice: the grids of its branches, one after the other in each epoch."""

    def __init__(self, leaf: Leaf, legacy_q: bool) -> None:
        self._names = [leaf.domain.at(branch) for branch in range(int(leaf.domain.size))]
        self._grids = [Grid(children, legacy_q=legacy_q) for children in leaf.branches]

    def size(self, epoch: int) -> int:
        return sum(grid.size(epoch) for grid in self._grids)

    def ends(self, epoch: int) -> bool:
        return all(grid.ends(epoch) for grid in self._grids)

    def at(self, number: int) -> dict[str, Any]:
        epoch = 1
        while number >= self.size(epoch):
            epoch += 1
        number -= self.size(epoch - 1)
        for name, grid in zip(self._names, self._grids, strict=True):
            before = grid.size(epoch - 1)
            added = grid.size(epoch) - before
            if number < added:
                return {"_name": name, **grid.at(before + number)}
            number -= added
        raise IndexError(number)
