"""What was evaluated, as columns of numbers that grow by appending."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tune_core import Score

__all__ = ["Bools", "Floats", "History", "Indices"]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.intp]


class History:
    """Evaluations in order of arrival, those still pending after them.

    Rows are numbered over both: 0 to n - 1 are finished, the others pending, oldest first.

    Attributes:
        n: Finished evaluations.
        front: Rows of the finished ones that keep the constraints and that no other of them dominates,
            ascending; kept up to date, because finding them takes long where they are many.
        pending: Coordinates and activity by parameter id, each of shape (dimensions,).
    """

    def __init__(self, dimensions: int) -> None:
        self.n = 0
        self.front: Indices = np.empty(0, dtype=np.intp)
        self.pending: dict[int, tuple[Floats, Bools]] = {}
        self._units: Floats = np.empty((64, dimensions))
        self._active: Bools = np.empty((64, dimensions), dtype=np.bool_)
        self._points: Floats = np.empty((64, 1))
        self._violations: Floats = np.empty(64)
        self._seen: set[bytes] = set()

    @property
    def points(self) -> Floats:
        """All objectives of the finished ones, lower is better, shape (n, m); a view."""
        return self._points[: self.n]

    @property
    def violations(self) -> Floats:
        """By how much the finished ones break the constraints, shape (n,); a view."""
        return self._violations[: self.n]

    def start(self, parameter_id: int, units: Floats, active: Bools) -> None:
        self.pending[parameter_id] = (units, active)
        self._seen.add(units.tobytes())

    def finish(self, parameter_id: int, score: Score) -> None:
        """Move a pending evaluation to the finished ones."""
        if self.n == 0:
            self._points = np.empty((len(self._units), len(score.values)))
        if self.n == len(self._units):
            self._grow()
        self._units[self.n], self._active[self.n] = self.pending.pop(parameter_id)
        self._points[self.n], self._violations[self.n] = score.values, score.violation
        if score.is_feasible and len(score.values) > 1:
            self._extend_front(self._points[self.n])
        self.n += 1

    def _extend_front(self, point: Floats) -> None:
        others = self._points[self.front]
        no_worse, no_better = (others <= point).all(axis=1), (others >= point).all(axis=1)
        if not (no_worse & ~no_better).any():
            self.front = np.append(self.front[no_worse | ~no_better], self.n)

    def drop(self, parameter_id: int) -> None:
        """Forget a pending evaluation that will have no result; nothing if it has one."""
        self.pending.pop(parameter_id, None)

    def rows(self, numbers: Indices) -> tuple[Floats, Bools]:
        """Coordinates and activity of ascending row `numbers`, shape (len(numbers), dimensions)."""
        split = int(np.searchsorted(numbers, self.n))
        units, active = self._units[numbers[:split]], self._active[numbers[:split]]
        if split == len(numbers):
            return units, active
        running = list(self.pending.values())
        chosen = [running[number - self.n] for number in numbers[split:]]
        return (
            np.concatenate([units, np.array([row for row, _ in chosen])]),
            np.concatenate([active, np.array([flags for _, flags in chosen])]),
        )

    def has_seen(self, units: Floats) -> bool:
        """Whether a configuration with exactly these coordinates was ever started."""
        return units.tobytes() in self._seen

    def _grow(self) -> None:
        for name in ("_units", "_active", "_points", "_violations"):
            old = getattr(self, name)
            new = np.empty((2 * len(old), *old.shape[1:]), dtype=old.dtype)
            new[: self.n] = old
            setattr(self, name, new)
