"""Pareto fronts: which results no other one is better than. Lower is better in every objective.

A point dominates another if it is nowhere worse and somewhere better; equal points do not dominate
each other.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Front", "dominates", "hypervolume", "non_dominated", "ranks"]

T = TypeVar("T")

_BLOCK = 256  # points compared with each other at once


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is nowhere worse than `b`, and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


class Front(Generic[T]):
    """A front that grows by one result at a time, with something that belongs to each."""

    def __init__(self) -> None:
        self._members: list[tuple[tuple[float, ...], int, T]] = []  # sorted
        self._count = 0

    def add(self, values: Sequence[float], item: T) -> None:
        """Add a result, unless it is dominated; what it dominates goes."""
        point = tuple(values)
        if any(dominates(other, point) for other, _, _ in self._members):
            return
        self._members = [member for member in self._members if not dominates(point, member[0])]
        self._count += 1
        bisect.insort(self._members, (point, self._count, item), key=lambda member: member[:2])

    def __iter__(self) -> Iterator[T]:
        """What belongs to the members, the best in the first objective first."""
        return (item for _, _, item in self._members)

    def __len__(self) -> int:
        return len(self._members)


def non_dominated(points: ArrayLike) -> NDArray[np.bool_]:
    """Which of `points`, shape (n, m), are dominated by no other; shape (n,).

    O(n log n) for one or two objectives; for more it grows with the size of the front as well.
    """
    every = np.asarray(points, dtype=float)
    if not len(every):
        return np.zeros(0, dtype=np.bool_)
    # Sorted by the first objective, then the second and so on: only an earlier one may dominate.
    order = np.lexsort(every.T[::-1])
    ordered = every[order]
    is_new = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    distinct = ordered[is_new]
    keep = _sweep(distinct) if every.shape[1] <= 2 else _compare(distinct)
    result = np.empty(len(every), dtype=np.bool_)
    result[order] = keep[np.cumsum(is_new) - 1]  # equal points share their fate
    return result


def _sweep(ordered: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of distinct sorted points in one or two objectives: those that improve on the last one so far."""
    last = ordered[:, -1]
    before = np.concatenate([[math.inf], np.minimum.accumulate(last)[:-1]])
    return np.asarray(last < before)


def _compare(ordered: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The same in any number of objectives, block by block against the front so far."""
    front = np.empty((0, ordered.shape[1]))
    keep = np.zeros(len(ordered), dtype=np.bool_)
    for start in range(0, len(ordered), _BLOCK):
        block = ordered[start : start + _BLOCK]
        alive = np.flatnonzero(~_dominated_by(block, front))
        rest = block[alive]
        alive = alive[~_dominated_by(rest, rest)]
        keep[start + alive] = True
        front = np.concatenate([front, block[alive]])
    return keep


def _dominated_by(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of `points` one of `others` dominates, where equal ones are one and the same."""
    result = np.zeros(len(points), dtype=np.bool_)
    for start in range(0, len(others), _BLOCK):
        part = others[start : start + _BLOCK, None, :]  # (others, 1, m)
        no_worse = (part <= points).all(axis=2)
        better = (part < points).any(axis=2)
        result |= (no_worse & better).any(axis=0)
    return result


def ranks(
    points: ArrayLike, violations: ArrayLike | None = None, *, enough: int | None = None
) -> NDArray[np.intp]:
    """The number of the front each point is on, from 0: the front of what is left without those before.

    Deb, K., Pratap, A., Agarwal, S. and Meyarivan, T. (2002). A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 182-197.

    Args:
        points: Shape (n, m).
        violations: Of constraints, shape (n,); the infeasible come behind all that are feasible, by
            their violations alone (section VI of the paper).
        enough: Stop once so many have their rank; the others share the one after.

    Returns:
        Shape (n,).
    """
    every = np.asarray(points, dtype=float)
    broken = np.zeros(len(every)) if violations is None else np.asarray(violations, dtype=float)
    result = np.full(len(every), -1, dtype=np.intp)
    left, number, ranked = np.flatnonzero(broken == 0), 0, 0
    most = len(every) if enough is None else enough
    while len(left) and ranked < most:
        on_front = non_dominated(every[left])
        result[left[on_front]] = number
        ranked += int(on_front.sum())
        left, number = left[~on_front], number + 1
    if len(left):
        result[left] = number
        number += 1
    infeasible = np.flatnonzero(broken > 0)
    result[infeasible] = number + np.unique(broken[infeasible], return_inverse=True)[1].reshape(-1)
    return result


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """The volume that is dominated by `points`, shape (n, m), and itself dominates `reference`, shape (m,).

    Exact: one sweep for two objectives; for more, the sum of what each adds to those after it (While,
    L., Bradstreet, L. and Barone, L. (2012). A fast way of calculating exact hypervolumes. IEEE
    Transactions on Evolutionary Computation 16(1), 86-95).
    """
    corner = np.asarray(reference, dtype=float)
    inside = np.asarray(points, dtype=float).reshape(-1, len(corner))
    inside = inside[(inside < corner).all(axis=1)]
    inside = np.unique(inside[non_dominated(inside)], axis=0)
    if len(inside) == 0:
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - inside[0, 0])
    if len(corner) == 2:  # a staircase, from left to right
        tops = np.concatenate([[corner[1]], inside[:-1, 1]])
        return float(((corner[0] - inside[:, 0]) * (tops - inside[:, 1])).sum())
    total = 0.0
    for number, point in enumerate(inside):
        limited = np.maximum(inside[number + 1 :], point)
        total += float(np.prod(corner - point)) - hypervolume(limited, corner)
    return total
