"""Kill the manager anywhere: nothing acknowledged is lost, nothing runs twice, nothing goes unrecorded.

The trial writes a journal of its own, which is the history that the record is checked against: a line
when it starts, and one when `report_final_result` has returned, which is the acknowledgement. How far
trials may go is in a file that the test writes, so that none has ended before the manager is killed.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from leave import WAIT_FOR_LEAVE, Leave

from tune_core import Experiment, Record, TrialState
from tune_core.store.directory import ExperimentDirectory

TRIAL = (
    WAIT_FOR_LEAVE
    + """

def note(*words):
    line = json.dumps([tune.get_trial_id(), int(os.environ["TUNE_TRIAL_ATTEMPT"]), os.getpid(), *words])
    descriptor = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode() + b"\\n")
    os.close(descriptor)

note("start")
parameters = tune.get_next_parameter()
for step in range(3):
    wait_for_leave(step)
    tune.report_intermediate_result(step)
    time.sleep(float(os.environ["STEP_S"]))
value = parameters["x"] ** 2
wait_for_leave(3)
tune.report_final_result(value)
note("final", value)
"""
)


class Lab:
    """One experiment with real trial processes, and managers to kill."""

    def __init__(
        self, folder: Path, *, trials: int, concurrency: int, step_s: float = 0.0, seed: int = 7
    ) -> None:
        folder.mkdir()
        self.journal, self.leave = folder / "journal", Leave(folder / "leave")
        self.leave.give(trials)
        self.trials_wanted = trials
        self.kills = 0
        (folder / "trial.py").write_text(TRIAL, encoding="utf-8")
        config = {
            "searchSpace": {
                "x": {"_type": "uniform", "_value": [-1, 1]},
                "c": {"_type": "choice", "_value": ["a", "b", "c"]},
            },
            "trialCommand": f"{sys.executable} trial.py",
            "trialCodeDirectory": str(folder),
            "trialConcurrency": concurrency,
            "maxTrialNumber": trials,
            "trialEnvironment": {
                "JOURNAL": str(self.journal),
                "LEAVE": str(self.leave.path),
                "STEP_S": str(step_s),
            },
            "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "minimize", "seed": seed}},
            "trainingService": {"platform": "local"},
            "experimentWorkingDirectory": str(folder / "experiments"),
        }
        self.directory: ExperimentDirectory = Experiment(config).directory

    def manager(self, *wrapper: str) -> subprocess.Popen[bytes]:
        """Start one, in a session of its own so that a kill hits nothing else."""
        command = [sys.executable, "-P", "-m", "tune_core.experiment.background", str(self.directory.path)]
        with (self.directory.log / "stderr").open("ab") as stderr:
            return subprocess.Popen([*wrapper, *command], stderr=stderr, start_new_session=True)

    def kill(self, manager: subprocess.Popen[bytes]) -> None:
        assert manager.poll() is None, self.errors()
        manager.send_signal(signal.SIGKILL)
        manager.wait()
        self.kills += 1

    def finish(self) -> None:
        """Let a manager bring all trials to their end."""
        self.leave.give(self.trials_wanted)
        manager = self.manager()
        assert manager.wait(timeout=120) == 0, self.errors()

    def errors(self) -> str:
        return (self.directory.log / "stderr").read_text(encoding="utf-8")

    def history(self) -> list[list[Any]]:
        """What the trials say happened."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text(encoding="utf-8").splitlines()]

    def check(self) -> None:
        """Hold the record against the history."""
        with Record(self.directory) as record:
            trials = {trial.id: trial for trial in record.trials()}
            recorded_starts = {
                (trial, data["attempt"]) for *_, trial, data in record.events(kinds=("started",))
            }
            metrics = {trial.id: [(each.attempt, each.sequence) for each in record.metrics(trial.sequence)]
                       for trial in trials.values()}  # fmt: skip
        assert [trial.sequence for trial in trials.values()] == list(range(self.trials_wanted))
        assert {trial.state for trial in trials.values()} == {TrialState.SUCCEEDED}
        history = self.history()
        starts = Counter((name, attempt) for name, attempt, _, what, *_ in history if what == "start")
        assert {key for key, count in starts.items() if count > 1} == set(), "an attempt ran twice"
        unrecorded = {
            (name, attempt)
            for name, attempt in starts
            if (trials[name].sequence, attempt) not in recorded_starts
        }
        assert unrecorded == set(), "an attempt ran that the record knows nothing of"
        for name, attempt, _, what, *words in history:
            if what == "final":
                assert trials[name].value == words[0], "an acknowledged result was lost"
                assert trials[name].attempt == attempt, "a trial ran again although it had its result"
        for reports in metrics.values():
            assert len(set(reports)) == len(reports)
        for name, trial in trials.items():
            own = [sequence for attempt, sequence in metrics[name] if attempt == trial.attempt]
            assert own == [0, 1, 2, 3], "an intermediate result was lost"

    def reported(self) -> list[int]:
        """How many intermediate results of each trial are recorded."""
        with Record(self.directory) as record:
            return [trial.intermediates for trial in record.trials()]

    def proposals(self) -> list[Any]:
        with Record(self.directory) as record:
            return [trial.parameters for trial in record.trials()]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))


def wait_until(condition: Any, what: str, within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s:.0f} s for {what}"
        time.sleep(0.002)


def test_ten_kills_at_random_moments(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", trials=100, concurrency=4, step_s=0.01)
    moments = random.Random(11)
    while lab.kills < 10:
        lab.leave.give(9 * (lab.kills + 1))  # so that there is something to do until the last kill
        manager = lab.manager()
        if lab.kills % 3 == 2:
            # Early: while it recovers, in the middle of replay and adoption.
            time.sleep(moments.uniform(0.05, 0.6))
        else:
            seen = len(lab.history())
            wait_until(lambda seen=seen: len(lab.history()) > seen + 4, "progress")
            time.sleep(moments.uniform(0.0, 0.2))
        lab.kill(manager)
    lab.finish()
    lab.check()


def test_killed_experiment_proposes_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    undisturbed = Lab(tmp_path / "undisturbed", trials=16, concurrency=1)
    undisturbed.finish()
    killed = Lab(tmp_path / "killed", trials=16, concurrency=1)
    for trials in (3, 8, 13):  # the model proposes from the seventh on
        killed.leave.give(trials + 2)
        manager = killed.manager()
        wait_until(lambda trials=trials: len(killed.history()) >= 2 * trials, f"{trials} trials")
        killed.kill(manager)
    killed.finish()
    killed.check()
    assert killed.proposals() == undisturbed.proposals()


def test_running_trials_are_adopted_not_restarted(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", trials=3, concurrency=3)
    lab.leave.give(0, steps=1)
    manager = lab.manager()
    wait_until(lambda: lab.reported() == [1, 1, 1], "three running trials")
    lab.kill(manager)
    processes = {pid for _, _, pid, *_ in lab.history()}
    assert all(Path(f"/proc/{pid}").exists() for pid in processes), "a trial died with its manager"
    lab.leave.give(0, steps=2)
    manager = lab.manager()
    wait_until(lambda: lab.reported() == [2, 2, 2], "a manager that listens to them")
    lab.leave.give(3)
    assert manager.wait(timeout=120) == 0, lab.errors()
    lab.check()
    assert {pid for _, _, pid, *_ in lab.history()} == processes
    with Record(lab.directory) as record:
        assert {trial.attempt for trial in record.trials()} == {0}


def test_trials_that_ended_without_a_manager_count(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", trials=2, concurrency=2)
    lab.leave.give(0)
    manager = lab.manager()
    wait_until(lambda: len(lab.history()) == 2, "two running trials")
    lab.kill(manager)
    lab.leave.give(2)
    wait_until(lambda: len(lab.history()) == 4, "both to end by themselves")
    lab.finish()
    lab.check()


def test_second_manager_is_refused(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", trials=2, concurrency=1)
    lab.leave.give(0)
    manager = lab.manager()
    try:
        wait_until(lambda: len(lab.history()) == 1, "the first manager")
        second = lab.manager()
        assert second.wait(timeout=120) == 4
        assert f"managed by process {manager.pid}" in lab.errors()
    finally:
        manager.terminate()
        assert manager.wait(timeout=120) == 0
    with Record(lab.directory) as record:
        assert record.state()["status"] == "STOPPED"


# At the n-th system call, for growing n, until a run gets through. The manager renames nothing: what must
# be whole is in the record, and the exit status of a trial is one write of its own shell.
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "write", "mkdir", "vfork,clone,clone3"])
def test_kill_at_the_nth_call(tmp_path: Path, call: str) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    # Only the manager is traced: what it starts is let go at exec.
    wrapper = [strace, "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    kills = 0
    for number in (1, 2, 3, 5, 8, 14, 25, 44):
        lab = Lab(tmp_path / f"lab{number}", trials=6, concurrency=2)
        inject = ["-e", f"inject={call}:signal=KILL:when={number}"]
        killed = _was_killed(lab.manager(*wrapper, *inject))
        kills += killed
        if number % 2:  # and again while it recovers
            kills += _was_killed(lab.manager(*wrapper, *inject))
        lab.finish()
        lab.check()
        if not killed:
            break
    assert kills >= 4, f"only {kills} managers were killed: is {call} still what it calls?"


def _was_killed(manager: subprocess.Popen[bytes]) -> bool:
    status = manager.wait(timeout=120)
    assert status in (0, -signal.SIGKILL, 128 + signal.SIGKILL), f"it ended by itself with {status}"
    return status != 0
