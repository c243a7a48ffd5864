"""Crossover and mutation in the unit cube of a search space.

Deb, K. and Agrawal, R. B. (1995). Simulated binary crossover for continuous search space. Complex Systems 9,
115-148. Both operators are the bounded ones of the authors' NSGA-II program, version 1.1: nothing is cut off
at the ends of a range.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tune_core import SearchSpace

__all__ = ["Parent", "Variation", "cross", "mutate"]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

_BESIDE = 1e-9  # just across the edge of a cell


class Parent(NamedTuple):
    """Coordinates in [0, 1] and which of them are active, both of shape (dimensions,)."""

    units: Floats
    active: Bools


def cross(a: Floats, b: Floats, eta: float, rng: np.random.Generator) -> Floats:
    """One of the two children of simulated binary crossover, for each coordinate by itself; shape (n,).

    Args:
        a, b: Parents, in [0, 1], shape (n,).
        eta: The larger, the nearer children are to their parents.
    """
    low, high = np.minimum(a, b), np.maximum(a, b)
    gap = high - low
    differ = gap > 1e-14
    gap = np.where(differ, gap, 1.0)
    upper = rng.random(len(a)) < 0.5
    edge = np.where(upper, 1.0 - high, low)  # room to the bound on the child's side
    alpha = 2.0 - (1.0 + 2.0 * edge / gap) ** -(eta + 1.0)
    u = rng.random(len(a))
    inner = (u * alpha) ** (1.0 / (eta + 1.0))
    outer = (1.0 / (2.0 - np.minimum(u * alpha, 2.0 - 1e-12))) ** (1.0 / (eta + 1.0))
    spread = np.where(u <= 1.0 / alpha, inner, outer)
    child = 0.5 * (low + high) + np.where(upper, 0.5, -0.5) * spread * gap
    result: Floats = np.clip(np.where(differ, child, a), 0.0, 1.0)
    return result


def mutate(x: Floats, eta: float, rng: np.random.Generator) -> Floats:
    """Polynomial mutation of each coordinate, in [0, 1]; shape (n,). A larger `eta` is a smaller step."""
    u = rng.random(len(x))
    down = u < 0.5
    far = np.where(down, 1.0 - x, x)  # 1 - the room to the bound on that side
    share = np.where(down, 2.0 * u, 2.0 * (1.0 - u))
    step = 1.0 - (share + (1.0 - share) * far ** (eta + 1.0)) ** (1.0 / (eta + 1.0))
    result: Floats = np.clip(np.where(down, x - step, x + step), 0.0, 1.0)
    return result


class Variation:
    """Makes a child of two parents.

    Numbers, ordered choices too, go through the operators above; other choices come from either parent
    and mutate to any other option. A parameter that only one parent has comes from that one; one that
    neither has, in a branch that the child took by mutation, is drawn at random.

    Args:
        crossover_probability: Of crossing at all; otherwise the child is the first parent, mutated.
        mutation_probability: Of each parameter; None: 1 / the number of active ones.
    """

    def __init__(
        self,
        space: SearchSpace,
        crossover_probability: float,
        crossover_eta: float,
        mutation_probability: float | None,
        mutation_eta: float,
    ) -> None:
        self._space = space
        self._crossover_probability, self._crossover_eta = crossover_probability, crossover_eta
        self._mutation_probability, self._mutation_eta = mutation_probability, mutation_eta
        self._ordered = np.array([leaf.domain.is_ordered for leaf in space.leaves], dtype=np.bool_)
        self._sizes = np.array([leaf.domain.size for leaf in space.leaves], dtype=float)

    def child(self, first: Parent, second: Parent, rng: np.random.Generator) -> Floats:
        """Coordinates of a child, shape (dimensions,)."""
        units = self._cross(first, second, rng)
        active = self._space.activity(units[None])[0]
        probability = self._mutation_probability
        if probability is None:
            probability = 1.0 / max(1, int(active.sum()))
        chosen = (rng.random(len(units)) < probability) & (self._sizes > 1)
        moved = np.where(self._ordered, self._move(units, rng), self._redraw(units, rng))
        result: Floats = np.where(chosen, moved, units)
        return result

    def _cross(self, first: Parent, second: Parent, rng: np.random.Generator) -> Floats:
        drawn = rng.random(len(first.units))
        units = np.where(first.active, first.units, np.where(second.active, second.units, drawn))
        both = first.active & second.active
        if rng.random() >= self._crossover_probability:
            return np.where(first.active, first.units, drawn)
        each = rng.random(len(units)) < 0.5  # half of the parameters stay as they are in the first parent
        crossed = cross(first.units, second.units, self._crossover_eta, rng)
        result: Floats = np.where(both & each, np.where(self._ordered, crossed, second.units), units)
        return result

    def _move(self, units: Floats, rng: np.random.Generator) -> Floats:
        """Mutated numbers; a step that would end in the same cell goes on into the next one."""
        moved = mutate(units, self._mutation_eta, rng)
        low, high = (edges[0] for edges in self._space.cells(units[None]))
        stays = (low < high) & (moved >= low) & (moved <= high)
        up = np.where(low <= 0.0, True, np.where(high >= 1.0, False, moved > units))
        beside = np.where(up, high + _BESIDE, low - _BESIDE)
        result: Floats = np.where(stays, beside, moved)
        return result

    def _redraw(self, units: Floats, rng: np.random.Generator) -> Floats:
        """Another option for each choice, any with equal probability; shape (dimensions,)."""
        counts = np.where(np.isfinite(self._sizes), np.maximum(self._sizes, 2.0), 2.0)
        options = np.minimum(np.floor(units * counts), counts - 1)
        other = np.floor(rng.random(len(units)) * (counts - 1))
        other += other >= options
        result: Floats = (other + 0.5) / counts
        return result
