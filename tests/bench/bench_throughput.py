"""Trials per second, beside a bare loop that spawns the same command as many at a time.

The bare loop keeps N processes running and does nothing else: no parameters, no gate, no record on disk. The
ratio says what all of that costs. Two commands are measured: a Python script that reports one number through
the SDK, which is the least that a trial in Python can be, and a shell built-in, which takes so little that
nothing hides what a trial costs besides.

The two loops take turns, and each line has the medians of its rounds, because other programs use the machine.
Nothing is removed before the end: ext4 passes over the inodes that were freed in the last minutes one by one,
and making files then takes it ten times as long.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tune_core import Experiment, TrialState

SCRIPT = """
import tune
parameters = tune.get_next_parameter()
tune.report_final_result(parameters.get("x", 0.5))
"""
PYTHON = f"{shlex.quote(sys.executable)} trial.py"
SHELL = """printf '{"type":"final","value":1}\\n' >> "$TUNE_CHANNEL_FILE\""""
COMMANDS = {
    "python trial.py, which reports through the SDK (the bare loop runs it standalone)": PYTHON,
    "a printf of the shell (the harshest case: it is over as soon as it has begun)": SHELL,
}
ROUNDS = 3
TRIALS = {1: 60, 4: 160, 16: 240}  # by concurrency, in each round
SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for title, command in COMMANDS.items():
            measure(title, command, Path(folder))


def measure(title: str, command: str, folder: Path) -> None:
    print(title)
    print(f"{'concurrency':>13} {'trials':>7} {'bare loop/s':>12} {'tune/s':>8} {'ratio':>6}")
    for concurrency, trials in TRIALS.items():
        rounds = [
            (
                bare_loop(trials, concurrency, command, folder),
                experiment(trials, concurrency, command, folder),
            )
            for _ in range(ROUNDS)
        ]
        bare, ours = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        ratio = statistics.median(ours / bare for bare, ours in rounds)
        print(f"{concurrency:>13} {ROUNDS * trials:>7} {bare:>12.1f} {ours:>8.1f} {ratio:>6.2f}", flush=True)
    print()


def bare_loop(count: int, concurrency: int, command: str, parent: Path) -> float:
    """Runs of `command` per second, `concurrency` at a time."""
    folder = code_in(parent)
    environment = {**os.environ, "TUNE_CHANNEL_FILE": str(folder / "messages")}
    running: set[int] = set()
    with (folder / "stdout").open("wb") as stdout:
        started = time.monotonic()
        for _ in range(count):
            while len(running) >= concurrency:
                running.discard(os.wait()[0])
            process = subprocess.Popen(
                ["bash", "-c", command], env=environment, cwd=folder, stdout=stdout, start_new_session=True
            )
            process.returncode = 0  # os.wait takes its status
            running.add(process.pid)
        while running:
            running.discard(os.wait()[0])
        return count / (time.monotonic() - started)


def experiment(count: int, concurrency: int, command: str, parent: Path) -> float:
    """Trials of `command` per second, from the first proposal to the last end."""
    run = Experiment(config(parent, command, count, concurrency))
    run.run()
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.SUCCEEDED] * count, trials[0]
    return count / (max(trial.ended or 0.0 for trial in trials) - trials[0].created)


def config(parent: Path, command: str, count: int, concurrency: int) -> dict[str, Any]:
    """A configuration of `count` trials, with random search."""
    return {
        "searchSpace": SPACE,
        "trialCommand": command,
        "trialCodeDirectory": str(code_in(parent)),
        "trialConcurrency": concurrency,
        "maxTrialNumber": count,
        "experimentWorkingDirectory": str(parent),
        "tuner": {"name": "Random"},
        "trainingService": {"platform": "local"},
    }


def code_in(parent: Path) -> Path:
    """A new folder with the script."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    (folder / "trial.py").write_text(SCRIPT)
    return folder


if __name__ == "__main__":
    main()
