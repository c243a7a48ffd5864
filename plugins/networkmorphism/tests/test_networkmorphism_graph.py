"""Graphs: their shapes, their JSON, and what is said of JSON that is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tune_networkmorphism import json_to_graph
from tune_networkmorphism.generator import convolutional, multilayer_perceptron
from tune_networkmorphism.graph import Graph, GraphError, Layer, Skip


def small() -> dict[str, Any]:
    """A network with a connection past its second conv."""
    return {
        "version": 1,
        "input": [3, 9, 8],
        "layers": [
            {"id": 1, "kind": "conv", "inputs": [0], "units": 4, "kernel": 3},
            {"id": 2, "kind": "max_pool", "inputs": [1]},
            {"id": 7, "kind": "conv", "inputs": [2], "units": 4, "kernel": 5},
            {"id": 4, "kind": "add", "inputs": [7, 2]},
            {"id": 5, "kind": "concat", "inputs": [4, 2]},
            {"id": 6, "kind": "global_pool", "inputs": [5]},
            {"id": 8, "kind": "dropout", "inputs": [6], "rate": 0.5},
            {"id": 9, "kind": "dense", "inputs": [8], "units": 10},
        ],
    }


def test_graph_shapes_and_weights_are_those_of_the_layers() -> None:
    graph = json_to_graph(small())
    assert [graph.shapes[number] for number in graph.order] == [
        (4, 9, 8),
        (4, 4, 4),
        (4, 4, 4),
        (4, 4, 4),
        (8, 4, 4),
        (8,),
        (8,),
        (10,),
    ]
    assert graph.weights == 4 * (3 * 9 + 1) + 4 * (4 * 25 + 1) + 10 * (8 + 1)
    assert graph.trunk == graph.order
    assert graph.skips == (Skip("add", 2, 4), Skip("concat", 2, 5))
    assert graph.describe() == "conv3-4 pool conv5-4 + & mean dense10, 2 skips, 606 weights"


@pytest.mark.parametrize("form", [lambda j: j, json.dumps, lambda j: json.dumps(j).encode()])
def test_graph_comes_back_from_json(form: Any) -> None:
    graph = json_to_graph(small())
    assert json_to_graph(form(graph.to_json())) == graph
    assert json_to_graph(form({"network": "x", "graph": graph.to_json()})) == graph
    assert json_to_graph({"graph": json.dumps(graph.to_json())}) == graph


def changed(*path: Any, value: Any) -> dict[str, Any]:
    content = small()
    place: Any = content
    for part in path[:-1]:
        place = place[part]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "graph: not JSON"),
        ("[" * 100_000, "graph: not JSON"),
        ([], r"graph: \[\] is not an object"),
        ({}, "version: None is not 1"),
        ({"graph": 3}, "graph: 3 is not an object"),
        (changed("version", value=2), "version: 2 is not 1"),
        (changed("pickle", value="x"), "graph: has 'pickle'"),
        (changed("input", value=[3, 9]), r"input: \[3, 9\] is not \[channels"),
        (changed("input", value=[3, 0, 8]), r"input\[1\]: 0 is not a whole number from 1"),
        (changed("layers", value=[]), "layers: is not a list of 1 to 1000 layers"),
        (changed("layers", 0, value=5), r"layers\[0\]: 5 is not an object"),
        (changed("layers", 1, "id", value=1), r"layers\[1\].id: 1 is the id of two layers"),
        (changed("layers", 1, "id", value=True), r"layers\[1\].id: True is not a whole number"),
        (changed("layers", 0, "kind", value="lambda"), r"layers\[0\].kind: 'lambda' is not one of conv"),
        (changed("layers", 0, "kind", value=["conv"]), r"layers\[0\].kind: \['conv'\] is not one of"),
        (changed("layers", 0, "kernel", value=4), r"layers\[0\].kernel: 4 is not odd"),
        (changed("layers", 0, "kernel", value=KeyError), r"layers\[0\].kernel: None is not a whole number"),
        (changed("layers", 0, "units", value=1e3), r"layers\[0\].units: 1000.0 is not a whole number"),
        (changed("layers", 0, "units", value=10**9), r"layers\[0\].units: 1000000000 is not a whole number"),
        (changed("layers", 1, "units", value=3), r"layers\[1\]: has 'units'"),
        (changed("layers", 6, "rate", value=1.0), r"layers\[6\].rate: 1.0 is not a number from 0 to below 1"),
        (changed("layers", 6, "rate", value=float("nan")), r"layers\[6\].rate: nan is not"),
        (changed("layers", 1, "inputs", value=[7]), r"layers\[1\].inputs: 7 is neither 0"),
        (
            changed("layers", 1, "inputs", value=[1, 0]),
            r"inputs: \[1, 0\] is not a list of one id",
        ),
        (changed("layers", 3, "inputs", value=[7]), r"layers\[3\].inputs: \[7\] is not a list of some ids"),
        (
            changed("layers", 3, "inputs", value=[7, 1]),
            "layer 4: add reads what is alike, not 4 by 4",
        ),
        (changed("layers", 4, "inputs", value=[4, 1]), "layer 5: concat reads images of one size"),
        (changed("layers", 7, "inputs", value=[5]), "layer 9: dense reads features, not 8 by 4 by 4"),
        (changed("layers", 5, "inputs", value=[4]), "layer 5: is read by nobody"),
        (changed("input", value=[3, 1, 8]), "layer 2: max_pool halves images"),
        (changed("input", value=[3]), "layer 1: conv reads images, not 3 features"),
    ],
)
def test_graph_that_is_none_is_refused_with_its_place(content: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        json_to_graph(content)


def test_graph_key_is_of_the_network_alone() -> None:
    graph = json_to_graph(small())
    renamed = {0: 0, 1: 11, 2: 12, 7: 13, 4: 2, 5: 3, 6: 1, 8: 4, 9: 5}
    layers = {
        renamed[number]: Layer(
            each.kind, tuple(renamed[one] for one in each.inputs), each.units, each.kernel, each.rate
        )
        for number, each in graph.layers.items()
    }
    assert Graph(graph.input_shape, layers).key == graph.key
    for place, name, value in ((0, "units", 5), (0, "kernel", 1), (6, "rate", 0.25), (7, "units", 11)):
        other = small()
        other["layers"][place][name] = value
        if place == 0 and name == "units":
            other["layers"][2]["units"] = 5
        assert json_to_graph(other).key != graph.key


def test_first_convolutional_network_is_nnis() -> None:
    graph = convolutional((3, 32, 32), 10, length=3, width=64)
    assert (
        graph.describe() == "conv3-64 pool conv3-64 pool conv3-64 pool mean dense64 dense10, 80,842 weights"
    )
    assert graph.shapes[graph.output] == (10,)
    assert [graph.layers[each].kind for each in graph.order][:4] == ["conv", "batch_norm", "relu", "max_pool"]


@pytest.mark.parametrize(
    ("side", "length", "pools"), [(1, 3, 0), (3, 3, 1), (28, 12, 3), (32, 8, 3), (32, 7, 5)]
)
def test_first_convolutional_network_halves_what_can_be_halved(side: int, length: int, pools: int) -> None:
    graph = convolutional((1, side, side), 2, length=length, width=4)
    assert [each.kind for each in graph.layers.values()].count("max_pool") == pools
    assert graph.shapes[graph.output] == (2,)


def test_first_network_for_rows_is_dense() -> None:
    graph = multilayer_perceptron(20, 2, length=2, width=5)
    assert graph.input_shape == (20,)
    assert [each.kind for each in graph.layers.values()] == [*["dense", "relu", "dropout"] * 2, "dense"]
    assert graph.weights == 20 * 5 + 5 + 5 * 5 + 5 + 5 * 2 + 2
