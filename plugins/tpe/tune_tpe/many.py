"""Which results count as good, and how much, where a result is more than one number.

Several objectives: Ozaki, Y., Tanigaki, Y., Watanabe, S., Nomura, M. and Onishi, M. (2022). Multiobjective
tree-structured Parzen estimator. Journal of Artificial Intelligence Research 73, 1209-1250.
https://doi.org/10.1613/jair.1.13188. Good are the first fronts; of the front that is too large, a subset that
covers as much volume as possible; and each weighs by the volume that it alone covers.

Constraints: whatever keeps them all is better than whatever does not, and of the latter the less they are
broken the better. So the search first finds its way to where they are kept.

Volumes are measured on a lattice, in the box of the front at hand: their exact shape decides nothing here,
and it takes a millisecond for any number of objectives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tune_core.front import ranks
from tune_tpe.history import Bools, Floats, Indices
from tune_tpe.split import improvement_weights

__all__ = ["Results", "good_and_others", "spread_out", "volume_weights", "weights_of_good"]

_LATTICE = 2048  # points in which volumes are measured
_MOST_CANDIDATES = 256  # of a front that is too large
_MARGIN = 0.1  # the corner from which volumes are measured lies so far beyond the worst, as a share
_LEAST = 1e-6  # weight of what adds no volume, beside that of what adds most


class Results(NamedTuple):
    """Some results, row by row.

    Attributes:
        points: All objectives, lower is better, shape (n, m).
        violations: Of the constraints, shape (n,).
    """

    points: Floats
    violations: Floats

    @property
    def are_plain(self) -> bool:
        """One objective, and no constraint was broken yet."""
        return self.points.shape[1] == 1 and not self.violations.any()

    def of(self, rows: Indices) -> Results:
        """Some of them."""
        return Results(self.points[rows], self.violations[rows])


def good_and_others(results: Results, n_good: int, front: Indices | None = None) -> tuple[Indices, Indices]:
    """Numbers of the `n_good` best results, and of the others; both ascending, which is oldest first.

    Args:
        results: Some results.
        n_good: At least 1, at most all.
        front: Those that keep the constraints and that no other of them dominates, if they are known.
    """
    if front is not None and len(front) >= n_good:
        good = front[spread_out(results.points[front], n_good)]
    else:
        good = _best(results, n_good)
    is_other = np.ones(len(results.points), dtype=np.bool_)
    is_other[good] = False
    return good, np.flatnonzero(is_other)


def _best(results: Results, n_good: int) -> Indices:
    rank = ranks(results.points, results.violations, enough=n_good)
    last = np.sort(rank)[n_good - 1]
    good, tied = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
    if results.violations[tied[0]] == 0:
        tied = tied[spread_out(results.points[tied], n_good - len(good))]
    return np.sort(np.concatenate([good, tied[: n_good - len(good)]]))


def weights_of_good(results: Results, good: Indices, others: Indices) -> Floats:
    """How much each of the `good` counts, shape (len(good),); 1 in the mean of those that keep the
    constraints, next to nothing for the others beside such."""
    feasible = np.flatnonzero(results.violations[good] == 0)
    if not len(feasible):
        return np.ones(len(good))
    points = results.points[good[feasible]]
    weights = np.full(len(good), _LEAST)
    if points.shape[1] == 1:
        beyond = results.points[others[results.violations[others] == 0], 0]
        threshold = float(beyond.min() if len(beyond) else points.max())
        weights[feasible] = improvement_weights(points[:, 0], threshold)
    else:
        weights[feasible] = volume_weights(points)
    return weights


def spread_out(front: Floats, count: int) -> Indices:
    """Numbers of `count` points of a front, shape (n, m), that together cover the most volume: one after
    the other the one that adds most, the older of equal ones. At least (1 - 1/e) of what is possible.

    Guerreiro, A. P., Fonseca, C. M. and Paquete, L. (2016). Greedy hypervolume subset selection in low
    dimensions. Evolutionary Computation 24(3), 521-544.
    """
    if count >= len(front):
        return np.arange(len(front))
    candidates = np.arange(len(front))
    if len(front) > _MOST_CANDIDATES:  # evenly along the first objective, its ends included
        steps = np.linspace(0, len(front) - 1, max(count, _MOST_CANDIDATES)).round().astype(np.intp)
        candidates = np.sort(np.argsort(front[:, 0], kind="stable")[steps])
    covers = _covered(front[candidates])
    chosen: list[int] = []
    gain = covers.sum(axis=1)
    for _ in range(count):
        best = int(np.argmax(gain))
        chosen.append(best)
        covers &= ~covers[best]
        gain = covers.sum(axis=1)
        gain[chosen] = -1
    return np.sort(candidates[chosen])


def volume_weights(points: Floats) -> Floats:
    """The volume that each of `points`, shape (n, m), alone covers, over the mean of that; shape (n,)."""
    covers = _covered(points)
    alone = (covers & (covers.sum(axis=0) == 1)).sum(axis=1).astype(float)
    top = alone.max(initial=0.0)
    if top == 0:
        return np.ones(len(points))
    alone = np.maximum(alone / top, _LEAST)
    weights: Floats = alone / alone.mean()
    return weights


def _covered(points: Floats) -> Bools:
    """Which points of a lattice in the box of `points`, shape (n, m), each of them dominates; shape (n,
    lattice)."""
    halves = points / 2.0  # so that the widest range of floats is still finite
    low, width = halves.min(axis=0), np.ptp(halves, axis=0)
    scaled = (halves - low) / np.where(width > 0, width, 1.0)  # to [0, 1]
    lattice = _lattice(points.shape[1]) * (1.0 + _MARGIN)
    result = np.ones((len(points), len(lattice)), dtype=np.bool_)
    for column in range(points.shape[1]):
        result &= scaled[:, column, None] <= lattice[:, column]
    return result


def _lattice(m: int) -> Floats:
    """Points that fill the unit cube evenly, shape (_LATTICE, m): multiples of powers of the root of
    x^(m + 1) = x + 1, of which the first is the golden ratio."""
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (m + 1))
    steps = root ** -np.arange(1.0, m + 1)
    result: Floats = (0.5 + np.arange(1, _LATTICE + 1)[:, None] * steps) % 1.0
    return result
