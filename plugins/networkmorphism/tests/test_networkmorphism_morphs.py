"""Morphs: children are legal networks, and compute what their parents did."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tune_networkmorphism import json_to_graph
from tune_networkmorphism.generator import convolutional, multilayer_perceptron
from tune_networkmorphism.graph import Graph, GraphError
from tune_networkmorphism.morphs import (
    Deepen,
    Morph,
    Skipping,
    Widen,
    deepenable,
    has_skip,
    morph_from_json,
    morph_to_json,
    skip_sources,
    skip_targets,
    widenable,
    widened_together,
)
from tune_networkmorphism.search import random_morph
from tune_networkmorphism.weights import inherit, transfer

CONV = convolutional((2, 12, 12), 3, length=3, width=4)
DENSE = multilayer_perceptron(6, 3, length=3, width=5)


def trained(graph: Graph, seed: int) -> torch.nn.Module:
    """A network in float64 with weights as training leaves them: no zeros, no identities, real statistics."""
    network = graph.produce_torch_model().double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("running_var", "weight")) and value.ndim < 2:
                value.copy_(torch.rand(value.shape, generator=generator, dtype=value.dtype) + 0.5)
            elif value.is_floating_point():
                scale = 1.0 / max(value[0].numel(), 1) ** 0.5 if value.ndim else 1.0
                value.copy_(torch.randn(value.shape, generator=generator, dtype=value.dtype) * scale)
    return network.eval()


def arrays(network: torch.nn.Module) -> dict[str, Any]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def loaded(graph: Graph, state: dict[str, Any]) -> torch.nn.Module:
    network = graph.produce_torch_model().double()
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    return network.eval()


def outputs(network: torch.nn.Module, graph: Graph, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return network(torch.randn((7, *graph.input_shape), generator=generator, dtype=torch.float64))


def every_morph(graph: Graph) -> list[Morph]:
    """One for each place where `graph` can grow."""
    kernels = {3: (1, 3, 5), 1: (0,)}
    return [
        *(Widen(each, graph.layers[each].units + 3) for each in widenable(graph)),
        *(Deepen(each, kernel) for each in deepenable(graph) for kernel in kernels[len(graph.shapes[each])]),
        *(
            Skipping(source, target, how)
            for target in skip_targets(graph)
            for source in skip_sources(graph, target)
            for how in ("add", "concat")
        ),
    ]


def assert_preserves(graph: Graph, network: torch.nn.Module, morph: Morph, seed: int) -> torch.nn.Module:
    child = morph.apply(graph)
    state = transfer(graph, arrays(network), morph, np.random.default_rng(seed))
    heir = loaded(child, state)
    before, after = outputs(network, graph), outputs(heir, child)
    assert before.std() > 1e-3  # it says something
    assert torch.allclose(before, after, rtol=0, atol=1e-9), f"{morph}: {(before - after).abs().max()}"
    return heir


@pytest.mark.parametrize("first", [CONV, DENSE], ids=["cv", "common"])
def test_morphs_keep_the_function_at_every_place(first: Graph) -> None:
    """Wherever a network can grow, and again wherever those can grow that came of it at random."""
    rng = np.random.default_rng(3)
    graph = first
    names: Counter[str] = Counter()
    for generation in range(3):
        network = trained(graph, generation)
        for number, morph in enumerate(every_morph(graph)):
            assert_preserves(graph, network, morph, number)
            names[f"{morph.name} {getattr(morph, 'how', '')}"] += 1
        for _ in range(2):
            step = random_morph(graph, rng, largest=10**5)
            assert step is not None
            graph = step[1]
    assert min(names.values()) >= 6
    assert len(names) == 4


@pytest.mark.parametrize("first", [CONV, DENSE], ids=["cv", "common"])
@pytest.mark.parametrize("seed", range(4))
def test_chains_of_morphs_keep_the_function(first: Graph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network, graph, morphs = trained(first, seed), first, []
    for _ in range(12):
        step = random_morph(graph, rng, largest=10**5)
        assert step is not None
        morphs.append(step[0])
        graph = step[1]
    grown, state = inherit(first, arrays(network), morphs, rng)
    assert grown == graph
    difference = outputs(network, first) - outputs(loaded(graph, state), graph)
    assert difference.abs().max() < 1e-9


def test_copies_of_a_wider_layer_do_not_stay_alike() -> None:
    """Their gradients differ in direction, or training could never tell them apart."""
    layer = widenable(DENSE)[0]
    state = transfer(DENSE, arrays(trained(DENSE, 0)), Widen(layer, 10), np.random.default_rng(0))
    heir = loaded(Widen(layer, 10).apply(DENSE), state)
    heir(
        torch.randn((9, 6), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ).square().sum().backward()
    weights = state[f"layers.{layer}.weight"]
    gradients = heir.get_parameter(f"layers.{layer}.weight").grad
    assert gradients is not None
    alike = [(a, b) for a in range(10) for b in range(a) if np.array_equal(weights[a], weights[b])]
    assert len(alike) >= 5
    cosines = [
        float(torch.cosine_similarity(gradients[a], gradients[b], dim=0))
        for a, b in alike
        if gradients[a].abs().max() > 0
    ]
    assert cosines
    assert min(cosines) < 1 - 1e-6


def test_layers_that_are_added_are_widened_together() -> None:
    target = skip_targets(CONV)[1]
    (source, *_) = skip_sources(CONV, target)
    child = Skipping(source, target, "add").apply(CONV)
    (joined,) = [number for number, each in child.layers.items() if each.kind == "add"]
    together = widened_together(child, widenable(child)[1])
    assert len(together) == 2
    assert {child.layers[number].kernel for number in together} == {3, 1}  # the conv, and that of the branch
    wide = Widen(together[0], 9).apply(child)
    assert wide.shapes[joined][0] == 9


def test_what_is_given_cannot_be_widened() -> None:
    for number in (CONV.output, 2, 99):
        with pytest.raises(GraphError, match="widen"):
            Widen(number, 50).apply(CONV)
    with pytest.raises(GraphError, match="has 4 units already"):
        Widen(1, 4).apply(CONV)
    added_to_input = json_to_graph(
        {
            "version": 1,
            "input": [4],
            "layers": [
                {"id": 1, "kind": "dense", "inputs": [0], "units": 4},
                {"id": 2, "kind": "add", "inputs": [1, 0]},
                {"id": 3, "kind": "relu", "inputs": [2]},
                {"id": 4, "kind": "dense", "inputs": [3], "units": 2},
            ],
        }
    )
    assert widenable(added_to_input) == []


def test_nothing_is_put_behind_what_may_be_negative() -> None:
    negative = [
        number for number, each in CONV.layers.items() if each.kind in {"conv", "batch_norm", "dense"}
    ]
    for number in negative:
        with pytest.raises(GraphError, match="may be negative, or is the last one"):
            Deepen(number, 3).apply(CONV)
    with pytest.raises(GraphError, match="kernel 2"):
        Deepen(3, 2).apply(CONV)


def test_a_connection_is_made_once() -> None:
    target = skip_targets(CONV)[2]
    for how in ("add", "concat"):
        for source in skip_sources(CONV, target):
            skip = Skipping(source, target, how)
            assert not has_skip(CONV, skip)
            child = skip.apply(CONV)
            assert has_skip(child, skip)
            others = [each for each in skip_sources(child, target) if each != source]
            assert not [each for each in others if has_skip(child, Skipping(each, target, how))]
            other = Skipping(others[0], target, how)
            both = other.apply(child)
            assert has_skip(both, other)
    with pytest.raises(GraphError, match="no way to add layer"):
        Skipping(skip_targets(CONV)[2], skip_targets(CONV)[1], "add").apply(CONV)


@pytest.mark.parametrize("morph", [Widen(4, 9), Deepen(3, 5), Deepen(12), Skipping(3, 7, "concat")])
def test_morph_comes_back_from_json(morph: Morph) -> None:
    assert morph_from_json(json.loads(json.dumps(morph_to_json(morph)))) == morph


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"morph": "shrink"},
        {"morph": "widen", "layer": 1},
        {"morph": "widen", "layer": 1, "units": "2"},
    ],
)
def test_morph_that_is_none_is_refused(content: Any) -> None:
    with pytest.raises(GraphError, match="morphs: "):
        morph_from_json(content)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    side=st.integers(1, 17),
    length=st.integers(1, 5),
    rows=st.booleans(),
)
def test_twenty_morphs_make_a_legal_network(seed: int, side: int, length: int, rows: bool) -> None:
    first = (
        multilayer_perceptron(side, 2, length, 3) if rows else convolutional((1, side, side), 2, length, 3)
    )
    rng, graph = np.random.default_rng(seed), first
    for _ in range(20):
        step = random_morph(graph, rng, largest=10**6)
        assert step is not None
        graph = step[1]
    again = json_to_graph(json.dumps(graph.to_json()))  # which checks every shape
    assert again == graph
    assert again.key == graph.key
    assert graph.weights <= 10**6
    assert graph.shapes[graph.output] == (2,)
    network = graph.produce_torch_model().eval()
    assert network(torch.zeros((2, *graph.input_shape))).shape == (2, 2)
    assert sum(value.numel() for value in network.parameters()) == graph.weights
