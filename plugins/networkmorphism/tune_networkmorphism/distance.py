"""How far two networks are apart: what it takes to edit one into the other, as in the paper of the tuner.

Layers are matched in their order, at the cost of the difference of their widths; connections are matched as
is cheapest, whatever their order. What has no match costs 1.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tune_networkmorphism.graph import INPUT, Graph

__all__ = ["Outline", "distances", "outline", "skip_distance"]

Floats = NDArray[np.float64]
SkipPlace = tuple[str, int, int]  # how, the rank of its begin, how many layers it leads past

_BALANCE = 1.0  # lambda: what a connection counts for, in layers
_KINDS = {"conv": 1, "dense": 2}


@dataclass(frozen=True)
class Outline:
    """What counts of a network.

    Attributes:
        layers: Of the trunk, those with units: (kind, units, kernel).
        skips: Where connections lead past those.
    """

    layers: tuple[tuple[int, int, int], ...]
    skips: tuple[SkipPlace, ...]


def outline(graph: Graph) -> Outline:
    """What counts of `graph`."""
    layers: list[tuple[int, int, int]] = []
    rank = {INPUT: 0}  # layers with units up to and including this one
    for number in graph.trunk:
        layer = graph.layers[number]
        if layer.units:
            layers.append((_KINDS[layer.kind], layer.units, layer.kernel))
        rank[number] = len(layers)
    skips = [(each.how, rank[each.source], rank[each.join] - rank[each.source]) for each in graph.skips]
    return Outline(tuple(layers), tuple(sorted(skips)))


def distances(left: Sequence[Outline], right: Sequence[Outline]) -> Floats:
    """Each of `left` from each of `right`, shape (len(left), len(right))."""
    skips = [[skip_distance(one.skips, other.skips) for other in right] for one in left]
    return _layer_distances(left, right) + _BALANCE * np.reshape(skips, (len(left), len(right)))


def _layer_distances(left: Sequence[Outline], right: Sequence[Outline]) -> Floats:
    """Edit distances of the layers, all pairs at once, by Bellman's recursion."""
    forms = sorted({layer for each in (*left, *right) for layer in each.layers})
    costs = _changes(np.reshape(forms, (-1, 3)))
    place = {form: number for number, form in enumerate(forms)}
    a, b = _numbered(left, place), _numbered(right, place)
    lengths_a, lengths_b = (np.array([len(each.layers) for each in side]) for side in (left, right))
    found = np.zeros((len(left), len(right)))
    steps = np.arange(b.shape[1] + 1.0)
    row = np.broadcast_to(steps, (*found.shape, len(steps))).copy()  # the first i layers from the first j
    for i in range(a.shape[1] + 1):
        if i:
            changed = row[..., :-1] + costs[a[:, i - 1]][:, b]
            row += 1.0  # one layer taken out
            np.minimum(row[..., 1:], changed, out=row[..., 1:])
            row -= steps
            np.minimum.accumulate(row, axis=-1, out=row)
            row += steps  # or some of the other put in
        ended = np.flatnonzero(lengths_a == i)
        found[ended] = row[ended[:, None], np.arange(len(right)), lengths_b]
    return found


def _numbered(side: Sequence[Outline], place: Mapping[tuple[int, int, int], int]) -> NDArray[np.intp]:
    """The numbers of layers, shape (n, most layers); 0 behind the last one, which is not looked at."""
    numbers = np.zeros((len(side), max((len(each.layers) for each in side), default=0)), dtype=np.intp)
    for row, each in zip(numbers, side, strict=True):
        row[: len(each.layers)] = [place[layer] for layer in each.layers]
    return numbers


def _changes(forms: NDArray[np.int_]) -> Floats:
    """What it costs to make one layer of another, shape (n, n): |w - v| / max(w, v) of units, or the same of
    kernels if that is more; of another kind what it costs to take one out and put the other in.

    Args:
        forms: Shape (n, 3), n may be 0.
    """
    a, b = forms[:, None], forms[None, :]
    parts = np.abs(a - b) / np.maximum(np.maximum(a, b), 1)
    return np.where(a[..., 0] == b[..., 0], np.maximum(parts[..., 1], parts[..., 2]), 2.0)


@functools.lru_cache(maxsize=1 << 16)
def skip_distance(left: tuple[SkipPlace, ...], right: tuple[SkipPlace, ...]) -> float:
    """The cheapest matching of connections, whatever their order.

    A match costs (|u - v| + |d - e|) / (max(u, v) + max(d, e)) for begins at u and v that lead past d and e
    layers, and 1 if one adds and the other concatenates.
    """
    unmatched = abs(len(left) - len(right))
    if left == right or not left or not right:
        return float(unmatched)
    costs = np.array([[_skip_change(one, other) for other in right] for one in left])
    rows, columns = linear_sum_assignment(costs)
    return float(costs[rows, columns].sum()) + unmatched


def _skip_change(one: SkipPlace, other: SkipPlace) -> float:
    if one[0] != other[0]:
        return 1.0
    most = max(one[1], other[1]) + max(one[2], other[2])
    return (abs(one[1] - other[1]) + abs(one[2] - other[2])) / most if most else 0.0
