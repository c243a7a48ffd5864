"""Projects of NNI, whole: its configuration, its trial code, its custom algorithms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRIAL = """
import os
import nni

params = nni.get_next_parameter()
for epoch in range(3):
    nni.report_intermediate_result({"default": params["x"] - epoch * params.get("down", 0), "epoch": epoch})
assert os.environ["NNI_TRIAL_JOB_ID"] == nni.get_trial_id()
nni.report_final_result({"default": params["x"], "twice": 2 * params["x"]})
"""
TUNER = """
import random
from nni.tuner import Tuner
from nni.utils import OptimizeMode, extract_scalar_reward

class ClimbingTuner(Tuner):
    def __init__(self, optimize_mode):
        self.optimize_mode = OptimizeMode(optimize_mode)
        self.best = None
        self.results = []

    def update_search_space(self, search_space):
        self.low, self.high = search_space["x"]["_value"]

    def generate_parameters(self, parameter_id, **kwargs):
        return {"x": random.uniform(self.low if self.best is None else self.best, self.high)}

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        assert value["twice"] == 2 * parameters["x"]
        reward = extract_scalar_reward(value)
        if self.best is None or reward > self.best:
            self.best = reward
"""
ASSESSOR = """
from nni.assessor import AssessResult, Assessor

class Strict(Assessor):
    def assess_trial(self, trial_job_id, trial_history):
        return AssessResult.Good if trial_history[-1]["default"] >= 0 else AssessResult.Bad
"""
WAIT_IF_BAD = """
if params["down"]:
    __import__("time").sleep(600)
"""
VERSION_1 = """
authorName: someone
experimentName: climbing
trialConcurrency: 1
maxExecDuration: 1h
maxTrialNum: 6
trainingServicePlatform: local
searchSpacePath: search_space.json
useAnnotation: false
tuner:
  codeDir: ./tuners
  classFileName: climbing.py
  className: ClimbingTuner
  classArgs: {optimize_mode: maximize}
trial:
  command: PYTHON trial.py
  codeDir: .
  gpuNum: 0
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    (tmp_path / "tuners").mkdir()
    (tmp_path / "tuners" / "climbing.py").write_text(TUNER)
    (tmp_path / "tuners" / "strict.py").write_text(ASSESSOR)
    (tmp_path / "trial.py").write_text(TRIAL)
    space = {"x": {"_type": "uniform", "_value": [0, 1]}}
    (tmp_path / "search_space.json").write_text(json.dumps(space))
    return tmp_path


def tune(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "tune_core", *words]
    done = subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trials(folder: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(tune(folder, "trial", "ls", "--json"))
    return listed


def test_project_of_version_1_runs_and_resumes_as_one_experiment(project: Path) -> None:
    config = VERSION_1.replace("PYTHON", sys.executable)
    (project / "whole.yml").write_text(config)
    tune(project, "run", "whole.yml", "--quiet")
    found = trials(project)
    assert [each["state"] for each in found] == ["SUCCEEDED"] * 6
    values = [each["value"] for each in found]
    assert values == sorted(values)  # it learnt
    tune(project, "update", "trialnum", "--value", "8")
    tune(project, "resume", "--quiet")
    values = [each["value"] for each in trials(project)]
    assert len(values) == 8
    assert values == sorted(values)  # and had not forgotten
    (log,) = (project / "home").glob("*/log/manager.log")
    assert "are not what the algorithm proposes today" not in log.read_text()


def test_result_without_default_fails_its_trial_alone(project: Path) -> None:
    (project / "trial.py").write_text(
        "import nni; nni.get_next_parameter(); nni.report_final_result({'a': 1})"
    )
    config = VERSION_1.replace("PYTHON", sys.executable).replace("maxTrialNum: 6", "maxTrialNum: 2")
    (project / "refused.yml").write_text(config)
    command = [sys.executable, "-m", "tune_core", "run", "refused.yml", "--quiet"]
    done = subprocess.run(
        command, cwd=project, env=dict(os.environ), capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 1
    found = trials(project)
    assert [each["state"] for each in found] == ["FAILED"] * 2
    assert all("no key 'default' (keys: a)" in each["reason"] for each in found)
    assert {(len(each["id"]), each["sequence"]) for each in found} == {(5, 0), (5, 1)}
    (folder,) = (project / "home").iterdir()
    assert len(folder.name) == 8


def test_assessor_ends_trials_with_dictionaries(project: Path) -> None:
    (project / "trial.py").write_text(f"{TRIAL}\n" + WAIT_IF_BAD)
    config = {
        "searchSpace": {
            "x": {"_type": "choice", "_value": [1]},
            "down": {"_type": "choice", "_value": [0, 2]},
        },
        "trialCommand": f"{sys.executable} trial.py",
        "trialCodeDirectory": ".",
        "trialConcurrency": 2,
        "maxTrialNumber": 2,
        "tuner": {"name": "GridSearch"},
        "assessor": {"className": "strict.Strict", "codeDirectory": "tuners"},
        "trainingService": {"platform": "local"},
    }
    (project / "assessed.yml").write_text(json.dumps(config))
    tune(project, "run", "assessed.yml", "--quiet")
    assert {each["parameters"]["down"]: each["state"] for each in trials(project)} == {
        0: "SUCCEEDED",
        2: "EARLY_STOPPED",
    }
