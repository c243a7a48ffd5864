"""What was measured where, and how often: repeated measurements count by their median."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

import numpy as np
from tune_gp.embedding import Bools, Floats
from tune_gp.history import Rows

__all__ = ["Samples"]


class Samples:
    """Configurations in the order of their first result, each once.

    Attributes:
        rows: Coordinates, activity, and the median of the results of each.
    """

    def __init__(self, dimensions: int) -> None:
        self.rows = Rows(dimensions)
        self._place: dict[Hashable, int] = {}
        self._measured: list[tuple[int, float]] = []  # row and result, in order of arrival
        self._results: dict[int, list[float]] = defaultdict(list)

    def __len__(self) -> int:
        """How many results there are, repeats included."""
        return len(self._measured)

    def add(self, key: Hashable, units: Floats, active: Bools, value: float) -> None:
        row = self._place.setdefault(key, self.rows.n)
        if row == self.rows.n:
            self.rows.append(units, active, value)
        self._measured.append((row, value))
        self._results[row].append(value)
        self.rows.values[row] = np.median(self._results[row])

    def times(self, row: int) -> int:
        """How often the configuration of a row was measured."""
        return len(self._results[row])

    def results(self, row: int) -> list[float]:
        return self._results[row]

    def medians(self, count: int) -> Floats:
        """The medians when there were `count` results, of the rows that were there then; shape (rows,)."""
        results: dict[int, list[float]] = defaultdict(list)
        for row, value in self._measured[:count]:
            results[row].append(value)
        return np.array([np.median(each) for each in results.values()])  # rows appear in their order
