"""For trials: the network to train with the weights of its parent, and where to leave its own.

Weights lie in the trial's checkpoint folder, under the number of the trial, where its children look for them
beside their own. On several machines without a file system in common that folder is another one; give a
`folder` that all of them share.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import tune
from tune_networkmorphism.graph import Graph, GraphError
from tune_networkmorphism.json_form import json_to_graph
from tune_networkmorphism.morphs import morph_from_json
from tune_networkmorphism.torch_model import Network
from tune_networkmorphism.weights import State, inherit

__all__ = ["load", "save"]

_log = logging.getLogger(__name__)


def load(
    parameters: Mapping[str, Any] | str, folder: str | Path | None = None, number: int | None = None
) -> Network:
    """The network to train.

    It has the weights of an earlier attempt at this trial if there was one that saved them, else those
    that its parent left, grown to its shape, else random ones. Its `origin` says which; that a parent's
    are missing is logged as a warning.

    Args:
        parameters: What `tune.get_next_parameter()` returned.
        folder: Where all trials keep weights, if not in their checkpoint folders.
        number: Of the trial, where it is not a process of its own: `FunctionTrial.sequence`, or `Asked.id`.

    Raises:
        GraphError: The parameters hold no network.
    """
    graph = json_to_graph(parameters)
    content = json.loads(parameters) if isinstance(parameters, str) else parameters
    network = graph.produce_torch_model()
    assert isinstance(network, Network)
    number = tune.get_sequence_id() if number is None else number
    parent = content.get("parent")
    own = _file(folder, number)
    if own.exists() and (saved := _read(own)) is not None and saved[0].to_json() == graph.to_json():
        network.load_state_dict(_tensors(saved[1]))
        network.origin = "an earlier attempt"
    elif isinstance(parent, int):
        try:
            network.load_state_dict(_tensors(_grown(parent, content.get("morphs"), graph, folder, number)))
            network.origin = f"trial {parent}"
        except GraphError as err:
            _log.warning("this network begins with random weights: %s", err)
    return network


def save(model: nn.Module, folder: str | Path | None = None, number: int | None = None) -> Path:
    """Leave the weights of `model` for its children, and for another attempt at this trial.

    As often as you like: the file is replaced in one go. Returns its path.

    Args:
        model: What `load` or `json_to_graph(...).produce_torch_model()` returned, maybe compiled or in
            DataParallel.
        folder, number: As for `load`.
    """
    inner: Any = model
    while not isinstance(inner, Network):
        inner = getattr(inner, "module", None) or getattr(inner, "_orig_mod", None)
        if inner is None:
            raise TypeError(f"{type(model).__name__} is no network of tune_networkmorphism")
    path = _file(folder, tune.get_sequence_id() if number is None else number)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}")
    state = {name: value.detach().cpu() for name, value in inner.state_dict().items()}
    torch.save({"graph": json.dumps(inner.graph.to_json()), "state": state}, half)
    half.replace(path)
    return path


def _file(folder: str | Path | None, number: int) -> Path:
    """Where trial `number` keeps its weights if this is it, or if they all keep them in `folder`."""
    name = f"networkmorphism-{number}.pt"
    if folder is None:
        return Path(tune.get_checkpoint_dir(), name)
    return Path(folder, tune.get_experiment_id(), name)


def _grown(parent: int, morphs: Any, graph: Graph, folder: str | Path | None, number: int) -> State:
    """The weights that trial `parent` left, grown to those of `graph`.

    Raises:
        GraphError: They are not there, or do not fit.
    """
    place = _file(folder, parent)
    if folder is not None:
        found = [place] if place.exists() else []
    else:  # <experiment>/trials/<trial>/checkpoint
        found = list(place.absolute().parents[2].glob(f"*/checkpoint/{place.name}"))
    saved = _read(found[0]) if found else None
    if saved is None:
        raise GraphError(
            f"trial {parent} left no weights here" + (f" that can be read: {found[0]}" if found else "")
        )
    steps = [morph_from_json(each) for each in morphs or ()]
    try:
        grown, state = inherit(*saved, steps, np.random.default_rng(number))
    except KeyError as err:
        raise GraphError(f"the weights of trial {parent} lack {err}") from err
    if grown.to_json() != graph.to_json():
        raise GraphError(f"what trial {parent} left grows into another network")
    return state


def _read(path: Path) -> tuple[Graph, State] | None:
    """What `save` wrote; None if it cannot be read."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        graph = json_to_graph(content["graph"])
        state = {name: _array(value) for name, value in content["state"].items()}
    except Exception as err:  # noqa: BLE001 (torch raises all sorts for a damaged file)
        _log.warning("%s cannot be read: %s: %s", path, type(err).__name__, err)
        return None
    return graph, state


def _array(value: torch.Tensor) -> np.ndarray[Any, Any]:
    # Also of types that NumPy does not have, such as bfloat16; load_state_dict turns them back.
    array: np.ndarray[Any, Any] = (value.double() if value.is_floating_point() else value).numpy()
    return array


def _tensors(state: State) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}
