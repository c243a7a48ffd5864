"""Who survives and who mates: by front first, then by the room around it.

Deb, K., Pratap, A., Agarwal, S. and Meyarivan, T. (2002). A fast and elitist multiobjective genetic
algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 182-197.
https://doi.org/10.1109/4235.996017
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tune_core import Score
from tune_core.front import ranks

__all__ = ["Standing", "crowding", "standings", "survivors", "tournament"]


class Standing(NamedTuple):
    """How good an individual is beside the others.

    Attributes:
        rank: Its front, from 0; the infeasible come behind all others, by their violations.
        crowding: How much room there is around it on its front; more is better.
    """

    rank: int
    crowding: float

    def beats(self, other: Standing) -> bool:
        """The crowded comparison of the paper, section III.B."""
        return (self.rank, -self.crowding) < (other.rank, -other.crowding)


def standings(scores: Sequence[Score]) -> list[Standing]:
    """One for each score."""
    values = np.array([score.values for score in scores], dtype=float)
    rank = ranks(values, [score.violation for score in scores])
    room = np.empty(len(scores))
    for number in np.unique(rank):
        members = np.flatnonzero(rank == number)
        room[members] = crowding(values[members])
    return [Standing(*pair) for pair in zip(rank.tolist(), room.tolist(), strict=True)]


def crowding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The crowding distance of each point of one front, shape (n, m) to (n,): the sum over objectives of
    the gap between its two neighbours, as a share of the front's range; infinite at the ends."""
    room = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order] / 2.0  # so that the widest range of floats is still finite
        spread = ordered[-1] - ordered[0]
        if spread > 0:
            room[order[1:-1]] += (ordered[2:] - ordered[:-2]) / spread
            room[order[[0, -1]]] = np.inf
    return room


def survivors(scores: Sequence[Score], count: int) -> list[int]:
    """The numbers of the `count` best, front after front; of the last one those with the most room. Older
    ones first where nothing else decides; ascending."""
    standing = standings(scores)
    order = sorted(range(len(scores)), key=lambda number: (standing[number].rank, -standing[number].crowding))
    return sorted(order[:count])


def tournament(standing: Sequence[Standing], rng: np.random.Generator) -> int:
    """The number of the better of two that are drawn at random."""
    first, second = map(int, rng.integers(len(standing), size=2))
    return second if standing[second].beats(standing[first]) else first
