"""Annotated code on another machine: what was rewritten, and all that its links stand for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ssh_hosts import Host, Laboratory

Tune = Callable[..., subprocess.CompletedProcess[str]]

TRAIN = '''\
import pathlib

from lib.scale import scale


"""@nni.variable(nni.uniform(1, 2), name=x)"""
x = 0
rows = [float(row) for row in pathlib.Path("data", "set", "rows.csv").read_text().split()]
assert not pathlib.Path("data").is_symlink()
assert not pathlib.Path("data", "left-out.csv").exists()
"""@nni.report_final_result(scale(x) + sum(rows))"""
'''
SCALE = '''\
def scale(value):
    """@nni.variable(nni.choice(10, 20), name=factor)"""
    factor = 1
    return factor * value
'''


@pytest.fixture
def host(laboratory: Laboratory, environment: dict[str, str]) -> Iterator[Host]:
    host = laboratory.add()
    with laboratory.entered():
        environment |= {"HOME": str(laboratory.home)}
        yield host


def test_annotated_code_runs_on_another_machine(host: Host, tmp_path: Path, tune: Tune) -> None:
    code = tmp_path / "code"
    (code / "lib").mkdir(parents=True)
    (code / "data" / "set").mkdir(parents=True)
    (code / "train.py").write_text(TRAIN)
    (code / "lib" / "scale.py").write_text(SCALE)
    (code / "data" / "set" / "rows.csv").write_text("100\n200\n")
    (code / "data" / "left-out.csv").write_text("9\n")
    (code / ".tuneignore").write_text("left-out.csv\n")
    config = {
        "useAnnotation": True,
        "trialCommand": "python3 train.py",
        "trialCodeDirectory": str(code),
        "trialConcurrency": 2,
        "maxTrialNumber": 3,
        "tuner": {"name": "Random"},
        "trainingService": {"platform": "remote", "machineList": [host.machine()]},
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))
    tune("run", "config.yml")
    trials = json.loads(tune("experiment", "export").stdout)
    assert len(trials) == 3
    for trial in trials:
        parameters = trial["parameter"]
        assert set(parameters) == {"train/x/uniform", "lib.scale/factor/choice"}
        scaled = parameters["train/x/uniform"] * parameters["lib.scale/factor/choice"]
        assert trial["value"] == pytest.approx(scaled + 300)
