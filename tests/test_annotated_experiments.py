"""Experiments of annotated code: in configurations of both versions, and beside the other two ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Tune = Callable[..., subprocess.CompletedProcess[str]]

# As in the seeds, on a network that is a formula.
ANNOTATED = '''\
"""Trains."""
import sys


def train(batch_size, rate, activation):
    return batch_size * rate + len(activation)


def main():
    """@nni.variable(nni.choice(50, 250, 500), name=batch_size)"""
    batch_size = 128
    """@nni.variable(nni.uniform(0.1, 0.5), name=rate)"""
    rate = 0.25
    """@nni.variable(nni.choice("relu", "tanh"), name=activation)"""
    activation = "none"
    """@nni.variable(nni.quniform(2, 10, 5), name=layers)"""
    layers = 3
    for epoch in range(2):
        accuracy = train(batch_size, rate, activation) + epoch
        """@nni.report_intermediate_result(accuracy)"""
    print("result", batch_size, rate, activation, layers, file=sys.stderr)
    """@nni.report_final_result(accuracy)"""


if __name__ == "__main__":
    main()
'''
API = """\
import tune

parameters = tune.get_next_parameter()
metric = parameters["batch_size"] * parameters["rate"] + len(parameters["activation"])
for epoch in range(2):
    tune.report_intermediate_result(metric + epoch)
tune.report_final_result(metric + 1)
"""
SCRIPT = """\
import sys

batch_size, rate, activation, _ = sys.argv[1:]
metric = int(batch_size) * float(rate) + len(activation)
for epoch in range(2):
    print("accuracy", repr(metric + epoch), flush=True)
"""
# Parameters are named after the file, the variable and the type; values are the same.
SPACE = {
    "batch_size": {"_type": "choice", "_value": [50, 250, 500]},
    "rate": {"_type": "uniform", "_value": [0.1, 0.5]},
    "activation": {"_type": "choice", "_value": ["relu", "tanh"]},
    "layers": {"_type": "quniform", "_value": [2, 10, 5]},
}
COMMON = {
    "trialConcurrency": 1,
    "maxTrialNumber": 6,
    "seed": 11,
    "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize", "tpe_args": {"n_startup_jobs": 3}}},
    "trainingService": {"platform": "local"},
}
VERSION_1 = {
    "authorName": "default",
    "experimentName": "annotated",
    "trialConcurrency": 2,
    "maxExecDuration": "1h",
    "maxTrialNum": 4,
    "trainingServicePlatform": "local",
    "useAnnotation": True,
    "tuner": {"builtinTunerName": "Random", "classArgs": {"optimize_mode": "maximize"}},
    "trial": {"command": f"{sys.executable} train.py", "codeDir": ".", "gpuNum": 0},
}


def write(folder: Path, code: str, config: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(code)
    (folder / "config.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


def trials(tune: Tune, folder: Path) -> list[dict[str, Any]]:
    """The trials of an experiment that is run to its end, in their order."""
    tune("run", "config.yml", cwd=folder)
    found: list[dict[str, Any]] = json.loads(tune("experiment", "export", "--intermediate").stdout)
    return found


def test_version_1_configuration_runs_annotated_code(tmp_path: Path, tune: Tune) -> None:
    folder = write(tmp_path / "v1", ANNOTATED, VERSION_1)
    found = trials(tune, folder)
    assert len(found) == 4
    for trial in found:
        assert set(trial["parameter"]) == {
            "train/batch_size/choice",
            "train/rate/uniform",
            "train/activation/choice",
            "train/layers/quniform",
        }
        batch_size, rate, activation, _ = trial["parameter"].values()
        assert trial["value"] == pytest.approx(batch_size * rate + len(activation) + 1)
        assert len(trial["intermediate"]) == 2
    assert (folder / "train.py").read_text() == ANNOTATED


def test_three_ways_give_the_same_parameters_in_the_same_order(tmp_path: Path, tune: Tune) -> None:
    python = f"{sys.executable} train.py"
    words = " ".join(f"{{{name}}}" for name in SPACE)
    ways = {
        "annotation": (ANNOTATED, {"trialCommand": python, "useAnnotation": True}),
        "api": (API, {"trialCommand": python, "searchSpace": SPACE}),
        "injection": (
            SCRIPT,
            {
                "trialCommand": f"{python} {words}",
                "searchSpace": SPACE,
                "metrics": {"log": r"accuracy (\S+)"},
            },
        ),
    }
    values = {}
    for way, (code, config) in ways.items():
        found = trials(tune, write(tmp_path / way, code, {**COMMON, **config}))
        assert len(found) == 6
        plain = [
            {
                (name.split("/")[1] if way == "annotation" else name): value
                for name, value in trial["parameter"].items()
            }
            for trial in found
        ]
        values[way] = [
            (list(parameters.items()), trial["value"]) for parameters, trial in zip(plain, found, strict=True)
        ]
    assert values["annotation"] == values["api"] == values["injection"]


def test_generated_code_does_what_the_trial_did(tmp_path: Path, tune: Tune) -> None:
    folder = write(
        tmp_path / "code",
        ANNOTATED,
        {**COMMON, "maxTrialNumber": 2, "trialCommand": f"{sys.executable} train.py", "useAnnotation": True},
    )
    found = trials(tune, folder)
    tune("trial", "codegen", "1", "--to", "generated", cwd=folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNE_")}
    done = subprocess.run(
        [sys.executable, "-S", "train.py"],
        cwd=folder / "generated",
        env=kept,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == f"final result: {found[1]['value']!r}"
    shown = json.loads(tune("trial", "show", "1", "--json").stdout)
    said = Path(shown["directory"], "stderr").read_text()
    assert said == done.stderr


def test_wrong_annotations_are_told_before_anything_starts(tmp_path: Path, tune: Tune) -> None:
    wrong = ANNOTATED.replace("name=rate", "name=rates").replace("nni.quniform", "nni.quinform")
    folder = write(tmp_path / "wrong", wrong, {**VERSION_1, "maxTrialNum": 0})
    for command in ("validate", "run"):
        said = tune(command, "config.yml", cwd=folder, status=2).stderr
        assert "config.yml has 3 problems" in said
        assert "train.py:12:5: annotation: name=rates is not what line 13 assigns to" in said
        assert "train.py:16:" in said
        assert "no type 'quinform', did you mean 'quniform'?" in said
        assert "maxTrialNum" in said
        assert "Traceback" not in said
    assert not (tmp_path / "home").exists() or not list((tmp_path / "home").iterdir())


@pytest.mark.parametrize("command", ["python {}/train.py", "cd '{}' && python train.py"])
def test_command_that_runs_the_code_as_it_was_is_refused(tmp_path: Path, tune: Tune, command: str) -> None:
    folder = tmp_path / "code"
    config = {**COMMON, "trialCommand": command.format(folder), "useAnnotation": True}
    write(folder, ANNOTATED, config)
    said = tune("validate", "config.yml", cwd=folder, status=2).stderr
    assert "trialCommand: names" in said
    assert "write the path from there: train.py" in said
    other = {**config, "trialCommand": command.format(f"{folder}-other")}
    (folder / "config.yml").write_text(yaml.safe_dump(other))
    tune("validate", "config.yml", cwd=folder)


def test_space_and_expand_are_commands(tmp_path: Path, tune: Tune) -> None:
    folder = write(tmp_path / "code", ANNOTATED, VERSION_1)
    found = json.loads(tune("annotation", "space", "code").stdout)
    assert list(found) == [f"train/{name}/{spec['_type']}" for name, spec in SPACE.items()]
    assert list(found.values()) == list(SPACE.values())
    tune("annotation", "expand", "code", "--to", "out")
    assert "report_final_result(accuracy)" in (tmp_path / "out" / "train.py").read_text()
    assert "is there already" in tune("annotation", "expand", "code", "--to", "out", status=1).stderr
    (folder / "train.py").write_text("x = 1\n")
    said = tune("annotation", "expand", "code", "--to", "other", status=2).stderr
    assert said.startswith("tune: code: nothing is annotated in the Python files here")
    assert not (tmp_path / "other").exists()


def test_resumed_experiment_runs_the_code_that_it_began_with(tmp_path: Path, tune: Tune) -> None:
    config = {
        **COMMON,
        "maxTrialNumber": 2,
        "trialCommand": f"{sys.executable} train.py",
        "useAnnotation": True,
    }
    folder = write(tmp_path / "code", ANNOTATED, config)
    first = trials(tune, folder)
    (folder / "train.py").write_text("raise SystemExit(1)\n")
    tune("update", "trialnum", "--value", "4")
    tune("resume")
    later = json.loads(tune("experiment", "export").stdout)
    assert [trial["parameter"] for trial in later[:2]] == [trial["parameter"] for trial in first]
    assert len([trial for trial in later if trial["value"] is not None]) == 4
    said = tune("trial", "codegen", "1", "--to", "gone", status=2).stderr
    assert "nothing is annotated" in said


LAYERED = '''\
def conv(inputs, size):
    return size + sum(map(sum, inputs))


def pool(inputs):
    return max(sum(inputs, []))


x, skip = 1, 2
"""@nni.mutable_layers({
    layer_choice: [conv(size=3), conv(size=5), pool()],
    fixed_inputs: [x],
    optional_inputs: [x, skip],
    optional_input_size: 1,
    layer_output: y
}, {layer_choice: [conv(size=1), pool()], fixed_inputs: [y], layer_output: y})"""
"""@nni.report_final_result(y)"""
'''


@pytest.mark.parametrize("tuner", ["Random", "RegularizedEvolution"])
def test_layers_are_searched_by_tuners_for_architectures(tmp_path: Path, tune: Tune, tuner: str) -> None:
    config = {
        **COMMON,
        "tuner": {"name": tuner, "classArgs": {"optimize_mode": "maximize"}},
        "trialCommand": f"{sys.executable} train.py",
        "useAnnotation": True,
    }
    found = trials(tune, write(tmp_path / "code", LAYERED, config))
    assert len(found) == 6
    skip = {"x": 1, "skip": 2}
    for trial in found:
        first, chosen, second = trial["parameter"].values()
        inputs = [1, *(skip[name] for name in chosen["_value"])]
        y = max(inputs) if first["_value"] == "pool()" else int(first["_value"][10]) + sum(inputs)
        assert trial["value"] == (y if second["_value"] == "pool()" else y + 1)
