"""Trials: weights go from parents to children, also through an experiment of real trainings."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tune_networkmorphism import json_to_graph
from tune_networkmorphism.generator import convolutional, multilayer_perceptron
from tune_networkmorphism.graph import Graph, GraphError
from tune_networkmorphism.morphs import Morph, Widen, morph_to_json
from tune_networkmorphism.search import random_morph
from tune_networkmorphism.trial import load, save

from tune_core import Experiment
from tune_core.cli.output import parameters_text

FIRST = multilayer_perceptron(6, 3, length=2, width=5)


@pytest.fixture
def as_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Be trial `number` of an experiment, as a service on this machine runs it."""

    def become(number: int) -> Path:
        folder = tmp_path / "trials" / f"name{number}" / "checkpoint"
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("TUNE_CHECKPOINT_DIR", str(folder))
        monkeypatch.setenv("TUNE_TRIAL_SEQUENCE", str(number))
        monkeypatch.setenv("TUNE_EXPERIMENT_ID", "exp")
        return folder

    return become


def child_of(graph: Graph, parent: int) -> dict[str, Any]:
    rng, morphs = np.random.default_rng(1), []
    for _ in range(4):
        step = random_morph(graph, rng, 10**6)
        assert step is not None
        morphs.append(morph_to_json(step[0]))
        graph = step[1]
    return {"network": "", "parent": parent, "morphs": morphs, "graph": graph.to_json()}


def answers(network: torch.nn.Module) -> torch.Tensor:
    x = torch.linspace(-2, 2, 30).reshape(5, 6)
    with torch.no_grad():
        return network.eval()(x)


@pytest.mark.parametrize("shared", [False, True])
def test_child_begins_where_its_parent_ended(as_trial: Any, tmp_path: Path, shared: bool) -> None:
    folder = tmp_path / "everywhere" if shared else None
    as_trial(3)
    parent = load({"graph": FIRST.to_json()}, folder)
    assert parent.origin == "random weights"
    path = save(parent, folder)
    assert path.name == "networkmorphism-3.pt"
    as_trial(5)
    child = load(child_of(FIRST, 3), folder)
    assert child.origin == "trial 3"
    assert sum(each.numel() for each in child.parameters()) > FIRST.weights
    assert child.layers["1"].weight.dtype is torch.float32
    assert torch.allclose(answers(parent), answers(child), atol=1e-5)


def test_parameters_may_be_text(as_trial: Any) -> None:
    as_trial(3)
    save(load({"graph": FIRST.to_json()}))
    as_trial(5)
    assert load(json.dumps(child_of(FIRST, 3))).origin == "trial 3"


def test_second_attempt_goes_on_with_its_own_weights(as_trial: Any) -> None:
    as_trial(3)
    first = load({"graph": FIRST.to_json()})
    save(torch.nn.DataParallel(first))
    again = load({"graph": FIRST.to_json(), "parent": 1})
    assert again.origin == "an earlier attempt"
    assert torch.equal(answers(first), answers(again))


def test_trials_that_are_functions_say_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parent = load({"graph": FIRST.to_json()}, number=0)
    save(parent, number=0)
    save(load({"graph": FIRST.to_json()}, number=1), number=1)
    child = load(child_of(FIRST, 0), number=2)
    assert child.origin == "trial 0"
    assert torch.allclose(answers(parent), answers(child), atol=1e-5)


def test_half_precision_weights_are_inherited(as_trial: Any) -> None:
    as_trial(0)
    parent = load({"graph": FIRST.to_json()})
    save(parent.to(torch.bfloat16))
    as_trial(1)
    child = load(child_of(FIRST, 0))
    assert child.origin == "trial 0"
    assert torch.allclose(answers(parent.float()), answers(child), atol=1e-5)


def damaged(folder: Path, how: str) -> None:
    path = folder / "networkmorphism-3.pt"
    if how == "gone":
        path.unlink()
    elif how == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "pickled":
        torch.save(Path, path)
    elif how == "lacking":
        content = torch.load(path, weights_only=True)
        del content["state"]["layers.1.weight"]
        torch.save(content, path)
    else:
        content = torch.load(path, weights_only=True)
        torch.save({**content, "graph": json.dumps(Widen(1, 6).apply(FIRST).to_json())}, path)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("gone", "trial 3 left no weights here"),
        ("torn", "trial 3 left no weights here that can be read"),
        ("pickled", "trial 3 left no weights here that can be read"),
        ("lacking", "the weights of trial 3 lack 'layers.1.weight'"),
        ("other", "what trial 3 left"),
    ],
)
def test_missing_weights_are_told_and_replaced_by_random_ones(
    as_trial: Any, caplog: pytest.LogCaptureFixture, how: str, said: str
) -> None:
    folder = as_trial(3)
    save(load({"graph": FIRST.to_json()}))
    damaged(folder, how)
    as_trial(5)
    widened: Morph = Widen(1, 6)
    parameters = {
        "parent": 3,
        "morphs": [morph_to_json(widened)] if how == "lacking" else [],
        "graph": (widened.apply(FIRST) if how == "lacking" else FIRST).to_json(),
    }
    with caplog.at_level(logging.WARNING):
        assert load(parameters).origin == "random weights"
    assert f"this network begins with random weights: {said}" in caplog.text


def test_network_says_what_it_reads() -> None:
    network = FIRST.produce_torch_model()
    with pytest.raises(GraphError, match=r"reads \(n, 6\), not \(2, 7\)"):
        network(torch.zeros((2, 7)))
    with pytest.raises(TypeError, match="Linear is no network"):
        save(torch.nn.Linear(2, 2))


def test_graphs_need_neither_torch_nor_numpy() -> None:
    graph = FIRST.to_json()
    lines = [
        "import sys, tune_networkmorphism as n",
        f"g = n.json_to_graph({graph})",
        f"assert g.weights == {FIRST.weights}",
        "assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)",
        "sys.modules['torch'] = None",
        "try: g.produce_torch_model()",
        "except ValueError as err: assert 'tune-networkmorphism[torch]' in str(err)",
        "else: raise AssertionError",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=60)


def test_script_of_the_readme_learns(tmp_path: Path) -> None:
    """It runs alone as well; the digits are as they come from scikit-learn."""
    readme = Path(__file__).parents[1] / "README.md"
    (script,) = re.findall(r"^```python\n(# train.py\n.*?)^```$", readme.read_text(), flags=re.M | re.S)
    graph = convolutional((1, 8, 8), 10, length=2, width=16)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import torch; torch.manual_seed(0)\n{script}"],
        cwd=tmp_path,
        env={**os.environ, "TUNE_PARAMETERS": json.dumps({"graph": graph.to_json()}), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert "begins with random weights" in done.stdout
    accuracies = [float(each) for each in re.findall(r"0\.\d+", done.stdout)]
    assert len(accuracies) == 6
    assert max(accuracies) > 0.5  # of ten digits; how fast it learns depends on where it began
    assert (tmp_path / "tune-standalone" / "checkpoint" / "networkmorphism-0.pt").exists()


TRAIN = """
import torch, tune
from tune_networkmorphism.trial import load, save

torch.set_num_threads(1)
torch.manual_seed(0)
network = load(tune.get_next_parameter())
x = torch.linspace(-3, 3, 120).reshape(30, 4)
y = torch.stack([x[:, 0].sin(), x.prod(dim=1).tanh()], dim=1)
with torch.no_grad():
    before = float((network.eval()(x) - y).square().mean())
network.train()
for _ in range(40):  # by hand: torch takes a second to load its optimisers
    network.zero_grad()
    (network(x) - y).square().mean().backward()
    with torch.no_grad():
        for weights in network.parameters():
            weights -= 0.05 * weights.grad
save(network)
with torch.no_grad():
    after = float((network.eval()(x) - y).square().mean())
tune.report_final_result({"default": after, "before": before, "origin": network.origin})
"""

CONFIG = {
    "trialCommand": f"{sys.executable} train.py",
    "trialConcurrency": 1,
    "seed": 4,
    "tuner": {
        "name": "NetworkMorphism",
        "classArgs": {
            "task": "common",
            "input_width": 4,
            "n_output_node": 2,
            "default_model_len": 2,
            "default_model_width": 16,
            "optimize_mode": "minimize",
            "t_min": 0.1,
        },
    },
    "trainingService": {"platform": "local"},
}


def test_experiment_trains_children_from_where_their_parents_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three real trainings through the kernel, one of them after a resume."""
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    (tmp_path / "train.py").write_text(TRAIN)
    config = {**CONFIG, "trialCodeDirectory": str(tmp_path), "maxTrialNumber": 2}
    experiment = Experiment(config)
    experiment.run()
    resumed = Experiment.resume(experiment.id)
    resumed.update(trials=3)
    resumed.run()
    trials = sorted(resumed.trials(), key=lambda each: each.sequence)
    assert [each.state.value for each in trials] == ["SUCCEEDED"] * 3
    assert [each.metric["origin"] for each in trials] == [
        "random weights",
        *(f"trial {each.parameters['parent']}" for each in trials[1:]),
    ]
    for each in trials[1:]:  # a child's error before training is that of its parent after
        parent = trials[each.parameters["parent"]]
        assert each.metric["before"] == pytest.approx(parent.metric["default"], abs=1e-5)
        assert abs(each.metric["default"] - each.metric["before"]) > 1e-3  # and it trains
    shown = [parameters_text(each.parameters) for each in trials]
    assert shown[0].startswith("network=dense16 dense16 dense2, 386 weights parent=null")
    assert json_to_graph(json.dumps(trials[2].parameters["graph"])).weights > 386
