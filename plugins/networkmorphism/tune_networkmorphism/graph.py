"""What a network looks like: layers, in an order in which they can be computed, and who reads whom.

Layer 0 is the input of the network, which is no layer of the list; the last one is its output. Of what
a layer reads, the first is the trunk and the others are skip connections. A graph is never changed; what
morphs it makes another. Neither torch nor NumPy is needed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from tune_core.errors import TuneError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["INPUT", "KINDS", "Graph", "GraphError", "Layer", "Skip"]

INPUT = 0
"""The id that stands for what goes into the network."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "conv": ("units", "kernel"),  # of stride 1 and as large as its input, with a bias
    "batch_norm": (),
    "relu": (),
    "max_pool": (),  # 2 by 2; an odd row or column at the edge is left out
    "global_pool": (),  # the mean of each channel
    "dropout": ("rate",),
    "dense": ("units",),
    "add": (),
    "concat": (),  # of channels, or of features
}
"""The kinds of layers, and what each has beside its inputs."""

Shape = tuple[int, ...]  # (channels, height, width), or (features,)


class GraphError(TuneError, ValueError):
    """This is no network; says what is wrong and where."""


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        inputs: The ids of what it reads; one, but for `add` and `concat`.
        units: Filters of a `conv`, features of a `dense`.
        kernel: Height and width of the filters, odd.
        rate: The share that a `dropout` drops.
    """

    kind: str
    inputs: tuple[int, ...]
    units: int = 0
    kernel: int = 0
    rate: float = 0.0


class Skip(NamedTuple):
    """A connection past a part of the trunk.

    Attributes:
        how: `add` or `concat`.
        source: The layer of the trunk, or the input, that it begins at.
        join: The layer of the trunk that it ends in.
    """

    how: str
    source: int
    join: int


@dataclass(frozen=True)
class Graph:
    """A network.

    Attributes:
        input_shape: (channels, height, width), or (features,).
        layers: By id, in an order in which they can be computed.
    """

    input_shape: Shape
    layers: Mapping[int, Layer]

    @property
    def output(self) -> int:
        """The id of the last layer."""
        return self.order[-1]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The ids of all layers, in the order in which they are computed."""
        return tuple(self.layers)

    @cached_property
    def shapes(self) -> Mapping[int, Shape]:
        """The shape of what each layer gives, the input's too, without the batch.

        Raises:
            GraphError: Some layer cannot read what it is to read.
        """
        shapes: dict[int, Shape] = {INPUT: self.input_shape}
        for number, layer in self.layers.items():
            shapes[number] = _shape(number, layer, [shapes[each] for each in layer.inputs])
        return shapes

    @cached_property
    def weights(self) -> int:
        """How many numbers training adjusts."""
        return sum(_weights(layer, self.shapes[layer.inputs[0]][0]) for layer in self.layers.values())

    @cached_property
    def readers(self) -> Mapping[int, tuple[int, ...]]:
        """Who reads each layer, in order."""
        readers: dict[int, list[int]] = {number: [] for number in (INPUT, *self.layers)}
        for number, layer in self.layers.items():
            for each in layer.inputs:
                readers[each].append(number)
        return {number: tuple(each) for number, each in readers.items()}

    @cached_property
    def trunk(self) -> tuple[int, ...]:
        """The way from the input to the output along first inputs, without the input."""
        way = [self.output]
        while (before := self.layers[way[-1]].inputs[0]) != INPUT:
            way.append(before)
        return tuple(reversed(way))

    @cached_property
    def skips(self) -> tuple[Skip, ...]:
        """What ends in the trunk beside it, in order."""
        trunk = {INPUT, *self.trunk}
        found = []
        for join in self.trunk:
            for source in self.layers[join].inputs[1:]:
                while source not in trunk:
                    source = self.layers[source].inputs[0]
                found.append(Skip(self.layers[join].kind, source, join))
        return tuple(found)

    @cached_property
    def key(self) -> str:
        """Equal for networks that are built alike, whatever their layers' ids and order."""
        names, waiting = {INPUT: 0}, [self.output]
        parts: list[object] = [self.input_shape]
        while waiting:
            layer = self.layers[waiting[-1]]
            unnamed = [each for each in reversed(layer.inputs) if each not in names]
            if unnamed:
                waiting += unnamed
                continue
            number = waiting.pop()
            if number not in names:
                names[number] = len(names)
                inputs = tuple(names[each] for each in layer.inputs)
                parts.append((layer.kind, layer.units, layer.kernel, layer.rate, inputs))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def describe(self) -> str:
        """`conv3-64 pool dense64 dense10, 1 skip, 3,402 weights`: the trunk, for a person."""
        words = (_WORDS[layer.kind].format(layer) for layer in map(self.layers.__getitem__, self.trunk))
        count = len(self.skips)
        skips = f", {count} skip{'s' if count > 1 else ''}" if count else ""
        return f"{' '.join(filter(None, words))}{skips}, {self.weights:,} weights"

    def to_json(self) -> dict[str, Any]:
        """What `json_to_graph` reads."""
        from tune_networkmorphism.json_form import graph_to_json

        return graph_to_json(self)

    def produce_torch_model(self) -> nn.Module:
        """A new `torch.nn.Module` of this shape, its weights random. Images are (n, channels, height, width).

        Raises:
            GraphError: There is no torch here.
        """
        try:
            from tune_networkmorphism.torch_model import Network
        except ModuleNotFoundError as err:
            if err.name != "torch":
                raise
            raise GraphError(
                "a network needs torch to be trained\n  pip install 'tune-networkmorphism[torch]'"
            ) from err
        return Network(self)


_WORDS = {
    "conv": "conv{0.kernel}-{0.units}",
    "dense": "dense{0.units}",
    "max_pool": "pool",
    "global_pool": "mean",
    "batch_norm": "",
    "relu": "",
    "dropout": "",
    "add": "+",
    "concat": "&",
}


def _shape(number: int, layer: Layer, read: list[Shape]) -> Shape:
    """What layer `number` gives if it reads these.

    Raises:
        GraphError: It cannot.
    """
    first = read[0]
    if layer.kind in {"conv", "max_pool", "global_pool"} and len(first) != 3:
        raise GraphError(f"layer {number}: {layer.kind} reads images, not {_words(first)}")
    if layer.kind == "dense" and len(first) != 1:
        raise GraphError(
            f"layer {number}: dense reads features, not {_words(first)}; put a global_pool before"
        )
    if layer.kind == "add" and any(each != first for each in read):
        raise GraphError(f"layer {number}: add reads what is alike, not {' and '.join(map(_words, read))}")
    if layer.kind == "concat" and any(each[1:] != first[1:] for each in read):
        raise GraphError(
            f"layer {number}: concat reads images of one size, not {' and '.join(map(_words, read))}"
        )
    if layer.kind == "max_pool" and min(first[1:]) < 2:
        raise GraphError(
            f"layer {number}: max_pool halves images, and there is nothing to halve in {_words(first)}"
        )
    match layer.kind:
        case "conv":
            return (layer.units, *first[1:])
        case "max_pool":
            return (first[0], first[1] // 2, first[2] // 2)
        case "global_pool":
            return first[:1]
        case "dense":
            return (layer.units,)
        case "concat":
            return (sum(each[0] for each in read), *first[1:])
    return first


def _words(shape: Shape) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else " by ".join(map(str, shape))


def _weights(layer: Layer, inputs: int) -> int:
    match layer.kind:
        case "conv" | "dense":
            return layer.units * (inputs * max(layer.kernel, 1) ** 2 + 1)
        case "batch_norm":
            return 2 * inputs
    return 0
