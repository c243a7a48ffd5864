"""What a manager costs while it waits: CPU and memory with 1,000 sleeping trials running."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRIALS, WATCHED_S, DEADLINE_S = 1_000, 20.0, 300.0
MANAGER = """
import sys
from tune_core import Experiment
Experiment({
    "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
    "trialCommand": "sleep 3600",
    "trialConcurrency": int(sys.argv[2]),
    "maxTrialNumber": int(sys.argv[2]),
    "experimentWorkingDirectory": sys.argv[1],
    "tuner": {"name": "Random"},
    "trainingService": {"platform": "local"},
}, id="idle").run()
"""


def main() -> None:
    if not Path("/proc/self/stat").exists():
        print("needs /proc")
        return
    from tune_core import Experiment

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUNE_HOME"] = folder
        started = time.monotonic()
        manager = subprocess.Popen(
            [sys.executable, "-c", MANAGER, folder, str(TRIALS)], start_new_session=True
        )
        try:
            wait_until_running(Path(folder) / "idle" / "experiment.sqlite", manager)
            print(f"{TRIALS:,} trials running after {time.monotonic() - started:.1f} s")
            before, at = cpu_s(manager.pid), time.monotonic()
            time.sleep(WATCHED_S)  # the measurement itself
            share = (cpu_s(manager.pid) - before) / (time.monotonic() - at)
            print(f"manager: {100 * share:.2f} % of one core, {resident_mib(manager.pid):.0f} MiB resident")
            stopping = time.monotonic()
            Experiment.connect(f"{folder}/idle").stop()
            manager.wait(DEADLINE_S)
            print(f"stopped, with all trials, in {time.monotonic() - stopping:.1f} s")
        finally:
            manager.kill()
            manager.wait()


def wait_until_running(path: Path, manager: subprocess.Popen[bytes]) -> None:
    from tune_core import Record, TrialState
    from tune_core.errors import ExperimentNotFoundError, StoreError

    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        assert manager.poll() is None, "the manager ended"
        try:
            with Record(path) as record:
                if record.counts().get(TrialState.RUNNING) == TRIALS:
                    return
        except (ExperimentNotFoundError, StoreError):
            pass  # not made yet
        time.sleep(0.2)
    raise TimeoutError(f"not all trials run after {DEADLINE_S:.0f} s")


def cpu_s(pid: int) -> float:
    """CPU seconds that process `pid` has used, fields 14 and 15 of its stat file."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
