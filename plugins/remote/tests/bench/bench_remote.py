"""Trials on three hosts over SSH beside as many on this machine, and how soon a metric is on record.

The hosts are namespaces of this machine (`tests/support/ssh_hosts.py`), so both ways share the same
cores, and the remote one pays for everything twice: its three host servers, sshd and encryption run on
them too. What real machines add is the network's own delay.

Local and remote rounds take turns, and the table has the medians. The latency is that of an intermediate
result, from just before the trial reports it until it is durable in the record; hosts and manager have the
same clock here.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_core import TrialState
from tune_core.config.checking import check
from tune_core.config.model import ExperimentConfig
from tune_core.experiment.assemble import create
from tune_core.experiment.manager import manage
from tune_core.store.reader import Record

sys.path.insert(0, str(Path(__file__).parents[4] / "tests" / "support"))
from ssh_hosts import Laboratory

SDK = Path(__file__).parents[4] / "sdk"
HOSTS = 3
TRIALS = 1000
CONCURRENCY = 60
ROUNDS = 3
SCRIPT = """
import time, tune
parameters = tune.get_next_parameter()
tune.report_intermediate_result({"default": 0, "told": time.time()})
tune.report_final_result(parameters["x"])
"""


@dataclass
class Round:
    """What one experiment took."""

    trials_per_s: float
    manager_cpu_ms: float  # for each trial
    latencies_s: list[float]


def main() -> None:
    with Laboratory() as laboratory, laboratory.entered(), tempfile.TemporaryDirectory() as folder:
        machines = [laboratory.add().machine() for _ in range(HOSTS)]
        services = {
            "local": {"platform": "local"},
            f"{HOSTS} hosts": {"platform": "remote", "machineList": machines},
        }
        rounds: dict[str, list[Round]] = {name: [] for name in services}
        for _ in range(ROUNDS):
            for name, service in services.items():
                rounds[name].append(experiment(Path(folder), service))
    print(f"{TRIALS} trials at {CONCURRENCY} at once, medians of {ROUNDS} rounds")
    print(
        f"{'':>8} {'trials/s':>9} {'manager ms/trial':>17} {'metric to record, ms: median':>29} {'95 %':>6}"
    )
    for name, results in rounds.items():
        latencies = [latency for each in results for latency in each.latencies_s]
        rate = statistics.median(each.trials_per_s for each in results)
        cpu = statistics.median(each.manager_cpu_ms for each in results)
        middle = 1000 * statistics.median(latencies)
        high = 1000 * statistics.quantiles(latencies, n=20)[-1]
        print(f"{name:>8} {rate:>9.1f} {cpu:>17.2f} {middle:>29.1f} {high:>6.1f}")
    pairs = zip(*rounds.values(), strict=True)
    ratio = statistics.median(remote.trials_per_s / local.trials_per_s for local, remote in pairs)
    print(f"remote / local: {ratio:.2f}")


def experiment(parent: Path, service: Mapping[str, Any]) -> Round:
    latencies: list[float] = []

    def notify(hook: str, **arguments: Any) -> None:
        if hook == "tune_metric_reported" and arguments["kind"] == "intermediate":
            latencies.append(time.time() - arguments["value"]["told"])

    directory, parts = create(check(ExperimentConfig, config(parent, service)))
    parts.notify = notify
    parts.algorithm_gpus = None
    cpu = time.process_time()
    asyncio.run(manage(directory, parts))
    cpu = time.process_time() - cpu
    with Record(directory) as record:
        trials = list(record.trials())
    assert [trial.state for trial in trials] == [TrialState.SUCCEEDED] * TRIALS
    elapsed = max(trial.ended or 0.0 for trial in trials) - trials[0].created
    return Round(TRIALS / elapsed, 1000 * cpu / TRIALS, latencies)


def config(parent: Path, service: Mapping[str, Any]) -> dict[str, Any]:
    code = Path(tempfile.mkdtemp(dir=parent))
    (code / "trial.py").write_text(SCRIPT)
    return {
        "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
        "trialCommand": "python3 trial.py",
        # Both ways the Python that the hosts have, too: their user may not look into this environment.
        "trialEnvironment": {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SDK)},
        "trialCodeDirectory": str(code),
        "trialConcurrency": CONCURRENCY,
        "maxTrialNumber": TRIALS,
        "experimentWorkingDirectory": str(parent),
        "tuner": {"name": "Random"},
        "trainingService": dict(service),
        "seed": os.getpid(),
    }


if __name__ == "__main__":
    main()
