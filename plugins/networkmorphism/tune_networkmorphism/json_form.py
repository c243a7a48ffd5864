"""Graphs as JSON, read strictly: no pickle, no eval, and what is wrong is said with its place.

{"version": 1, "input": [3, 32, 32], "layers": [
  {"id": 1, "kind": "conv", "inputs": [0], "units": 64, "kernel": 3},
  {"id": 2, "kind": "relu", "inputs": [1]}, ...]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from tune_networkmorphism.graph import INPUT, KINDS, Graph, GraphError, Layer

__all__ = ["VERSION", "graph_to_json", "json_to_graph"]

VERSION = 1
MAX_LAYERS = 1000
MAX_UNITS = 1 << 20
MAX_SIDE = 1 << 16
MAX_KERNEL = 63

_JOINS = ("add", "concat")


def json_to_graph(source: str | bytes | Mapping[str, Any]) -> Graph:
    """The network that a trial is to train.

    Args:
        source: The parameters of a trial, the `graph` in them, or either as JSON text.

    Raises:
        GraphError: It is no graph of this version; says what is wrong, and where.
    """
    content = _parsed(source)
    if isinstance(content, Mapping) and "graph" in content:
        content = _parsed(content["graph"])
    return _read(content)


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """What `json_to_graph` reads."""
    layers = [
        {
            "id": number,
            "kind": layer.kind,
            "inputs": list(layer.inputs),
            **{name: getattr(layer, name) for name in KINDS[layer.kind]},
        }
        for number, layer in graph.layers.items()
    ]
    return {"version": VERSION, "input": list(graph.input_shape), "layers": layers}


def _parsed(source: Any) -> Any:
    if not isinstance(source, str | bytes):
        return source
    try:
        return json.loads(source)
    except (ValueError, RecursionError) as err:
        raise GraphError(f"graph: not JSON: {err}") from err


def _read(content: Any) -> Graph:
    if not isinstance(content, Mapping):
        _fail("graph", f"{_shown(content)} is not an object with version, input and layers")
    if content.get("version") != VERSION or isinstance(content.get("version"), bool):
        _fail(
            "version", f"{_shown(content.get('version'))} is not {VERSION}, which is what this version reads"
        )
    _only(content, ("version", "input", "layers"), "graph")
    graph = Graph(_input(content.get("input")), _layers(content.get("layers")))
    graph.shapes  # noqa: B018 (raises if they do not fit)
    for number, readers in graph.readers.items():
        if not readers and number != graph.output:
            _fail(f"layer {number}" if number else "input", "is read by nobody; only the last layer may be")
    return graph


def _input(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list | tuple) or len(shape) not in (1, 3):
        _fail("input", f"{_shown(shape)} is not [channels, height, width] or [features]")
    return tuple(_whole(each, f"input[{place}]", 1, MAX_SIDE) for place, each in enumerate(shape))


def _layers(items: Any) -> dict[int, Layer]:
    if not isinstance(items, list | tuple) or not 1 <= len(items) <= MAX_LAYERS:
        _fail("layers", f"is not a list of 1 to {MAX_LAYERS} layers")
    layers: dict[int, Layer] = {}
    for place, item in enumerate(items):
        where = f"layers[{place}]"
        if not isinstance(item, Mapping):
            _fail(where, f"{_shown(item)} is not an object with id, kind and inputs")
        number = _whole(item.get("id"), f"{where}.id", 1, 10**9)
        if number in layers:
            _fail(f"{where}.id", f"{number} is the id of two layers")
        layers[number] = _layer(item, where, layers)
    return layers


def _layer(item: Mapping[str, Any], where: str, before: Mapping[int, Layer]) -> Layer:
    kind = item.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        _fail(f"{where}.kind", f"{_shown(kind)} is not one of {', '.join(KINDS)}")
    _only(item, ("id", "kind", "inputs", *KINDS[kind]), where)
    inputs = item.get("inputs")
    if not isinstance(inputs, list | tuple) or not inputs or (len(inputs) > 1) != (kind in _JOINS):
        _fail(
            f"{where}.inputs",
            f"{_shown(inputs)} is not a list of {'some ids' if kind in _JOINS else 'one id'}",
        )
    for each in inputs:
        if not isinstance(each, int) or isinstance(each, bool) or (each != INPUT and each not in before):
            _fail(
                f"{where}.inputs",
                f"{_shown(each)} is neither {INPUT}, the input, nor a layer before this one",
            )
    units = _whole(item.get("units"), f"{where}.units", 1, MAX_UNITS) if "units" in KINDS[kind] else 0
    kernel = _whole(item.get("kernel"), f"{where}.kernel", 1, MAX_KERNEL) if kind == "conv" else 0
    if kind == "conv" and kernel % 2 == 0:
        _fail(f"{where}.kernel", f"{kernel} is not odd")
    rate = _rate(item.get("rate"), f"{where}.rate") if kind == "dropout" else 0.0
    return Layer(kind, tuple(inputs), units, kernel, rate)


def _whole(value: Any, where: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        _fail(where, f"{_shown(value)} is not a whole number from {low} to {high}")
    return int(value)


def _rate(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        _fail(where, f"{_shown(value)} is not a number from 0 to below 1")
    return float(value)


def _only(item: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in item:
        if name not in known:
            _fail(where, f"has {_shown(name)}; there are only {', '.join(known)}")


def _fail(where: str, what: str) -> NoReturn:
    raise GraphError(f"{where}: {what}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
