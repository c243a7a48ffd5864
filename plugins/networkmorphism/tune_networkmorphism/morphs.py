"""How a network grows: a layer becomes wider, another one is put in, or a connection leads past some.

Each of these leaves room for weights with which the child computes what its parent did; `weights.py` makes
them. Wei, T., Wang, C., Rui, Y. and Chen, C. W. (2016). Network morphism. ICML 2016.
https://arxiv.org/abs/1603.01670

Blocks are conv, batch norm, ReLU in this order, where the paper of the tuner has ReLU, batch norm, conv: so a
block that is put behind a ReLU can be the identity exactly, since what it reads is never negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

from tune_networkmorphism.graph import INPUT, Graph, GraphError, Layer

__all__ = ["Deepen", "Morph", "Skipping", "Widen", "morph_from_json", "morph_to_json"]

_SAME_CHANNELS = {"batch_norm", "relu", "max_pool", "global_pool", "dropout"}
_AFTER = {"relu", "max_pool", "global_pool"}  # where a block or a connection may begin


@dataclass(frozen=True)
class Widen:
    """More units for a layer, and for all whose output is added to its own.

    Attributes:
        layer: A `conv` or `dense`.
        units: How many it is to have, more than it has.
    """

    name: ClassVar[str] = "widen"
    layer: int
    units: int

    def apply(self, graph: Graph) -> Graph:
        together = widened_together(graph, self.layer)
        if self.units <= graph.layers[self.layer].units:
            raise GraphError(f"widen: layer {self.layer} has {graph.layers[self.layer].units} units already")
        layers = {
            number: replace(layer, units=self.units) if number in together else layer
            for number, layer in graph.layers.items()
        }
        return Graph(graph.input_shape, layers)


@dataclass(frozen=True)
class Deepen:
    """A block behind a layer: conv, batch norm and ReLU for images, dense and ReLU for features.

    Attributes:
        after: A layer whose output is never negative.
        kernel: Height and width of the filters; 0 for features.
    """

    name: ClassVar[str] = "deepen"
    after: int
    kernel: int = 0

    def apply(self, graph: Graph) -> Graph:
        shape = _shape_behind(graph, self.after)
        if (len(shape) == 3) != (self.kernel > 0) or self.kernel % 2 == 0 < self.kernel:
            raise GraphError(f"deepen: kernel {self.kernel} does not go with images, which take an odd one")
        new = max(graph.layers) + 1
        if len(shape) == 3:
            block = {
                new: Layer("conv", (self.after,), shape[0], self.kernel),
                new + 1: Layer("batch_norm", (new,)),
                new + 2: Layer("relu", (new + 1,)),
            }
        else:
            block = {new: Layer("dense", (self.after,), shape[0]), new + 1: Layer("relu", (new,))}
        return _insert(graph, self.after, block)


@dataclass(frozen=True)
class Skipping:
    """A connection past some layers, as in a ResNet (`add`) or a DenseNet (`concat`).

    What is added goes through a new layer and then to what `target` reads; what is concatenated goes,
    with the output of `target`, through a new block.

    Attributes:
        source: A layer of the trunk whose output is never negative.
        target: A later ReLU of the trunk.
        how: `add` or `concat`.
    """

    name: ClassVar[str] = "skip"
    source: int
    target: int
    how: str

    def apply(self, graph: Graph) -> Graph:
        pools = _pools_between(graph, self.source, self.target)
        if pools is None or self.how not in {"add", "concat"}:
            raise GraphError(f"skip: no way to {self.how} layer {self.source} at layer {self.target}")
        new, branch = max(graph.layers) + 1, self.source
        block: dict[int, Layer] = {}
        for _ in range(pools):
            block[new] = Layer("max_pool", (branch,))
            new, branch = new + 1, new
        return (self._added if self.how == "add" else self._concatenated)(graph, block, new, branch)

    def _added(self, graph: Graph, block: dict[int, Layer], new: int, branch: int) -> Graph:
        target = graph.layers[self.target]
        (before,) = target.inputs
        block[new] = _mixing(graph, before, branch)
        block[new + 1] = Layer("add", (before, new))
        layers = dict(graph.layers) | {self.target: replace(target, inputs=(new + 1,))}
        return Graph(graph.input_shape, _placed(layers, before_layer=self.target, block=block))

    def _concatenated(self, graph: Graph, block: dict[int, Layer], new: int, branch: int) -> Graph:
        _shape_behind(graph, self.target)
        block[new] = Layer("concat", (self.target, branch))
        block[new + 1] = _mixing(graph, self.target, new)
        if block[new + 1].kind == "conv":
            block[new + 2] = Layer("batch_norm", (new + 1,))
        block[max(block) + 1] = Layer("relu", (max(block),))
        return _insert(graph, self.target, block)


Morph = Widen | Deepen | Skipping

_BY_NAME: Mapping[str, type[Morph]] = {each.name: each for each in (Widen, Deepen, Skipping)}


def morph_to_json(morph: Morph) -> dict[str, Any]:
    """What `morph_from_json` reads: `{"morph": "widen", "layer": 4, "units": 128}`."""
    return {"morph": morph.name, **asdict(morph)}


def morph_from_json(content: Any) -> Morph:
    """The morph that `morph_to_json` wrote.

    Raises:
        GraphError: It is none.
    """
    given = dict(content) if isinstance(content, Mapping) else {}
    cls = _BY_NAME.get(str(given.pop("morph", None)))
    if cls is None or set(given) != {each.name for each in fields(cls)}:
        raise GraphError(f"morphs: {content!r} is none of {', '.join(_BY_NAME)} with its keys")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, str if name == "how" else int):
            raise GraphError(f"morphs: {name} is {value!r}")
    return cls(**given)


# Where a network may grow.


def channel_groups(graph: Graph) -> dict[int, int]:
    """For each layer, the number of the group of layers that must have the same channels; 0 for those
    whose channels are given: the input's, the output's, and those of what is concatenated."""
    parent: dict[int, int] = {INPUT: INPUT}

    def root(number: int) -> int:
        while parent[number] != number:
            number = parent[number]
        return number

    for number, layer in graph.layers.items():
        if layer.kind in _SAME_CHANNELS or layer.kind == "add":
            roots = {root(each) for each in layer.inputs}
            least = min(roots)  # INPUT, which is fixed, if it is among them
            for each in roots:
                parent[each] = least
            parent[number] = least
        else:
            parent[number] = INPUT if layer.kind == "concat" else number
    output = root(graph.output)
    return {number: INPUT if root(number) == output else root(number) for number in parent}


def widened_together(graph: Graph, layer: int) -> tuple[int, ...]:
    """The layers that have to be widened with `layer`, itself included.

    Raises:
        GraphError: It cannot be widened.
    """
    groups = channel_groups(graph)
    group = groups.get(layer, INPUT)
    if group == INPUT or graph.layers[layer].kind not in {"conv", "dense"}:
        raise GraphError(
            f"widen: the units of layer {layer} are given by what reads or adds them, or not there"
        )
    return tuple(number for number, each in graph.layers.items() if groups[number] == group and each.units)


def widenable(graph: Graph) -> list[int]:
    """The layers that can be widened, one of each group."""
    groups = channel_groups(graph)
    first: dict[int, int] = {}
    for number, layer in graph.layers.items():
        if layer.units and groups[number] != INPUT:
            first.setdefault(groups[number], number)
    return list(first.values())


def deepenable(graph: Graph) -> list[int]:
    """The layers behind which a block can be put."""
    positive = _never_negative(graph)
    return [
        number
        for number, layer in graph.layers.items()
        if layer.kind in _AFTER and number in positive and number != graph.output
    ]


def skip_targets(graph: Graph) -> list[int]:
    """Where connections can end: the ReLUs of the trunk, but for one that is the output."""
    return [each for each in graph.trunk if graph.layers[each].kind == "relu" and each != graph.output]


def skip_sources(graph: Graph, target: int) -> list[int]:
    """Where connections that end at `target` can begin: layers of the trunk before it."""
    before = set(graph.trunk[: graph.trunk.index(target)])
    return [
        each
        for each in deepenable(graph)
        if each in before and _pools_between(graph, each, target) is not None
    ]


def has_skip(graph: Graph, skip: Skipping) -> bool:
    """Whether there is such a connection already."""
    joins = {each.join for each in graph.skips if (each.how, each.source) == (skip.how, skip.source)}
    if skip.how == "concat":
        return not joins.isdisjoint(graph.readers[skip.target])
    number = graph.layers[skip.target].inputs[0]
    while number in graph.layers and graph.layers[number].kind == "add":
        if number in joins:
            return True
        number = graph.layers[number].inputs[0]
    return False


def _never_negative(graph: Graph) -> set[int]:
    """The layers whose output has no negative number, whatever the weights."""
    found: set[int] = set()
    for number, layer in graph.layers.items():
        passes = layer.kind in {"max_pool", "global_pool", "dropout", "add", "concat"}
        if layer.kind == "relu" or (passes and found.issuperset(layer.inputs)):
            found.add(number)
    return found


def _shape_behind(graph: Graph, number: int) -> tuple[int, ...]:
    if number not in _never_negative(graph) or number == graph.output:
        raise GraphError(f"nothing can be put behind layer {number}: it may be negative, or is the last one")
    return graph.shapes[number]


def _pools_between(graph: Graph, source: int, target: int) -> int | None:
    """How often images from `source` have to be halved for `target`; None if they can never fit."""
    if graph.layers.get(target) is None or graph.layers[target].kind != "relu":
        return None
    if source not in graph.shapes or graph.layers[target].inputs[0] == source:
        return None
    if source == INPUT or graph.order.index(source) >= graph.order.index(target):
        return None
    begin, end = graph.shapes[source][1:], graph.shapes[target][1:]
    if len(begin) != len(end):
        return None
    pools = 0
    while begin != end and min(begin) > 1:
        begin, pools = tuple(each // 2 for each in begin), pools + 1
    return pools if begin == end else None


def _mixing(graph: Graph, like: int, reads: int) -> Layer:
    """A layer that brings the channels of `reads` to those of layer `like`."""
    shape = graph.shapes[like]
    return Layer("conv", (reads,), shape[0], 1) if len(shape) == 3 else Layer("dense", (reads,), shape[0])


def _insert(graph: Graph, after: int, block: Mapping[int, Layer]) -> Graph:
    """`block` behind layer `after`: who read that reads the last of `block`."""
    last = next(reversed(list(block)))
    layers: dict[int, Layer] = {}
    for number, layer in graph.layers.items():
        if after in layer.inputs:
            inputs = tuple(last if each == after else each for each in layer.inputs)
            layer = replace(layer, inputs=inputs)
        layers[number] = layer
        if number == after:
            layers |= block
    return Graph(graph.input_shape, layers)


def _placed(layers: Mapping[int, Layer], before_layer: int, block: Mapping[int, Layer]) -> dict[int, Layer]:
    placed: dict[int, Layer] = {}
    for number, layer in layers.items():
        if number == before_layer:
            placed |= block
        placed[number] = layer
    return placed
