"""A bracket of DEHB: how many trials of which budget, and which of them are over."""

from __future__ import annotations

from collections.abc import Callable

from tune_hyperband.brackets import Rung

__all__ = ["Bracket"]


class Bracket:
    """Counts the trials of its rungs; a rung is over when all of it was started and has ended.

    Args:
        number: Of the search, from 0.
        ladder: Its rungs, the lowest budget first.
    """

    def __init__(self, number: int, ladder: list[Rung]) -> None:
        self.number = number
        self.level = 0
        self._ladder = ladder
        self._size = ladder[0].size  # of this rung
        self._started = 0  # in this rung
        self._running = 0

    @property
    def is_over(self) -> bool:
        return self.level == len(self._ladder)

    @property
    def wants(self) -> bool:
        """Whether this rung is not full yet."""
        return not self.is_over and self._started < self._size

    @property
    def size(self) -> int:
        """How many trials this rung has."""
        return self._size

    @property
    def budget(self) -> int:
        return self._ladder[self.level].budget

    @property
    def budget_below(self) -> int:
        """Of the rung that came before; of the first one its own."""
        return self._ladder[max(self.level - 1, 0)].budget

    def start(self) -> None:
        self._started += 1
        self._running += 1

    def end(self) -> None:
        self._running -= 1

    def cut(self) -> None:
        """This rung has no more trials than there are by now: the search space has no others."""
        self._size = self._started

    def rise(self, results: Callable[[int], int]) -> None:
        """Go on to the next rung if this one is over.

        Args:
            results: How many individuals there are on a budget: no more trials can follow them, and where
                there are none the bracket ends.
        """
        while not self.is_over and self._started >= self._size and not self._running:
            found = results(self.budget)
            self.level = self.level + 1 if found else len(self._ladder)
            self._started = 0
            if not self.is_over:
                self._size = min(self._ladder[self.level].size, found)
