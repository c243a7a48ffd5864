"""What may happen to machines, cables and managers: nothing is lost, nothing runs twice, nothing stays.

The machines are real in all that matters here (`ssh_hosts`). Trials write a journal of their own into a
folder that all machines share; it is the history that the experiment's record is checked against.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from ssh_hosts import Host, Laboratory, await_that, can_isolate

from tune_core import Experiment, Record, TrialState
from tune_core.store.directory import ExperimentDirectory

pytestmark = pytest.mark.skipif(not can_isolate(), reason="platform: needs root and network namespaces")

TRIAL = """
import json, os, socket, sys, time
import tune

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
    tune.report_intermediate_result(step)
    time.sleep(float(os.environ["STEP_S"]))
tune.report_final_result(x)
note("final", x, steps)
"""


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
        **service: Any,
    ) -> None:
        self.laboratory, self.trials_wanted = laboratory, trials
        self.journal = laboratory.shared / "journal"
        self.journal.touch()
        self.journal.chmod(0o666)
        folder = laboratory.directory / "code"
        folder.mkdir()
        (folder / "trial.py").write_text(TRIAL, encoding="utf-8")
        for name, content in (code or {}).items():
            (folder / name).write_bytes(content)
        config = {
            "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
            "trialCommand": "python3 trial.py",
            "trialCodeDirectory": str(folder),
            "trialConcurrency": concurrency,
            "maxTrialNumber": trials,
            "trialEnvironment": {
                "JOURNAL": str(self.journal),
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

    def manage(self) -> subprocess.Popen[bytes]:
        """Start a manager."""
        command = [sys.executable, "-P", "-m", "tune_core.experiment.background", str(self.directory.path)]
        with (self.directory.log / "stderr").open("ab") as stderr:
            manager = subprocess.Popen(command, stderr=stderr, start_new_session=True)
        self.managers.append(manager)
        return manager

    def kill(self, manager: subprocess.Popen[bytes]) -> None:
        """End a manager that runs as abruptly as can be."""
        assert manager.poll() is None, f"it had ended by itself: {self.log()}"
        manager.send_signal(signal.SIGKILL)
        manager.wait()

    def finish(self, manager: subprocess.Popen[bytes] | None = None, within_s: float = 90) -> None:
        """Wait for a manager to bring the experiment to its end."""
        assert (manager or self.manage()).wait(timeout=within_s) == 0, self.log()

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.directory.log.iterdir()))

    # What is known.

    def history(self) -> list[Note]:
        return [Note(*json.loads(line)) for line in self.journal.read_text().splitlines()]

    def running(self) -> int:
        """How many trials run, by what they say themselves."""
        count = Counter(note.what for note in self.history())
        return count["start"] - count["final"]

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
            assert host.run("ls", "-A", host.home_there).split() == [".bashrc"]

    def delete(self, *words: str, status: int = 0) -> str:
        """Run `tune experiment delete`; what it printed."""
        command = [sys.executable, "-m", "tune_core", "experiment", "delete", "--yes", *words]
        done = subprocess.run(
            [*command, self.directory.id], capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr


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


Make = Callable[..., Campaign]


# Cables, servers, power.


@pytest.mark.slow
def test_cable_that_is_cut_for_forty_seconds(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(2)]
    machines = [host.machine(trialConcurrency=2) for host in hosts]
    # On each host one trial ends while nobody is there to hear of it, and one goes on.
    lab = campaign(machines, trials=4, concurrency=4, steps=(22, 22, 50, 50), step_s=1.0)
    manager = lab.manage()
    await_that(lambda: lab.running() == 4, "four trials running", 60)
    hosts[0].cut()
    healed = time.monotonic() + 40
    await_that(lambda: f"{hosts[0].address} cannot be reached" in lab.trouble(), "that it is said", 30)
    assert len([each for each in hosts[0].processes() if "trial.py" in each.command]) >= 2
    time.sleep(max(0.0, healed - time.monotonic()))  # how long it is cut
    hosts[0].heal()
    await_that(lambda: not lab.trouble().strip(), "that it is said to be back", 60)
    lab.finish(manager)
    lab.check()
    assert lab.attempts() == [0, 0, 0, 0]
    lab.check_nothing_stays(*hosts)


@pytest.mark.parametrize("sessions", [False, True], ids=["listener", "listener and sessions"])
def test_sshd_is_killed(sessions: bool, laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add()
    lab = campaign([host.machine()], trials=4, concurrency=2, steps=(20,), step_s=0.25)
    manager = lab.manage()
    await_that(lambda: lab.running() == 2, "two trials running", 30)
    host.stop_sshd(sessions=sessions)
    if sessions:
        await_that(lambda: "cannot be reached" in lab.trouble(), "that it is said", 30)
    host.start_sshd()
    lab.finish(manager)
    lab.check()
    assert lab.attempts() == [0, 0, 0, 0]
    lab.check_nothing_stays(host)


def test_host_is_powered_off_for_good(laboratory: Laboratory, campaign: Make) -> None:
    gone, stays = (laboratory.add() for _ in range(2))
    machines = [host.machine(trialConcurrency=2) for host in (gone, stays)]
    lab = campaign(machines, trials=6, concurrency=4, steps=(12,), step_s=0.5, lostAfter=3)
    manager = lab.manage()
    await_that(lambda: lab.running() == 4, "four trials running", 30)
    gone.power_off()
    lab.finish(manager)
    lab.check(gone=(gone,))
    assert sorted(lab.attempts()) == [0, 0, 0, 0, 1, 1]
    assert {note.host for note in lab.history() if note.what == "final"} == {stays.name}
    refused = lab.delete(status=5)
    assert f"{gone.address}: " in refused
    assert stays.address not in refused
    assert "--force" in refused
    lab.delete("--force")
    assert stays.run("ls", "-A", stays.home_there).split() == [".bashrc"]


def test_host_is_started_anew(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add()
    lab = campaign([host.machine()], trials=4, concurrency=2, steps=(8,), step_s=0.25)
    manager = lab.manage()
    await_that(lambda: lab.running() == 2, "two trials running", 30)
    host.power_off()
    host.power_on()
    lab.finish(manager)
    lab.check()
    assert lab.attempts() == [1, 1, 0, 0]
    lab.check_nothing_stays(host)


@pytest.mark.parametrize("allowed", [10, 1])
def test_more_trials_than_sessions(allowed: int, laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add(sshd={"MaxSessions": allowed})
    lab = campaign([host.machine()], trials=12, concurrency=12, steps=(20,), step_s=0.25)
    manager = lab.manage()
    await_that(lambda: lab.running() == 12, "twelve trials at once", 30)
    lab.finish(manager)
    lab.check()
    lab.check_nothing_stays(host)


# Disks.


@pytest.mark.parametrize(("size", "what"), [("64k", "the runtime"), ("4m", "the code")])
def test_full_disk_sends_trials_elsewhere(
    size: str, what: str, laboratory: Laboratory, campaign: Make
) -> None:
    full, other = laboratory.add(tmpfs={"/small": f"size={size}"}), laboratory.add()
    machines = [full.machine(directory="/small/tune-trials"), other.machine(trialConcurrency=2)]
    code = {"data.bin": random.Random(1).randbytes(8 << 20)}
    lab = campaign(machines, trials=6, concurrency=4, steps=(4,), step_s=0.5, code=code)
    manager = lab.manage()
    await_that(lambda: "No space left" in lab.trouble(), f"that there is no room for {what}", 12)
    assert full.address in lab.trouble()
    lab.finish(manager)
    lab.check()
    assert {note.host for note in lab.history()} == {other.name}
    full.resize("/small", "16m")  # what removes the rest needs room for itself
    lab.check_nothing_stays(full, other)
    assert full.run("ls", "-A", "/small").split() == []


# Managers.


@pytest.mark.slow
def test_manager_is_killed_at_random_moments(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(3)]
    lab = campaign([host.machine() for host in hosts], trials=90, concurrency=6, step_s=0.02)
    moments = random.Random(5)
    for number in range(8):
        manager = lab.manage()
        if number % 3 == 2:  # while it connects, replays, adopts
            time.sleep(moments.uniform(0.2, 1.2))
        else:  # while it launches
            seen = len(lab.history())
            await_that(lambda seen=seen: len(lab.history()) > seen + 4, "progress", 30)
            time.sleep(moments.uniform(0.0, 0.2))
        lab.kill(manager)
    lab.finish()
    lab.check()
    # An attempt whose manager died between its record and its start is tried again, but has not run.
    assert set(Counter(note.trial for note in lab.history() if note.what == "start").values()) == {1}
    lab.check_nothing_stays(*hosts)


def test_manager_is_killed_while_code_is_sent(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(2)]
    random_bytes = random.Random(2).randbytes
    code = {f"data{number}.bin": random_bytes(2 << 20) for number in range(20)}
    lab = campaign([host.machine() for host in hosts], trials=4, concurrency=4, code=code)
    received = 0
    for _ in range(3):
        manager = lab.manage()
        await_that(lambda received=received: _received(hosts[0]) > received + (4 << 20), "some of it", 30)
        received = _received(hosts[0])
        lab.kill(manager)
    assert 0 < received < 40 << 20, "it was sent before it was killed; let there be more code"
    assert lab.history() == []
    lab.finish()
    lab.check()
    for host in hosts:
        trees = host.run("sh", "-c", f"ls -d {host.home_there}/tune-trials/experiments/*/code/*").split()
        assert len(trees) == 1, "what came of it in pieces is still there"
    lab.check_nothing_stays(*hosts)


def _received(host: Host) -> int:
    """Bytes of code that are there."""
    pattern = "tune-trials/experiments/*/code"
    files = (path for folder in host.file("~").glob(pattern) for path in folder.rglob("*.bin*"))
    total = 0
    for path in files:
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # it is renamed at this moment
            continue
    return total


def test_manager_is_killed_in_a_burst_of_metrics(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(3)]
    machines = [host.machine() for host in hosts]
    lab = campaign(machines, trials=3, concurrency=3, steps=(10_000,))
    for seen in (500, 6_000, 15_000):
        manager = lab.manage()
        await_that(lambda seen=seen: _metrics(lab) > seen, "a part of the metrics", 60)
        lab.kill(manager)
    assert _metrics(lab) < 30_000, "all was recorded before the last kill; let there be more"
    lab.finish()
    lab.check()
    assert lab.attempts() == [0, 0, 0]
    lab.check_nothing_stays(*hosts)


def _metrics(lab: Campaign) -> int:
    with lab.record() as record:
        return sum(trial.intermediates for trial in record.trials())


def test_manager_that_never_comes_back(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add()
    lab = campaign([host.machine()], trials=2, concurrency=2, steps=(1000,), step_s=1.0, lease=4)
    manager = lab.manage()
    await_that(lambda: lab.running() == 2, "two trials running", 30)
    lab.kill(manager)
    await_that(lambda: all(each.user == 0 for each in host.processes()), "the lease", 30)
    lab.check_nothing_stays(host, force=True)
