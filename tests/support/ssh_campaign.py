"""Experiments on the hosts of a laboratory, held against what their trials wrote down themselves.

Trials write a journal into a folder that all machines share; it is the history that the experiment's
record is checked against. How far they may go is in a file beside it, which tests write, so that nothing
depends on how fast they are.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import pytest
from leave import WAIT_FOR_LEAVE, Leave
from ssh_hosts import Host, Laboratory, await_that

from tune_core import Experiment, Record, TrialState
from tune_core.store.directory import ExperimentDirectory

__all__ = ["Campaign", "Make", "campaign"]

TRIAL = (
    WAIT_FOR_LEAVE
    + """
import socket

def note(*words):
    who = [tune.get_trial_id(), int(os.environ["TUNE_TRIAL_ATTEMPT"]), socket.gethostname(), os.getpid()]
    descriptor = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, json.dumps([*who, *words]).encode() + b"\\n")
    os.close(descriptor)

note("start")
x = tune.get_next_parameter()["x"]
steps = json.loads(os.environ["STEPS"])
steps = steps[tune.get_sequence_id() % len(steps)]
for step in range(steps):
    wait_for_leave(step)
    tune.report_intermediate_result(step)
    time.sleep(float(os.environ["STEP_S"]))
wait_for_leave(float("inf"))
tune.report_final_result(x)
note("final", x, steps)
"""
)


class Note(NamedTuple):
    """A line of the journal."""

    trial: str
    attempt: int
    host: str
    pid: int
    what: str
    value: float = 0.0
    steps: int = 0


class Campaign:
    """One experiment on the hosts of a laboratory, with managers to kill."""

    def __init__(
        self,
        laboratory: Laboratory,
        machines: list[dict[str, Any]],
        *,
        trials: int,
        concurrency: int,
        steps: tuple[int, ...] = (3,),
        step_s: float = 0.0,
        code: dict[str, bytes] | None = None,
        command: str = "python3 trial.py",
        gpus: int | None = None,
        **service: Any,
    ) -> None:
        self.laboratory, self.trials_wanted = laboratory, trials
        self.journal = laboratory.shared / "journal"
        self.journal.touch()
        self.journal.chmod(0o666)
        self.leave = Leave(laboratory.shared / "leave")
        self.leave.give(trials)
        folder = laboratory.directory / "code"
        folder.mkdir()
        (folder / "trial.py").write_text(TRIAL, encoding="utf-8")
        for name, content in (code or {}).items():
            (folder / name).write_bytes(content)
        config = {
            "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
            "trialCommand": command,
            "trialCodeDirectory": str(folder),
            "trialConcurrency": concurrency,
            "maxTrialNumber": trials,
            "trialGpuNumber": gpus,
            "trialEnvironment": {
                "JOURNAL": str(self.journal),
                "LEAVE": str(self.leave.path),
                "STEPS": json.dumps(steps),
                "STEP_S": str(step_s),
            },
            "tuner": {"name": "Random", "classArgs": {"seed": 7}},
            "trainingService": {"platform": "remote", "machineList": machines, "killGrace": 1, **service},
            "experimentWorkingDirectory": str(laboratory.directory / "experiments"),
        }
        self.directory: ExperimentDirectory = Experiment(config).directory
        self.managers: list[subprocess.Popen[bytes]] = []

    # Managers.

    def manage(self, *wrapper: str) -> subprocess.Popen[bytes]:
        """Start a manager, by the command `wrapper` if there is one."""
        command = [sys.executable, "-P", "-m", "tune_core.experiment.background", str(self.directory.path)]
        with (self.directory.log / "stderr").open("ab") as stderr:
            manager = subprocess.Popen([*wrapper, *command], stderr=stderr, start_new_session=True)
        self.managers.append(manager)
        return manager

    def kill(self, manager: subprocess.Popen[bytes]) -> None:
        """End a manager that runs as abruptly as can be."""
        assert manager.poll() is None, f"it had ended by itself: {self.log()}"
        manager.send_signal(signal.SIGKILL)
        manager.wait()

    def finish(self, manager: subprocess.Popen[bytes] | None = None, within_s: float = 120) -> None:
        """Let a manager bring all trials to their end."""
        self.leave.give(self.trials_wanted)
        assert (manager or self.manage()).wait(timeout=within_s) == 0, self.log()

    def errors(self) -> str:
        """What managers have printed."""
        return (self.directory.log / "stderr").read_text()

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.directory.log.iterdir()))

    # What is known.

    def history(self) -> list[Note]:
        return [Note(*json.loads(line)) for line in self.journal.read_text().splitlines()]

    def running(self) -> int:
        """How many trials run, by what they say themselves."""
        count = Counter(note.what for note in self.history())
        return count["start"] - count["final"]

    def reported(self) -> list[int]:
        """How many intermediate results of each trial are recorded."""
        with self.record() as record:
            return [trial.intermediates for trial in record.trials()]

    def record(self) -> Record:
        return Record(self.directory)

    def trouble(self) -> str:
        """What the record says of the platform and of trials that wait."""
        with self.record() as record:
            waiting = [trial.reason for trial in record.trials(states=(TrialState.WAITING,))]
            return "\n".join([str(record.state().get("trouble", "")), *waiting])

    def attempts(self) -> list[int]:
        with self.record() as record:
            return [trial.attempt for trial in record.trials()]

    def check(self, *, gone: tuple[Host, ...] = ()) -> None:
        """Hold the record against the history; what hosts knew that are `gone` went with them."""
        with self.record() as record:
            trials = {trial.id: trial for trial in record.trials()}
            started = {(trial, data["attempt"]) for *_, trial, data in record.events(kinds=("started",))}
            metrics = {trial.id: list(record.metrics(trial.sequence)) for trial in trials.values()}
        reasons = {trial.reason for trial in trials.values()}
        assert [trial.sequence for trial in trials.values()] == list(range(self.trials_wanted))
        assert {trial.state for trial in trials.values()} == {TrialState.SUCCEEDED}, reasons
        history = self.history()
        starts = Counter((note.trial, note.attempt) for note in history if note.what == "start")
        assert {key for key, count in starts.items() if count > 1} == set(), "an attempt ran twice"
        recorded = {
            (name, attempt) for name, attempt in starts if (trials[name].sequence, attempt) in started
        }
        assert recorded == set(starts), "an attempt ran that the record knows nothing of"
        steps = {}
        for note in history:
            if note.what == "final" and note.host not in {host.name for host in gone}:
                assert trials[note.trial].value == note.value, "an acknowledged result was lost"
                assert trials[note.trial].attempt == note.attempt, (
                    "a trial ran again although it had a result"
                )
                steps[note.trial] = note.steps
        assert set(steps) == set(trials), "a trial succeeded that says nothing of it"
        for name, trial in trials.items():
            own = [each.sequence for each in metrics[name] if each.attempt == trial.attempt]
            assert own == list(range(steps[name] + 1)), (
                "an intermediate result is lost, twice or out of order"
            )

    def check_nothing_stays(self, *hosts: Host, force: bool = False) -> None:
        """Delete the experiment: neither a process nor a file of it is on the hosts any more."""
        self.delete(*["--force"][: int(force)])
        for host in hosts:
            stays = lambda host=host: [each for each in host.processes() if each.user != 0]  # noqa: E731
            await_that(lambda stays=stays: not stays(), f"the end of {stays()} on {host.name}")
            there = set(host.run("ls", "-A", host.home_there).split())
            assert there <= {".bashrc", ".config", ".local"}, "more than what its login shell makes"

    def delete(self, *words: str, status: int = 0) -> str:
        """Run `tune experiment delete`; what it printed."""
        command = [sys.executable, "-m", "tune_core", "experiment", "delete", "--yes", *words]
        done = subprocess.run(
            [*command, self.directory.id], capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr


Make: TypeAlias = Callable[..., "Campaign"]


@pytest.fixture
def campaign(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Campaign]]:
    """`campaign(machines, trials=...)`; managers end with the test."""
    monkeypatch.setenv("TUNE_HOME", str(laboratory.directory / "tune-home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made: list[Campaign] = []

    def make(machines: list[dict[str, Any]], **options: Any) -> Campaign:
        made.append(Campaign(laboratory, machines, **options))
        return made[-1]

    yield make
    for manager in (manager for each in made for manager in each.managers):
        if manager.poll() is None:
            manager.kill()
            manager.wait()
