"""The populations of DEHB: one for each budget, each individual the best so far of its line."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from tune_core import Parameters
from tune_dehb.evolution import Floats

__all__ = ["Candidate", "Individual", "Population"]


class Candidate(NamedTuple):
    """A configuration, as it evolved and as a trial is given it.

    Attributes:
        configuration: Without its budget.
        units: Coordinates in [0, 1], not rounded to values of the space; shape (dimensions,).
        key: As `SearchSpace.key` gives it.
    """

    configuration: Parameters
    units: Floats
    key: Hashable


class Individual(NamedTuple):
    """A candidate with its result on some budget; lower is better."""

    candidate: Candidate
    value: float


class Population:
    """Places for individuals that ran on one budget; empty ones wait for a first result.

    Attributes:
        budget: Of all its trials.
        started: The keys of all configurations that ever began on this budget.
    """

    def __init__(self, budget: int, size: int) -> None:
        self.budget = budget
        self.started: set[Hashable] = set()
        self._places: list[Individual | None] = [None] * size
        self._next = 0

    def __len__(self) -> int:
        return len(self._places)

    @property
    def next_place(self) -> int:
        """Whose turn it is to be challenged."""
        return self._next

    def at(self, place: int) -> Individual | None:
        return self._places[place]

    def ranking(self) -> list[Individual]:
        """All individuals, best first."""
        return sorted((one for one in self._places if one is not None), key=lambda one: one.value)

    def begin(self, key: Hashable) -> None:
        """A challenger of the one at `next_place` is on trial."""
        self.started.add(key)
        self._next = (self._next + 1) % len(self._places)

    def challenge(self, place: int, challenger: Individual) -> None:
        """The better one has the place from now on; of equals the new one, so that plateaus are crossed."""
        holder = self._places[place]
        if holder is None or challenger.value <= holder.value:
            self._places[place] = challenger

    def join(self, newcomer: Individual) -> None:
        """One that challenges nobody: takes an empty place, or challenges the worst."""
        self.started.add(newcomer.candidate.key)
        empty = next((place for place, one in enumerate(self._places) if one is None), None)
        worst = self._places.index(self.ranking()[-1]) if empty is None else empty
        self.challenge(worst, newcomer)
