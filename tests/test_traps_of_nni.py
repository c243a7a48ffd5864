"""What those who come from NNI stumble over, as far as it belongs to no plugin or module of its own.

Hyperband's table, the grid's q, what is printed without an experiment and the like are tested where they are.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tune_core.space import SearchSpace

Tune = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """\
authorName: default
experimentName: traps
trialConcurrency: 2
maxTrialNum: 4
trainingServicePlatform: local
searchSpacePath: search_space.json
useAnnotation: false
tuner: {builtinTunerName: Random, classArgs: {seed: 1}}
trial: {command: python trial.py, codeDir: ., gpuNum: 0}
"""


def draws(kind: str, *value: float) -> list[float]:
    space = SearchSpace.parse({"x": {"_type": kind, "_value": list(value)}})
    rng = np.random.default_rng(0)
    return [space.sample(rng)["x"] for _ in range(4000)]


def run(folder: Path, tune: Tune, trial: str, command: str = "python trial.py") -> list[dict[str, object]]:
    (folder / "config.yml").write_text(CONFIG.replace("python trial.py", json.dumps(command)))
    (folder / "search_space.json").write_text('{"x": {"_type": "uniform", "_value": [0, 1]}}')
    (folder / "trial.py").write_text(trial)
    tune("run", "config.yml", status=None)
    trials: list[dict[str, object]] = json.loads(tune("trial", "ls", "--json").stdout)
    return trials


def test_randint_never_gives_its_upper_end() -> None:
    assert set(draws("randint", 2, 5)) == {2, 3, 4}


def test_quniform_rounds_to_multiples_and_stays_between_the_ends() -> None:
    assert set(draws("quniform", 2, 10, 5)) == {2, 5, 10}


@pytest.mark.parametrize("kind", ["lognormal", "qlognormal"])
def test_mean_and_deviation_of_a_lognormal_are_those_of_the_logarithm(kind: str) -> None:
    values = draws(kind, 5, 0.5, *([0.001] if kind == "qlognormal" else []))
    logs = [math.log(value) for value in values]
    assert statistics.mean(logs) == pytest.approx(5, abs=0.05)
    assert statistics.stdev(logs) == pytest.approx(0.5, abs=0.05)


def test_failed_trials_count_as_trials(tmp_path: Path, tune: Tune) -> None:
    trial = "import os, sys, tune\nsys.exit(tune.get_sequence_id() % 2 or tune.report_final_result(1))\n"
    trials = run(tmp_path, tune, trial)
    assert [each["state"] for each in trials] == ["SUCCEEDED", "FAILED"] * 2


def test_sequence_begins_with_zero_and_ids_have_nnis_lengths(tmp_path: Path, tune: Tune) -> None:
    trial = (
        "import nni\nnni.get_next_parameter()\n"
        "print(nni.get_experiment_id(), nni.get_trial_id(), nni.get_sequence_id())\n"
        "nni.report_final_result(nni.get_sequence_id())\n"
    )
    trials = run(tmp_path, tune, trial)
    assert [each["value"] for each in trials] == [0, 1, 2, 3]
    printed = tune("log", "trial", str(trials[3]["id"])).stdout
    assert re.search(r"^\w{8} \w{5} 3$", printed, flags=re.M), printed


def test_nni_asserts_that_parameters_were_asked_for_and_tune_does_not(tmp_path: Path, tune: Tune) -> None:
    # A script of ours may well have its values from the command line.
    trials = run(tmp_path, tune, "import nni\nnni.report_final_result(2)\n")
    assert {each["state"] for each in trials} == {"FAILED"}
    assert all("get_next_parameter() needs to be called before" in str(each["reason"]) for each in trials)
    trials = run(tmp_path, tune, "import tune\ntune.report_final_result(2)\n")
    assert [each["value"] for each in trials] == [2] * 4


def test_command_may_name_nnis_variables(tmp_path: Path, tune: Tune) -> None:
    said = 'echo "$NNI_EXP_ID $NNI_TRIAL_JOB_ID $NNI_TRIAL_SEQ_ID $NNI_CODE_DIR" > "$NNI_OUTPUT_DIR/said"'
    trial = "import tune\ntune.report_final_result(2)\n"
    trials = run(tmp_path, tune, trial, command=f"{said} && python trial.py")
    assert [each["value"] for each in trials] == [2] * 4
    said_by = {
        path.read_text().split(maxsplit=3)[2]: path for path in tmp_path.glob("home/*/trials/*/*/output/said")
    }
    assert sorted(said_by) == ["0", "1", "2", "3"]
    experiment, trial_id, _, code = said_by["2"].read_text().rstrip("\n").split(maxsplit=3)
    assert (experiment, trial_id, code) == (said_by["2"].parts[-6], trials[2]["id"], str(tmp_path))
