"""Where the utility is greatest: candidates, steps along its gradient, steps of one parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tune_core import SearchSpace
from tune_gp.embedding import Bools, Floats, Indices

__all__ = ["Branch", "Climb", "Effort", "Points", "Score", "candidates", "canonical", "reach", "search"]

Points: TypeAlias = tuple[Floats, Bools]  # coordinates and activity, both of shape (n, dimensions)
Score: TypeAlias = Callable[[Floats, Bools], Floats]
Climb: TypeAlias = Callable[[Floats, Bools], tuple[Floats, Floats]]

_MUTATED = 4.0  # leaves that a mutation changes on average
_WIDTHS = (0.2, 0.05, 0.01)  # of the steps of ordered parameters, as shares of their ranges
_FIRST_STEP, _LONGEST_STEP = 0.01, 0.1  # of a climb, in the coordinate that changes most


@dataclass(frozen=True)
class Branch:
    """One option of a nested choice at the top of the search space.

    Attributes:
        column: Of the choice, in the encoding.
        option: Its number.
        options: How many there are.
    """

    column: int
    option: int
    options: int

    def holds(self, units: Floats) -> Bools:
        """Which of some coordinates, shape (n, dimensions), lie in it; shape (n,)."""
        return np.asarray(np.floor(units[:, self.column] * self.options) == self.option)


@dataclass(frozen=True)
class Effort:
    """How much is tried.

    Attributes:
        random: Candidates from anywhere.
        near: Candidates near the best results.
        climbs: Best candidates from which the gradient is followed.
        steps: Evaluations of the gradient in each of them.
        rounds: Of changes of single parameters of the best candidates.
        neighbours: Candidates of each round.
    """

    random: int = 192
    near: int = 192
    climbs: int = 4
    steps: int = 16
    rounds: int = 2
    neighbours: int = 48


def canonical(space: SearchSpace, units: Floats) -> Points:
    """Coordinates as `SearchSpace.encode` would give them for the same configurations."""
    units = space.snap(units)
    active = space.activity(units)
    units[~active] = 0.5
    return units, active


def reach(results: int, dimensions: float) -> float:
    """How far from what was tried to look, as a share of the range of each parameter; 1 is anywhere.

    Far out a young model knows nothing, and in many dimensions it would send trial after trial into the
    corners. The formula is that of Song et al. (2024), section 3.4.

    >>> [round(reach(n, 20), 3) for n in (20, 60, 110)]
    [0.257, 0.371, 1.0]
    """
    radius = 0.2 + 0.3 * results / (5.0 * (dimensions + 1.0))
    return radius if radius < 0.5 else 1.0


def candidates(
    space: SearchSpace,
    tried: Points,
    best: Points,
    effort: Effort,
    radius: float,
    rng: np.random.Generator,
    branch: Branch | None = None,
) -> Points:
    """Some from anywhere within `radius` of rows of `tried`, some mutated from rows of `best`; all of them in
    `branch`, if one is given."""
    anywhere = rng.random((effort.random, space.dimensions))
    if radius < 1.0:
        anywhere = _within(space, tried, anywhere, radius, rng)
    units = np.concatenate([anywhere, _mutated(space, best, effort.near, rng)])
    if branch is not None:
        units[:, branch.column] = (branch.option + 0.5) / branch.options
    return canonical(space, units)


def _within(
    space: SearchSpace, tried: Points, units: Floats, radius: float, rng: np.random.Generator
) -> Floats:
    """`units` with ordered coordinates uniform in a box around some row that was tried."""
    ordered = np.array([leaf.domain.is_ordered for leaf in space.leaves])
    centres, active = (part[rng.integers(len(part), size=len(units))] for part in tried)
    low, high = np.maximum(centres - radius, 0.0), np.minimum(centres + radius, 1.0)
    return np.where(ordered & active, low + units * (high - low), units)


def _mutated(space: SearchSpace, best: Points, count: int, rng: np.random.Generator) -> Floats:
    units, active = best
    parents = rng.integers(len(units), size=count)
    units, active = units[parents], active[parents]
    leaves = np.maximum(active.sum(axis=1, keepdims=True), 1)
    chosen = active & (rng.random(units.shape) < np.minimum(1.0, _MUTATED / leaves))
    chosen[np.arange(count), rng.integers(units.shape[1], size=count)] = True
    widths = np.array(_WIDTHS)[rng.integers(len(_WIDTHS), size=(count, 1))]
    return _moved(space, units, active, chosen, widths, rng)


def _moved(
    space: SearchSpace, units: Floats, active: Bools, chosen: Bools, widths: Floats, rng: np.random.Generator
) -> Floats:
    """Ordered leaves that are `chosen` move by a normal step, at least to the next value; of the others
    an option is drawn. What was not active may be anything."""
    ordered = np.array([leaf.domain.is_ordered for leaf in space.leaves])
    anything = rng.random(units.shape)
    lower, upper = space.cells(units)
    step = rng.standard_normal(units.shape)
    step = step * widths + np.sign(step) * 0.5 * (upper - lower)
    moved = np.where(ordered, np.abs(units + step), anything)
    moved = np.where(moved > 1.0, 2.0 - moved, moved)  # at the borders it turns back
    return np.where(active, np.where(chosen, moved, units), anything)


def search(
    space: SearchSpace,
    pool: Points,
    score: Score,
    climb: Climb | None,
    numeric: Indices,
    effort: Effort,
    radius: float,
    rng: np.random.Generator,
) -> tuple[Points, Floats]:
    """Improve on a pool of candidates; all that were looked at, best first, and their scores.

    Args:
        climb: The score of points and its gradient in the coordinates; None leaves that out.
        numeric: Columns of the ordered leaves.
        radius: How far a climb may lead.
    """
    units, active = pool
    values = score(units, active)
    if climb is not None and len(numeric):
        units, active, values = _climbed(
            space, (units, active), values, score, climb, numeric, effort, radius
        )
    for _ in range(effort.rounds):
        units, active, values = _stepped(space, (units, active), values, score, effort, rng)
    order = np.argsort(-values, kind="stable")
    return (units[order], active[order]), values[order]


def _climbed(
    space: SearchSpace,
    pool: Points,
    values: Floats,
    score: Score,
    climb: Climb,
    numeric: Indices,
    effort: Effort,
    radius: float,
) -> tuple[Floats, Bools, Floats]:
    """The pool, and where the gradient leads from the best of it."""
    units, active = pool
    rows = np.argsort(-values, kind="stable")[: effort.climbs]
    free = np.zeros(active[rows].shape, dtype=np.bool_)
    free[:, numeric] = active[np.ix_(rows, numeric)]
    tops = _climb(units[rows], active[rows], climb, free, effort.steps, radius)
    new_units, new_active = canonical(space, tops)
    return (
        np.concatenate([units, new_units]),
        np.concatenate([active, new_active]),
        np.concatenate([values, score(new_units, new_active)]),
    )


def _climb(units: Floats, active: Bools, climb: Climb, free: Bools, steps: int, radius: float) -> Floats:
    """The highest points on the ways up from `units`, shape (m, dimensions), all ways at once.

    Barzilai, J. and Borwein, J. M. (1988). Two-point step size gradient methods, with steps cut to the box
    of `radius` and of the unit cube. https://doi.org/10.1093/imanum/8.1.141
    """
    low, high = np.maximum(units - radius, 0.0), np.minimum(units + radius, 1.0)
    value, slope = climb(units, active)
    slope = np.where(free, slope, 0.0)
    tops, highest = units, value
    size = _FIRST_STEP / np.maximum(np.abs(slope).max(axis=1, keepdims=True), 1e-300)
    for _ in range(steps):
        ahead = np.clip(units + size * slope, low, high)
        value, next_slope = climb(ahead, active)
        next_slope = np.where(free, next_slope, 0.0)
        moved, turned = ahead - units, slope - next_slope
        curvature = (moved * turned).sum(axis=1, keepdims=True)
        length = (moved * moved).sum(axis=1, keepdims=True)
        limit = _LONGEST_STEP / np.maximum(np.abs(next_slope).max(axis=1, keepdims=True), 1e-300)
        size = np.where(curvature > 0, np.minimum(length / np.maximum(curvature, 1e-300), limit), limit)
        better = value > highest
        tops, highest = np.where(better[:, None], ahead, tops), np.where(better, value, highest)
        units, slope = ahead, next_slope
    return tops


def _stepped(
    space: SearchSpace, pool: Points, values: Floats, score: Score, effort: Effort, rng: np.random.Generator
) -> tuple[Floats, Bools, Floats]:
    """The pool, and changes of one parameter each of the best of it."""
    units, active = pool
    tops = np.argsort(-values, kind="stable")[:4]
    rows = tops[rng.integers(len(tops), size=effort.neighbours)]
    weights = active[rows] * rng.random((len(rows), units.shape[1]))
    chosen = np.zeros(weights.shape, dtype=np.bool_)
    chosen[np.arange(len(rows)), weights.argmax(axis=1)] = True
    widths = np.array(_WIDTHS)[rng.integers(len(_WIDTHS), size=(len(rows), 1))] / 4.0
    moved = _moved(space, units[rows], active[rows], chosen, widths, rng)
    new_units, new_active = canonical(space, moved)
    return (
        np.concatenate([units, new_units]),
        np.concatenate([active, new_active]),
        np.concatenate([values, score(new_units, new_active)]),
    )
