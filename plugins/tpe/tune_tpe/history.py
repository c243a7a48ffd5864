"""What was evaluated, as columns of numbers that grow by appending."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Floats", "History", "Indices"]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.intp]


class History:
    """Evaluations in order of arrival, those still pending after them.

    Rows are numbered over both: 0 to n - 1 are finished, the others pending, oldest first.

    Attributes:
        n: Finished evaluations.
        pending: Coordinates and activity by parameter id, each of shape (dimensions,).
    """

    def __init__(self, dimensions: int) -> None:
        self.n = 0
        self.pending: dict[int, tuple[Floats, Bools]] = {}
        self._units: Floats = np.empty((64, dimensions))
        self._active: Bools = np.empty((64, dimensions), dtype=np.bool_)
        self._values: Floats = np.empty(64)
        self._seen: set[bytes] = set()

    @property
    def values(self) -> Floats:
        """Results of the finished ones, lower is better, shape (n,); a view."""
        return self._values[: self.n]

    def start(self, parameter_id: int, units: Floats, active: Bools) -> None:
        self.pending[parameter_id] = (units, active)
        self._seen.add(units.tobytes())

    def finish(self, parameter_id: int, value: float) -> None:
        """Move a pending evaluation to the finished ones."""
        if self.n == len(self._values):
            self._grow()
        self._units[self.n], self._active[self.n] = self.pending.pop(parameter_id)
        self._values[self.n] = value
        self.n += 1

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
        for name in ("_units", "_active", "_values"):
            old = getattr(self, name)
            new = np.empty((2 * len(old), *old.shape[1:]), dtype=old.dtype)
            new[: self.n] = old
            setattr(self, name, new)
