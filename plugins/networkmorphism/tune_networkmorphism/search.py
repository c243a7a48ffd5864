"""Where to look next: simulated annealing over the tree of networks that grow out of those with results.

Jin, H., Song, Q. and Hu, X. (2019), algorithm 1: the most promising network is taken from a queue, its
neighbours come into it if they promise more, or else with a probability that falls with the temperature.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tune_networkmorphism.graph import Graph
from tune_networkmorphism.json_form import MAX_LAYERS
from tune_networkmorphism.morphs import (
    Deepen,
    Morph,
    Skipping,
    Widen,
    deepenable,
    has_skip,
    skip_sources,
    skip_targets,
    widenable,
)

__all__ = ["Candidate", "anneal", "random_morph", "wander"]

_COOLING = 0.9
_NEIGHBOURS = 8
_FACTORS = (1.5, 2.0)  # by which units grow
_WIDEST = 4096  # units that a layer can grow to; NNI's
_KERNELS = (1, 3, 5)
_TRIES = 10
_FARTHEST = 5  # morphs from a network with a result: of what is far, what is inherited says little
_WANDERS = 200


@dataclass(frozen=True)
class Candidate:
    """A network, and how it grows out of one that was tried.

    Attributes:
        root: The number of the trial of that one; None if it is none.
        morphs: What makes `graph` of it.
    """

    root: int | None
    morphs: tuple[Morph, ...]
    graph: Graph

    def grown(self, rng: np.random.Generator, largest: int) -> Candidate | None:
        """A random neighbour; None if none was found that has at most `largest` weights."""
        step = random_morph(self.graph, rng, largest)
        return None if step is None else Candidate(self.root, (*self.morphs, step[0]), step[1])


def anneal(
    roots: Sequence[Candidate],
    promise: Callable[[Sequence[Graph]], NDArray[np.float64]],
    seen: Container[str],
    rng: np.random.Generator,
    *,
    coldest: float,
    largest: int,
) -> Candidate | None:
    """The network that promises most, of those that were looked at and are not `seen`.

    Args:
        promise: The lower, the more.
        seen: Keys of networks.
        coldest: The temperature to end at; it begins at 1.
        largest: The most weights that a network may have.
    """
    counter = itertools.count()  # of two that promise the same the first is first
    values = promise([each.graph for each in roots])
    queue = [(float(value), next(counter), root) for value, root in zip(values, roots, strict=True)]
    heapq.heapify(queue)
    met = {root.graph.key for root in roots}
    best, found, temperature = math.inf, None, 1.0
    while queue and temperature > coldest:
        temperature *= _COOLING
        value, _, node = heapq.heappop(queue)
        if len(node.morphs) >= _FARTHEST:
            continue
        drawn = [node.grown(rng, largest) for _ in range(_NEIGHBOURS)]
        fresh = {each.graph.key: each for each in drawn if each is not None and each.graph.key not in met}
        if not fresh:
            continue
        met.update(fresh)
        for each, promised in zip(
            fresh.values(), promise([one.graph for one in fresh.values()]).tolist(), strict=True
        ):
            if promised < value or rng.random() < math.exp((value - promised) / temperature):
                heapq.heappush(queue, (promised, next(counter), each))
            if promised < best and each.graph.key not in seen:
                best, found = promised, each
    return found


def wander(
    roots: Sequence[Candidate], seen: Container[str], rng: np.random.Generator, largest: int
) -> Candidate | None:
    """A random network that is not `seen`, one step from one of `roots` or a few; None if none was found."""
    for attempt in range(_WANDERS):
        node: Candidate | None = roots[int(rng.integers(len(roots)))]
        for _ in range(1 + attempt // 20):
            node = node and node.grown(rng, largest)
        if node is not None and node.graph.key not in seen:
            return node
    return None


def random_morph(graph: Graph, rng: np.random.Generator, largest: int) -> tuple[Morph, Graph] | None:
    """A random morph, each way to grow as likely as the others, and what it makes of `graph`.

    Returns None if none was found whose result has at most `largest` weights.
    """
    for _ in range(_TRIES):
        morph = _WAYS[int(rng.integers(len(_WAYS)))](graph, rng)
        if morph is None:
            continue
        child = morph.apply(graph)
        if child.weights <= largest and len(child.layers) <= MAX_LAYERS:
            return morph, child
    return None


def _wider(graph: Graph, rng: np.random.Generator) -> Morph | None:
    places = widenable(graph)
    if not places:
        return None
    layer = places[int(rng.integers(len(places)))]
    units = math.ceil(graph.layers[layer].units * _FACTORS[int(rng.integers(len(_FACTORS)))])
    return Widen(layer, units) if units <= _WIDEST else None


def _deeper(graph: Graph, rng: np.random.Generator) -> Morph | None:
    places = deepenable(graph)
    if not places:
        return None
    after = places[int(rng.integers(len(places)))]
    side = min(graph.shapes[after][1:], default=0)
    kernels = [each for each in _KERNELS if each <= side] or [0]
    return Deepen(after, kernels[int(rng.integers(len(kernels)))])


def _skipping(graph: Graph, rng: np.random.Generator) -> Morph | None:
    targets = skip_targets(graph)
    if not targets:
        return None
    target = targets[int(rng.integers(len(targets)))]
    sources = skip_sources(graph, target)
    if not sources:
        return None
    how = ("add", "concat")[int(rng.integers(2))]
    skip = Skipping(sources[int(rng.integers(len(sources)))], target, how)
    return None if has_skip(graph, skip) else skip


_WAYS: tuple[Callable[[Graph, np.random.Generator], Morph | None], ...] = (_wider, _deeper, _skipping)
