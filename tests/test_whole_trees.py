"""Whoever ends a trial ends all of it: grandchildren with a session of their own, deaf to SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_core import Experiment, TrialState
from tune_core.experiment.background import launch
from tune_core.store.lock import ManagerLock

TRIAL = """
import os, signal, subprocess, sys, tune
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
deaf += "time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
tune.report_intermediate_result({"default": 0, "pids": [os.getpid(), child.pid]})
signal.pause()
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    (tmp_path / "trial.py").write_text(TRIAL, encoding="utf-8")
    return Experiment(
        {
            "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
            "trialCommand": f"{sys.executable} trial.py",
            "trialCodeDirectory": str(tmp_path),
            "trialConcurrency": 1,
            "maxTrialNumber": 1,
            "tuner": {"name": "Random"},
            "trainingService": {"platform": "local", "killGrace": 1},
        }
    )


def tune(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "tune_core", *arguments], check=True, timeout=120)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"waited two minutes for {what}"
        time.sleep(0.01)


def processes_of(experiment: Experiment) -> list[int]:
    """The trial and its grandchild, once both are there."""
    until(lambda: any(trial.intermediates for trial in experiment), "the trial's report")
    pids: list[int] = experiment.metrics(experiment.trials()[0])[0].value["pids"]
    assert all(is_alive(pid) for pid in pids)
    return pids


def test_killed_trial_leaves_nothing(experiment: Experiment) -> None:
    launch(experiment.directory)
    pids = processes_of(experiment)
    tune("trial", "kill", experiment.trials()[0].id, "--experiment", experiment.id)
    until(lambda: experiment.status == "DONE", "the end")
    assert experiment.trials()[0].state is TrialState.USER_CANCELED
    assert [pid for pid in pids if is_alive(pid)] == []


def test_stopped_experiment_leaves_nothing(experiment: Experiment) -> None:
    launch(experiment.directory)
    pids = processes_of(experiment)
    tune("stop", experiment.id)
    until(lambda: experiment.status == "STOPPED", "the end")
    assert [pid for pid in pids if is_alive(pid)] == []


def test_adopted_trial_leaves_nothing(experiment: Experiment) -> None:
    """Started by a manager that was killed, ended by the one that adopted it."""
    first = launch(experiment.directory)
    pids = processes_of(experiment)
    os.kill(first, signal.SIGKILL)
    until(lambda: not ManagerLock.is_held(experiment.directory.lock), "the manager's end")
    assert all(is_alive(pid) for pid in pids)
    launch(experiment.directory)
    tune("stop", experiment.id)
    until(lambda: experiment.status == "STOPPED", "the end")
    assert [pid for pid in pids if is_alive(pid)] == []
