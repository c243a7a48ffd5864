"""What was evaluated, as columns of numbers that grow by appending."""

from __future__ import annotations

import numpy as np

from tune_gp.embedding import Bools, Floats, Indices

__all__ = ["History", "Rows", "refit_after", "thin"]

_STEP = 0.05  # by which share results grow between fits
_MOST_BETWEEN = 25


class Rows:
    """Configurations in order of arrival: `units`, `active`, both of shape (n, dimensions), `values` (n,)."""

    def __init__(self, dimensions: int) -> None:
        self.n = 0
        self._units: Floats = np.empty((64, dimensions))
        self._active: Bools = np.empty((64, dimensions), dtype=np.bool_)
        self._values: Floats = np.empty(64)

    @property
    def units(self) -> Floats:
        return self._units[: self.n]

    @property
    def active(self) -> Bools:
        return self._active[: self.n]

    @property
    def values(self) -> Floats:
        return self._values[: self.n]

    def append(self, units: Floats, active: Bools, value: float) -> None:
        if self.n == len(self._values):
            for name in ("_units", "_active", "_values"):
                old = getattr(self, name)
                new = np.empty((2 * len(old), *old.shape[1:]), dtype=old.dtype)
                new[: self.n] = old
                setattr(self, name, new)
        self._units[self.n], self._active[self.n], self._values[self.n] = units, active, value
        self.n += 1


class History:
    """Everything that was on trial in one search space.

    Attributes:
        finished: Evaluations with their results, lower is better.
        failed: Trials that ended without a result; their values mean nothing.
        pending: Coordinates and activity of those that run, by parameter id, oldest first.
        changes: How often it was changed.
    """

    def __init__(self, dimensions: int) -> None:
        self.finished, self.failed = Rows(dimensions), Rows(dimensions)
        self.pending: dict[int, tuple[Floats, Bools]] = {}
        self.changes = 0
        self._seen: set[bytes] = set()

    def start(self, parameter_id: int, units: Floats, active: Bools) -> None:
        self.changes += 1
        self.pending[parameter_id] = (units, active)
        self._seen.add(units.tobytes())

    def finish(self, parameter_id: int, value: float) -> None:
        """Move a pending evaluation to the finished ones; nothing if it is not in the space."""
        if parameter_id in self.pending:
            self.changes += 1
            self.finished.append(*self.pending.pop(parameter_id), value)

    def fail(self, parameter_id: int) -> None:
        """Move a pending evaluation to the failed ones; nothing if it has a result."""
        if parameter_id in self.pending:
            self.changes += 1
            self.failed.append(*self.pending.pop(parameter_id), 0.0)

    def has_seen(self, units: Floats) -> bool:
        """Whether a configuration with exactly these coordinates was ever started."""
        return units.tobytes() in self._seen


def refit_after(n: int) -> int:
    """How many results to have before scales that were fitted to `n` are fitted again.

    >>> [refit_after(n) for n in (6, 40, 100, 1000)]
    [7, 42, 105, 1025]
    """
    return n + min(max(1, int(_STEP * n)), _MOST_BETWEEN)


def thin(values: Floats, most: int) -> Indices:
    """Numbers of at most `most` results, ascending, to stand for all: half of them the best, a quarter the
    newest, and a quarter spread evenly over the ranks of the others."""
    n = len(values)
    if n <= most:
        return np.arange(n)
    newest = np.arange(n - most // 4, n)
    order = np.argsort(values, kind="stable")
    order = order[order < n - most // 4]
    best = order[: most // 2]
    others = order[most // 2 :]
    spread = others[np.linspace(0, len(others) - 1, most - len(best) - len(newest)).astype(np.intp)]
    return np.sort(np.concatenate([newest, best, spread]))
