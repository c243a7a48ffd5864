"""Trials that do what they should not: each is named in the record, and the experiment goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_core import Experiment, TrialState
from tune_core.experiment.view import ExperimentView
from tune_core.store.reader import TrialRecord

GOOD = "import tune; tune.report_final_result(0.5)"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))


def run(folder: Path, bad: str, **more: Any) -> tuple[Experiment, TrialRecord]:
    """An experiment of three trials, of which the first runs the script `bad`; returns its trial."""
    (folder / "bad.py").write_text(bad, encoding="utf-8")
    (folder / "good.py").write_text(GOOD, encoding="utf-8")
    command = (
        f'test "$TUNE_TRIAL_SEQUENCE" = 0 && exec {sys.executable} bad.py; exec {sys.executable} good.py'
    )
    experiment = Experiment(
        {
            "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
            "trialCommand": command,
            "trialCodeDirectory": str(folder),
            "trialConcurrency": 1,
            "maxTrialNumber": 3,
            "tuner": {"name": "Random"},
            "trainingService": {"platform": "local"},
            **more,
        }
    )
    assert experiment.run() == "DONE"
    first, *others = experiment.trials()
    assert [trial.value for trial in others] == [0.5, 0.5]
    return experiment, first


def test_crash_shows_the_last_words(tmp_path: Path) -> None:
    _, trial = run(tmp_path, "raise KeyError('age')")
    assert trial.state is TrialState.FAILED
    assert "exit status 1" in trial.reason
    assert "KeyError: 'age'" in trial.reason


def test_signal_is_named(tmp_path: Path) -> None:
    _, trial = run(tmp_path, "import os; os.kill(os.getpid(), 11)")
    assert trial.state is TrialState.FAILED
    assert "139" in trial.reason or "SIGSEGV" in trial.reason


def test_hanging_trial_is_ended_in_time(tmp_path: Path) -> None:
    begun = time.monotonic()
    _, trial = run(tmp_path, "import time; time.sleep(600)", maxTrialDuration="1s")
    assert trial.state is TrialState.EARLY_STOPPED
    assert "maxTrialDuration (1 s)" in trial.reason
    assert time.monotonic() - begun < 60


def test_megabytes_of_output_do_no_harm(tmp_path: Path) -> None:
    script = "import sys, tune\nfor _ in range(2000): sys.stdout.write('x' * 20_000 + chr(10))\n" + GOOD
    _, trial = run(tmp_path, script)
    assert trial.value == 0.5


def test_final_nan_fails_the_trial(tmp_path: Path) -> None:
    _, trial = run(tmp_path, "import tune; tune.report_final_result(float('nan'))")
    assert trial.state is TrialState.FAILED
    assert "nan, which is no finite number" in trial.reason
    assert trial.value is None


def test_intermediate_nan_is_recorded_and_harmless(tmp_path: Path) -> None:
    script = "import tune; tune.report_intermediate_result(float('nan')); tune.report_final_result(1)"
    experiment, trial = run(tmp_path, script)
    assert trial.value == 1.0
    assert [metric.value for metric in experiment.metrics(trial)] == ["NaN", 1.0]


def test_text_as_metric_is_an_error_in_the_trial(tmp_path: Path) -> None:
    _, trial = run(tmp_path, "import tune; tune.report_final_result('good')")
    assert trial.state is TrialState.FAILED
    assert "TypeError" in trial.reason
    assert "not str ('good')" in trial.reason


def test_text_written_past_the_sdk_is_refused(tmp_path: Path) -> None:
    script = """
import json, os
with open(os.environ["TUNE_CHANNEL_FILE"], "a") as channel:
    channel.write("no json at all\\n")
    channel.write(json.dumps({"type": "final", "value": "good"}) + "\\n")
"""
    _, trial = run(tmp_path, script)
    assert trial.state is TrialState.FAILED
    assert "the reported value is 'good'; report a number" in trial.reason


def test_metric_of_ten_megabytes_is_an_error_in_the_trial(tmp_path: Path) -> None:
    script = "import tune; tune.report_final_result({'default': 1, 'blob': 'x' * 10_000_000})"
    _, trial = run(tmp_path, script)
    assert trial.state is TrialState.FAILED
    assert "ValueError" in trial.reason


def test_burst_of_metrics_is_complete(tmp_path: Path) -> None:
    script = """
import tune
for step in range(100_000):
    tune.report_intermediate_result(step)
tune.report_final_result(1)
"""
    experiment, trial = run(tmp_path, script)
    assert (trial.value, trial.intermediates) == (1.0, 100_000)
    assert [metric.value for metric in experiment.metrics(trial)][:-1] == list(range(100_000))


def test_good_end_without_a_result_is_said(tmp_path: Path) -> None:
    _, trial = run(tmp_path, "print('forgot to report')")
    assert trial.state is TrialState.SUCCEEDED
    assert "reported no final result" in trial.reason


def test_result_of_a_trial_that_failed_afterwards_does_not_count(tmp_path: Path) -> None:
    _, trial = run(tmp_path, "import tune; tune.report_final_result(1); raise SystemExit(3)")
    assert (trial.state, trial.value) == (TrialState.FAILED, None)
    assert "exit status 3" in trial.reason


@pytest.mark.skipif(os.getuid() != 0, reason="platform: mounting a small disk needs root")
def test_full_disk_stops_nothing_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        monkeypatch.setenv("TUNE_HOME", str(disk / "home"))
        (tmp_path / "good.py").write_text(GOOD, encoding="utf-8")
        experiment = Experiment(
            {
                "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
                "trialCommand": f"{sys.executable} good.py",
                "trialCodeDirectory": str(tmp_path),
                "trialConcurrency": 2,
                "maxTrialNumber": 30,
                "trialRetry": {"failed": 1000},  # however long it is full
                "failureBrake": None,
                "tuner": {"name": "Random"},
                "trainingService": {"platform": "local"},
            }
        ).start()
        _until(lambda: len(experiment.trials(TrialState.SUCCEEDED)) >= 3)
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        done = len(experiment.trials(TrialState.SUCCEEDED))
        _until(lambda: (view := experiment.view()) is not None and "No space left" in _words(view))
        ballast.unlink()
        assert experiment.wait(120) == "DONE"
        trials = experiment.trials()
        assert len(trials) == 30
        assert {trial.state for trial in trials} == {TrialState.SUCCEEDED}
        assert len(trials) > done
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _words(view: ExperimentView) -> str:
    """All that a person would see of what is wrong."""
    words = " ".join([view.trouble, view.reason, *(trial.reason for trial in view.running)])
    return words.replace("database or disk is full", "No space left")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
