"""The MNIST examples of PyTorch: in both forms, through `tune run` and `nnictl create`, on a small budget."""

from __future__ import annotations

import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_runs import EXAMPLES, MNIST, Tune, both_forms, budget, run_example

SMALL = "python train.py --images 900 --epochs 1"


def space(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((EXAMPLES / name / "search_space.json").read_text())
    return content


@pytest.mark.usefixtures("quick")
@both_forms("mnist-pytorch", "mnist-annotation")
def test_network_learns_and_is_tested(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, seed=9, **budget(config, 2, SMALL))
    assert [trial["state"] for trial in trials] == ["SUCCEEDED"] * 2
    for trial in trials:
        assert trial["intermediates"] == 1
        assert trial["metric"]["default"] == trial["last_value"]
    # With this seed the first configuration learns well. By chance 0.1 is right.
    assert max(trial["metric"]["test"] for trial in trials) > 0.5


@pytest.mark.slow
@pytest.mark.skipif(
    not MNIST.is_file(), reason="MNIST is not in data/mnist of the folder that TUNE_SHARED names"
)
def test_mnist_is_read_with_97_percent(tmp_path: Path, tune: Tune) -> None:
    # Of its budget (12 trials, 24,000 images, 4 epochs) a part, with a seed whose first trial learns well.
    changes = budget("config.yml", 1, "python train.py --images 20000 --epochs 2")
    [trial] = run_example("mnist-pytorch", "config.yml", tmp_path, tune, seed=58, **changes)
    assert trial["state"] == "SUCCEEDED"
    [best] = json.loads(tune("best", "--json").stdout)
    assert best["metric"]["test"] > 0.97


def test_annotations_say_the_same_search_space(tune: Tune) -> None:
    said = json.loads(tune("annotation", "space", ".", cwd=EXAMPLES / "mnist-annotation").stdout)
    short = {name.split("/")[1]: content for name, content in said.items()}
    assert list(short.items()) == list(space("mnist-pytorch").items())  # in the order that seeds go by


@pytest.mark.usefixtures("quick")
def test_annotated_script_runs_without_tune(environment: dict[str, str]) -> None:
    alone = (
        "import runpy, sys; sys.modules['tune'] = None; sys.argv += ['--images', '3000', '--epochs', '1']; "
        "runpy.run_path('train.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", alone],
        cwd=EXAMPLES / "mnist-annotation",
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    assert float(last.removesuffix(" on the test images")) > 0.5


@pytest.mark.usefixtures("quick")
@both_forms("mnist-batch")
def test_configurations_run_in_the_order_of_the_list(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, **budget(config, 2, SMALL))
    assert [trial["state"] for trial in trials] == ["SUCCEEDED"] * 2
    assert [trial["parameters"] for trial in trials] == space(name)["combine_params"]["_value"][:2]


@pytest.mark.usefixtures("quick")
@both_forms("mnist-hyperband")
def test_promoted_configuration_gets_a_larger_budget(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    key = "STEPS" if config == "config_v1.yml" else "TRIAL_BUDGET"
    arguments = {"optimize_mode": "maximize", "R": 3, "eta": 3, "seed": 3}
    if config == "config_v1.yml":
        advisor = {"builtinAdvisorName": "Hyperband", "classArgs": {**arguments, "budget_key": key}}
    else:
        advisor = {"name": "Hyperband", "classArgs": arguments}
    changes = {**budget(config, 4, SMALL), "trialConcurrency": 1}  # one bracket, and nothing beside it
    trials = run_example(name, config, tmp_path, tune, through, advisor=advisor, **changes)
    assert [trial["state"] for trial in trials] == ["SUCCEEDED"] * 4
    value_by_parameters: dict[int, dict[str, float]] = {1: {}, 3: {}}
    for trial in trials:
        granted = trial["parameters"].pop(key)
        assert trial["intermediates"] == granted
        value_by_parameters[granted][json.dumps(trial["parameters"])] = trial["value"]
    short, whole = value_by_parameters[1], value_by_parameters[3]
    assert (len(short), len(whole)) == (3, 1)
    [promoted] = whole
    assert short[promoted] == max(short.values())


@pytest.mark.usefixtures("quick")
@both_forms("mnist-nested")
def test_layer_has_the_parameters_of_what_was_chosen(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, **budget(config, 2, SMALL))
    assert [trial["state"] for trial in trials] == ["SUCCEEDED"] * 2
    options = space(name)
    for trial in trials:
        assert trial["parameters"].keys() == options.keys()
        for layer in (key for key in options if key.startswith("layer")):
            keys = [option.keys() for option in options[layer]["_value"]]
            assert trial["parameters"][layer].keys() in keys


KINDS = {"Conv2d": "Conv", "MaxPool2d": "Max_pool", "AvgPool2d": "Avg_pool"}


def test_every_nested_network_is_built_as_chosen() -> None:
    import torch

    build = runpy.run_path(str(EXAMPLES / "mnist-nested" / "train.py"))["build"]
    options = space("mnist-nested")
    layers = [key for key in options if key.startswith("layer")]
    for chosen in itertools.product(*(every(options[layer]) for layer in layers)):
        network = build(dict(zip(layers, chosen, strict=True)))
        made = [each for each in network[0] if type(each).__name__ in KINDS]
        wanted = [layer for layer in chosen if layer["_name"] != "Empty"]
        assert [KINDS[type(each).__name__] for each in made] == [layer["_name"] for layer in wanted]
        sizes = [layer.get("kernel_size", layer.get("pooling_size")) for layer in wanted]
        assert [np.max(each.kernel_size) for each in made] == sizes
        assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def every(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """The options of a nested choice, with each one's parameters at their ends."""
    found = []
    for option in choice["_value"]:
        inner = {key: value["_value"] for key, value in option.items() if key != "_name"}
        ends = itertools.product(*({values[0], values[-1]} for values in inner.values()))
        found += [{"_name": option["_name"], **dict(zip(inner, values, strict=True))} for values in ends]
    return found
