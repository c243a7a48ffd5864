"""Where trials run makes no difference to what is tried."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import sklearn
import yaml
from ssh_hosts import Laboratory, can_isolate

from tune_core import Experiment, TrialState

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
TRIALS = 6

pytestmark = pytest.mark.skipif(not can_isolate(), reason="platform: needs root and network namespaces")


def digits(folder: Path, **changes: Any) -> list[tuple[dict[str, Any], float | None, str]]:
    """What the example proposes, one trial at a time, what comes of it, and where it ran."""
    config = yaml.safe_load((DIGITS / "config.yml").read_text())
    # Whether a trial that is to be stopped has just ended by itself is a matter of milliseconds.
    del config["assessor"]
    config |= {"trialConcurrency": 1, "maxTrialNumber": TRIALS, "seed": 7}
    config |= {"trialCommand": "python3 train.py && hostname", **changes}
    shutil.copytree(DIGITS, folder / "code")
    (folder / "code" / "config.yml").write_text(yaml.safe_dump(config))
    experiment = Experiment(folder / "code" / "config.yml")
    experiment.run()
    trials = experiment.trials()
    assert [trial.state for trial in trials] == [TrialState.SUCCEEDED] * TRIALS, trials
    hosts = [experiment.directory.attempt(trial.id, 0) / "stdout" for trial in trials]
    return [
        (trial.parameters, trial.value, path.read_text().split()[-1])
        for trial, path in zip(trials, hosts, strict=True)
    ]


@pytest.mark.timeout(400)
def test_same_seed_tries_the_same_here_and_on_three_hosts(
    laboratory: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    # The hosts' user may not look into the environment that runs the tests.
    folders = {"/tmp/python": Path(sys.base_prefix), "/tmp/packages": Path(sklearn.__file__).parents[1]}
    machines = [
        laboratory.add(folders=folders).machine(
            pythonPath="/tmp/python/bin", preCommand="export PYTHONPATH=/tmp/packages"
        )
        for _ in range(3)
    ]
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here = digits(tmp_path / "here")
    there = digits(tmp_path / "there", trainingService={"platform": "remote", "machineList": machines})
    assert [row[:2] for row in there] == [row[:2] for row in here]
    assert {host for *_, host in there} == {"h1", "h2", "h3"}
