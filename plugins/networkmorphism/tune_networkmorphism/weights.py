"""Weights for a child with which it computes what its parent does.

Arrays have the names and shapes of torch's state: `layers.<id>.weight` and so on; torch itself is not needed.

Wider: new units are copies of old ones drawn at random, and what reads them shares the old weights out among
the copies (Chen, T., Goodfellow, I. and Shlens, J. (2016). Net2Net: accelerating learning via knowledge
transfer. ICLR 2016. https://arxiv.org/abs/1511.05641). Net2Net shares equally and adds noise, so that copies
may grow apart. Here the shares are drawn at random for each reader, which keeps the function exactly.

Batch normalisation that is put in is the identity in evaluation: mean 0, variance 1, and a scale that undoes
`eps`. In training it normalises by the batch, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from tune_networkmorphism.graph import INPUT, Graph
from tune_networkmorphism.morphs import Deepen, Morph, Skipping, Widen, widened_together

__all__ = ["EPS", "State", "inherit", "transfer"]

Floats = NDArray[np.floating]
Map = NDArray[np.intp]  # for each channel of the child, the channel of the parent that it is a copy of
State = dict[str, NDArray[np.generic]]

EPS = 1e-5
"""What batch normalisation adds to the variance."""


def transfer(
    graph: Graph, state: Mapping[str, NDArray[np.generic]], morph: Morph, rng: np.random.Generator
) -> State:
    """The weights of `morph.apply(graph)`.

    Args:
        state: Those of `graph`.
    """
    match morph:
        case Widen():
            return _widened(graph, state, morph, rng)
        case Deepen():
            return _deepened(graph, state, morph)
        case Skipping():
            return _with_skip(graph, state, morph)


def inherit(
    graph: Graph, state: Mapping[str, NDArray[np.generic]], morphs: Iterable[Morph], rng: np.random.Generator
) -> tuple[Graph, State]:
    """The network that `morphs` make of `graph`, one after the other, and its weights.

    Args:
        state: The weights of `graph`.

    Raises:
        GraphError: Some morph does not fit.
    """
    grown: State = dict(state)
    for morph in morphs:
        grown = transfer(graph, grown, morph, rng)
        graph = morph.apply(graph)
    return graph, grown


def _widened(
    graph: Graph, state: Mapping[str, NDArray[np.generic]], morph: Widen, rng: np.random.Generator
) -> State:
    together = widened_together(graph, morph.layer)
    old = graph.layers[morph.layer].units
    copies = np.concatenate([np.arange(old), rng.integers(old, size=morph.units - old)])
    maps: dict[int, Map | None] = {INPUT: None}  # None where nothing changes
    new = dict(state)
    for number, layer in graph.layers.items():
        read = [maps[each] for each in layer.inputs]
        name = f"layers.{number}."
        match layer.kind:
            case "conv" | "dense":
                weight = np.asarray(new[name + "weight"])
                if read[0] is not None:
                    weight = _shared_out(weight, read[0], rng)
                if number in together:
                    weight, new[name + "bias"] = weight[copies], new[name + "bias"][copies]
                new[name + "weight"] = weight
                maps[number] = copies if number in together else None
            case "concat":
                maps[number] = _side_by_side(read, [graph.shapes[each][0] for each in layer.inputs])
            case _:
                maps[number] = read[0]
                if layer.kind == "batch_norm" and read[0] is not None:
                    for each in ("weight", "bias", "running_mean", "running_var"):
                        new[name + each] = new[name + each][read[0]]
    return new


def _shared_out(weight: Floats, copies: Map, rng: np.random.Generator) -> Floats:
    """The weights of a reader of channels that were copied: those of the copies add up to the old one.

    Args:
        weight: Shape (units, channels, ...). Returns shape (units, len(copies), ...).
    """
    shares = rng.uniform(0.5, 1.5, size=(len(weight), len(copies)))
    sums = np.zeros(weight.shape[:2])
    np.add.at(sums.T, copies, shares.T)
    shares /= sums[:, copies]
    wide: Floats = weight[:, copies] * shares.reshape(*shares.shape, *[1] * (weight.ndim - 2))
    return wide.astype(weight.dtype, copy=False)


def _side_by_side(maps: list[Map | None], channels: list[int]) -> Map | None:
    if all(each is None for each in maps):
        return None
    starts = np.cumsum([0, *channels])
    return np.concatenate(
        [
            start + (np.arange(count) if each is None else each)
            for each, count, start in zip(maps, channels, starts, strict=False)
        ]
    )


def _deepened(graph: Graph, state: Mapping[str, NDArray[np.generic]], morph: Deepen) -> State:
    child = morph.apply(graph)
    first = max(graph.layers) + 1
    units, kernel = child.layers[first].units, child.layers[first].kernel
    return {
        **state,
        **_mix(first, units, units, kernel, _dtype(state)),
        **_identity_norm(child, first + 1, _dtype(state)),
    }


def _with_skip(graph: Graph, state: Mapping[str, NDArray[np.generic]], morph: Skipping) -> State:
    child = morph.apply(graph)
    added = {number: layer for number, layer in child.layers.items() if number not in graph.layers}
    (mixing,) = (number for number, layer in added.items() if layer.units)
    layer, dtype = child.layers[mixing], _dtype(state)
    reads = child.shapes[layer.inputs[0]][0]
    kept = layer.units if morph.how == "concat" else 0  # what is added begins as nothing
    new = {**state, **_mix(mixing, layer.units, reads, layer.kernel, dtype, kept)}
    return {**new, **_identity_norm(child, mixing + 1, dtype)}


def _mix(
    number: int, units: int, reads: int, kernel: int, dtype: np.dtype[np.generic], kept: int | None = None
) -> State:
    """A layer that hands on the first `kept` of the channels that it reads, all by default, and no other."""
    weight = np.eye(units, reads, dtype=dtype)
    weight[units if kept is None else kept :] = 0
    if kernel:
        middle = np.zeros((units, reads, kernel, kernel), dtype=dtype)
        middle[:, :, kernel // 2, kernel // 2] = weight
        weight = middle
    return {f"layers.{number}.weight": weight, f"layers.{number}.bias": np.zeros(units, dtype=dtype)}


def _identity_norm(graph: Graph, number: int, dtype: np.dtype[np.generic]) -> State:
    if graph.layers[number].kind != "batch_norm":
        return {}
    channels = graph.shapes[number][0]
    return {
        f"layers.{number}.weight": np.full(channels, math.sqrt(1.0 + EPS), dtype=dtype),
        f"layers.{number}.bias": np.zeros(channels, dtype=dtype),
        f"layers.{number}.running_mean": np.zeros(channels, dtype=dtype),
        f"layers.{number}.running_var": np.ones(channels, dtype=dtype),
        f"layers.{number}.num_batches_tracked": np.zeros((), dtype=np.int64),
    }


def _dtype(state: Mapping[str, NDArray[np.generic]]) -> np.dtype[np.generic]:
    return next(each.dtype for name, each in state.items() if name.endswith(".weight"))
