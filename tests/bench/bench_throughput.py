"""No-op trials per second, beside a bare loop that spawns the same command as many at a time.

The bare loop keeps N processes running and does nothing else: no parameters, no gate, no record on disk. The
ratio says what all of that costs.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tune_core import Experiment, TrialState

COMMAND = """printf '{"type":"final","value":1}\\n' >> "$TUNE_CHANNEL_FILE\""""
SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}


def main() -> None:
    print(f"{'concurrency':>12} {'trials':>7} {'bare loop/s':>12} {'tune/s':>8} {'ratio':>6}")
    for concurrency, trials in ((1, 150), (4, 400), (16, 600)):
        bare = bare_loop(trials, concurrency)
        ours = experiment(trials, concurrency)
        print(f"{concurrency:>12} {trials:>7} {bare:>12.1f} {ours:>8.1f} {ours / bare:>6.2f}", flush=True)


def bare_loop(count: int, concurrency: int) -> float:
    """Runs of COMMAND per second, `concurrency` at a time."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TUNE_CHANNEL_FILE": f"{folder}/messages"}
        running: set[int] = set()
        started = time.monotonic()
        for _ in range(count):
            while len(running) >= concurrency:
                running.discard(os.wait()[0])
            process = subprocess.Popen(
                ["bash", "-c", COMMAND], env=environment, cwd=folder, start_new_session=True
            )
            process.returncode = 0  # os.wait takes its status
            running.add(process.pid)
        while running:
            running.discard(os.wait()[0])
        return count / (time.monotonic() - started)


def experiment(count: int, concurrency: int, command: str = COMMAND, **service: Any) -> float:
    """Trials of `command` per second, from the first proposal to the last end."""
    with tempfile.TemporaryDirectory() as folder:
        run = Experiment(config(folder, command, count, concurrency, **service))
        run.run()
        trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.SUCCEEDED] * count, trials[0]
    return count / (max(trial.ended or 0.0 for trial in trials) - trials[0].created)


def config(folder: str, command: str, count: int, concurrency: int, **service: Any) -> dict[str, Any]:
    """A configuration of `count` trials in `folder`, with random search."""
    code = Path(folder) / "code"
    code.mkdir()
    return {
        "searchSpace": SPACE,
        "trialCommand": command,
        "trialCodeDirectory": str(code),
        "trialConcurrency": concurrency,
        "maxTrialNumber": count,
        "experimentWorkingDirectory": folder,
        "tuner": {"name": "Random"},
        "trainingService": {"platform": "local", **service},
    }


if __name__ == "__main__":
    main()
