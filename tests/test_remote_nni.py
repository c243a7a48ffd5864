"""Trial code of NNI on a machine where nothing is installed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ssh_hosts import Laboratory, can_isolate

Tune = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(not can_isolate(), reason="platform: needs root and network namespaces")

TRIAL = """
import os
import sys

import nni
from nni.utils import merge_parameter

assert "/runtime/" in nni.__file__
parameters = merge_parameter({"x": 0.0}, nni.get_next_parameter())
assert os.environ["NNI_TRIAL_JOB_ID"] == nni.get_trial_id()
nni.report_final_result(parameters["x"])
"""


def test_trial_of_nni_runs_on_another_machine(
    laboratory: Laboratory, environment: dict[str, str], tmp_path: Path, tune: Tune
) -> None:
    host = laboratory.add()
    (tmp_path / "trial.py").write_text(TRIAL)
    config = {
        "searchSpace": {"x": {"_type": "uniform", "_value": [1, 2]}},
        "trialCommand": "python3 trial.py",
        "trialCodeDirectory": str(tmp_path),
        "trialConcurrency": 2,
        "maxTrialNumber": 2,
        "tuner": {"name": "Random"},
        "trainingService": {"platform": "remote", "machineList": [host.machine()]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with laboratory.entered():
        environment |= {"HOME": str(laboratory.home)}
        tune("run", "config.json")
    results = json.loads(tune("experiment", "export").stdout)
    assert [each["value"] for each in results] == [each["parameter"]["x"] for each in results]
    assert len(results) == 2
