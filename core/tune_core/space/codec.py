"""Configurations as rows of numbers in [0, 1], one column for each leaf, and back.

All arithmetic is done here and for whole columns at once. The distance to the bounds of a domain is
kept here too: whatever lies in [0, 1], its ends included, decodes to a value of the domain.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tune_core.space.normal import normal_cdf, normal_ppf
from tune_core.space.tree import Leaf, walk

__all__ = ["Codec"]

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

# Where the unbounded types end: 8.3 and 8.2 standard deviations from the mean, the outermost numbers
# that a 53-bit random number can reach.
_LEAST, _GREATEST = 2.0**-54, 1.0 - 2.0**-53


class _Axes:
    """Some columns of the matrix: their scales as arrays, and the map from positions to coordinates."""

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        scales = [leaf.domain.scale for leaf in leaves]
        self.columns = np.array([leaf.index for leaf in leaves], dtype=np.intp)
        self.log = np.flatnonzero([scale.log for scale in scales])
        self.normal = np.flatnonzero([scale.normal for scale in scales])
        self.start, self.width, self.step, self.first, self.last = (
            np.array([getattr(scale, name) for scale in scales], dtype=np.float64)
            for name in ("start", "width", "step", "first", "last")
        )
        self.edges = np.array([scale.edges for scale in scales], dtype=np.float64).reshape(-1, 2).T
        self.bounds = np.array([scale.bounds for scale in scales], dtype=np.float64).reshape(-1, 2).T

    def coordinates(self, x: Floats) -> Floats:
        """From positions `x`, shape (n, columns), to [0, 1]; monotonic. Overwrites `x`."""
        np.maximum(x, self.edges[0], out=x)
        np.minimum(x, self.edges[1], out=x)
        if self.log.size:
            with np.errstate(divide="ignore"):  # the least lognormal value is 0
                x[:, self.log] = np.log(x[:, self.log])
        x -= self.start
        x /= self.width
        if self.normal.size:
            x[:, self.normal] = normal_cdf(x[:, self.normal])
        np.maximum(x, 0.0, out=x)
        np.minimum(x, 1.0, out=x)
        return x

    def positions(self, units: Floats) -> Floats:
        """The inverse of `coordinates`; exactly the edges at 0 and 1."""
        x = np.minimum(np.maximum(units, 0.0), 1.0)
        if self.normal.size:
            inner = np.minimum(np.maximum(x[:, self.normal], _LEAST), _GREATEST)
            x[:, self.normal] = normal_ppf(inner)
        x *= self.width
        x += self.start
        if self.log.size:
            x[:, self.log] = np.exp(x[:, self.log])
        np.copyto(x, self.edges[0], where=(units <= 0.0) & np.isfinite(self.edges[1]))
        np.copyto(x, self.edges[1], where=(units >= 1.0) & np.isfinite(self.edges[1]))
        np.maximum(x, self.edges[0], out=x)
        np.minimum(x, self.edges[1], out=x)
        return x

    def cell_numbers(self, x: Floats) -> Floats:
        """The number of the cell that each position is in: halves go to the even multiple."""
        return np.minimum(np.maximum(np.rint(x / self.step), self.first), self.last)

    def cell_edges(self, numbers: Floats) -> tuple[Floats, Floats]:
        """The coordinates at which the cells begin and end."""
        centres = numbers * self.step
        half = 0.5 * self.step
        return self.coordinates(centres - half), self.coordinates(centres + half)


class Codec:
    """Translates configurations of one search space."""

    def __init__(self, tree: Sequence[Leaf]) -> None:
        self._tree = tree
        self._leaves = list(walk(tree))
        self._smooth = _Axes([leaf for leaf in self._leaves if not leaf.domain.scale.step])
        self._celled = _Axes([leaf for leaf in self._leaves if leaf.domain.scale.step])
        self._is_flat = not any(leaf.is_nested for leaf in self._leaves)

    def encode(self, configurations: Sequence[Mapping[str, Any]]) -> tuple[Floats, Flags]:
        """Coordinates and activity, both of shape (n, leaves); 0.5 where inactive."""
        n = len(configurations)
        columns: list[MutableSequence[float]] = [[0.0] * n for _ in self._leaves]
        active: list[list[bool]] = [[self._is_flat] * n for _ in self._leaves]
        if self._is_flat:
            for leaf in self._tree:
                columns[leaf.index] = _positions(leaf, configurations)
        else:
            self._gather(self._tree, configurations, range(n), columns, active)
        flags = np.array(active, dtype=np.bool_).reshape(len(self._leaves), n).T
        units = self.coordinates(np.array(columns, dtype=np.float64).reshape(len(self._leaves), n).T)
        if not self._is_flat:
            units[~flags] = 0.5
        return units, flags

    def _gather(
        self,
        leaves: Sequence[Leaf],
        rows: Sequence[Mapping[str, Any]],
        numbers: Sequence[int],
        columns: list[MutableSequence[float]],
        active: list[list[bool]],
    ) -> None:
        """Put the positions of `leaves` in `rows` into `columns`, at the row `numbers`."""
        for leaf in leaves:
            positions = _positions(leaf, rows)
            for number, position in zip(numbers, positions, strict=True):
                columns[leaf.index][number] = position
                active[leaf.index][number] = True
            for branch, children in enumerate(leaf.branches):
                if children and (chosen := [i for i, position in enumerate(positions) if position == branch]):
                    inside = [rows[i][leaf.name] for i in chosen]
                    self._gather(children, inside, [numbers[i] for i in chosen], columns, active)

    def coordinates(self, positions: Floats) -> Floats:
        """Positions, shape (n, leaves), to [0, 1]: the middle of its cell where there are cells."""
        units = np.empty(positions.shape)
        if self._smooth.columns.size:
            units[:, self._smooth.columns] = self._smooth.coordinates(positions[:, self._smooth.columns])
        if self._celled.columns.size:
            numbers = self._celled.cell_numbers(positions[:, self._celled.columns])
            lower, upper = self._celled.cell_edges(numbers)
            units[:, self._celled.columns] = 0.5 * (lower + upper)
        return units

    def snap(self, units: Floats) -> Floats:
        """Move every coordinate to the middle of its cell; continuous ones stay."""
        snapped = np.minimum(np.maximum(units, 0.0), 1.0)
        axes = self._celled
        if axes.columns.size:
            lower, upper = axes.cell_edges(axes.cell_numbers(axes.positions(snapped[:, axes.columns])))
            snapped[:, axes.columns] = 0.5 * (lower + upper)
        return snapped

    def cells(self, units: Floats) -> tuple[Floats, Floats]:
        """Where the cell of each coordinate begins and ends; equal for continuous leaves."""
        lower = np.minimum(np.maximum(units, 0.0), 1.0)
        upper = lower.copy()
        axes = self._celled
        if axes.columns.size:
            numbers = axes.cell_numbers(axes.positions(lower[:, axes.columns]))
            lower[:, axes.columns], upper[:, axes.columns] = axes.cell_edges(numbers)
        return lower, upper

    def positions(self, units: Floats) -> Floats:
        """Coordinates to positions: values of numeric leaves, option numbers of the others."""
        positions = np.empty(units.shape)
        if self._smooth.columns.size:
            positions[:, self._smooth.columns] = self._smooth.positions(units[:, self._smooth.columns])
        if self._celled.columns.size:
            axes = self._celled
            x = axes.cell_numbers(axes.positions(units[:, axes.columns])) * axes.step
            positions[:, axes.columns] = np.minimum(np.maximum(x, axes.bounds[0]), axes.bounds[1])
        return positions

    def activity(self, units: Floats) -> Flags:
        """Which leaves take part in each row, shape (n, leaves)."""
        active = np.ones(units.shape, dtype=np.bool_)
        if self._is_flat:
            return active
        chosen: dict[int, Floats] = {}
        for leaf in self._leaves:  # parents come before their children
            if leaf.parent is not None:
                active[:, leaf.index] = active[:, leaf.parent] & (chosen[leaf.parent] == leaf.branch)
            if leaf.is_nested:
                count = leaf.domain.size
                chosen[leaf.index] = np.minimum(np.floor(units[:, leaf.index] * count), count - 1)
        return active

    def decode(self, units: Floats) -> list[dict[str, Any]]:
        """One configuration for each row of `units`, shape (n, leaves)."""
        columns = self.positions(units).T.tolist()
        return self._assemble(self._tree, columns, range(len(units)))

    def _assemble(
        self, leaves: Sequence[Leaf], columns: list[list[float]], numbers: Sequence[int]
    ) -> list[dict[str, Any]]:
        """The part of each of the rows `numbers` that lies under `leaves`."""
        rows: list[dict[str, Any]] = [{} for _ in numbers]
        for leaf in leaves:
            column, value = columns[leaf.index], leaf.domain.value
            for row, number in zip(rows, numbers, strict=True):
                row[leaf.name] = value(column[number])
            for branch, children in enumerate(leaf.branches):
                chosen = [i for i, number in enumerate(numbers) if column[number] == branch]
                inside = self._assemble(children, columns, [numbers[i] for i in chosen]) if chosen else []
                for i, below in zip(chosen, inside, strict=True):
                    rows[i][leaf.name] = {"_name": rows[i][leaf.name], **below}
        return rows


def _positions(leaf: Leaf, rows: Sequence[Mapping[str, Any]]) -> MutableSequence[float]:
    values = [row[leaf.name] for row in rows]
    if leaf.is_nested:
        values = [value["_name"] for value in values]
    return leaf.domain.positions(values)
