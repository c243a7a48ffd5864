"""A disk that several hosts share: they remove the same things at the same moment.

The hosts here are jobs that take turns in one process, each told that it is on a machine of its own.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tune.host import processes, removing, stage2
from tune.host.jobs import Job
from tune.host.layout import ExperimentFolder, make_folder
from tune.host.ownership import HostFolder, Noted, Ownership
from tune.host.tidying import tidy

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="platform: looks into /proc")

FILES = {"tune/__init__.py": b"", "tune/host/__init__.py": b"x = 1"}
DIGEST = stage2.digest_of(FILES)


class Cluster:
    """Hosts `h0`, `h1`, ... with trials of the experiment `exp`."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.folder = ExperimentFolder(str(root), "exp")
        self.trials: list[subprocess.Popen[bytes]] = []
        self._patch = patch
        self._turns: list[tuple[int, Job]] = []
        self.answers: dict[int, dict[str, Any]] = {}
        stage2.install(str(root / "runtime" / DIGEST), FILES, DIGEST)

    def be(self, number: int) -> None:
        """What this process does next, it does on this host."""
        self._patch.setattr(processes, "boot_id", lambda: f"boot{number}")
        self._patch.setattr("socket.gethostname", lambda: f"h{number}")

    def host(self, number: int) -> HostFolder:
        return HostFolder(self.folder.host(f"user@h{number}:22"))

    def run_trial(self, number: int) -> subprocess.Popen[bytes]:
        """A trial on a host, whose server was killed."""
        key, mark = (f"t{len(self.trials)}", 0), secrets.token_hex(8)
        environment = {**os.environ, processes.MARK: mark}
        trial = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True)
        identity = processes.identify(trial.pid, f"boot{number}")
        assert identity is not None
        host = self.host(number)
        host.make()
        Path(self.folder.attempt(key)).mkdir(parents=True)
        host.note(key, Noted(identity, mark))
        self.tell(number, managed=True)
        self.trials.append(trial)
        return trial

    def tell(self, number: int, *, managed: bool) -> None:
        """Write down that a host's server has, or had, hold of its trials."""
        self.be(number)
        Ownership(self.host(number), f"boot{number}").tell(managed=managed)

    def remove(self, number: int, *, force: bool = False) -> None:
        """Ask a host to remove everything."""
        answer = lambda _, **fields: self.answers.update({number: fields})  # noqa: E731
        self._turns.append((number, removing.remove(str(self.root), None, force, answer)))

    def take_turns(self, order: random.Random) -> None:
        deadline = time.monotonic() + 90
        while self._turns:
            assert time.monotonic() < deadline, f"{self._turns} go on and on"
            number, job = turn = order.choice(self._turns)
            self.be(number)
            try:
                if next(job):
                    time.sleep(0.001)
            except StopIteration:
                self._turns.remove(turn)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster(tmp_path / "root", monkeypatch)
    yield made
    for trial in made.trials:
        trial.kill()
        trial.wait()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("force", [False, True])
def test_hosts_that_remove_the_same_experiment_leave_nothing(
    cluster: Cluster, seed: int, force: bool
) -> None:
    for number in (0, 0, 1):
        cluster.run_trial(number)
    cluster.host(2).make()  # has had no trial yet
    for number in range(4):  # one has never been there
        cluster.remove(number, force=force)
    cluster.take_turns(random.Random(seed))
    assert [trial.wait(90) for trial in cluster.trials] == [-signal.SIGTERM] * 3
    assert [answer["skipped"] for answer in cluster.answers.values()] == [[]] * 4
    assert not cluster.root.exists()


def test_trial_of_a_host_that_is_not_asked_lives_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "_OTHERS_S", 0.2)
    here, elsewhere = cluster.run_trial(0), cluster.run_trial(1)
    cluster.remove(0)
    cluster.take_turns(random.Random(1))
    assert cluster.answers[0]["skipped"] == [
        {"experiment": "exp", "reason": "its trials may still run on h1"}
    ]
    assert here.wait(90) == -signal.SIGTERM
    assert elsewhere.poll() is None
    assert stage2.find(str(cluster.root / "runtime" / DIGEST), DIGEST) == FILES
    cluster.remove(0, force=True)
    cluster.take_turns(random.Random(1))
    assert cluster.answers[0]["skipped"] == []
    assert not cluster.root.exists()


def test_manager_of_another_host_is_respected_though_there_are_no_locks(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "_OTHERS_S", 0.2)
    cluster.host(1).make()
    cluster.tell(1, managed=True)
    cluster.remove(0)
    cluster.take_turns(random.Random(1))
    (skipped,) = cluster.answers[0]["skipped"]
    assert skipped["reason"] == "a manager may have hold of it through h1"
    cluster.tell(1, managed=False)
    cluster.remove(0)
    cluster.take_turns(random.Random(1))
    assert cluster.answers[0]["experiments"] == ["exp"]


def test_server_of_another_host_that_is_leaving_is_waited_for(cluster: Cluster) -> None:
    cluster.host(1).make()
    cluster.be(1)
    server = Ownership(cluster.host(1), "boot1")
    assert list(server.claim()) == []
    server.tell(managed=False)
    turns = removing.remove(
        str(cluster.root), None, False, lambda _, **said: cluster.answers.update({0: said})
    )
    cluster.be(0)
    assert [next(turns) for _ in range(3)] == [pytest.approx(0.02)] * 3
    server.release()
    list(turns)
    assert cluster.answers[0]["experiments"] == ["exp"]


def test_runtime_is_there_for_every_experiment_that_comes(tmp_path: Path) -> None:
    root, home = tmp_path / "root", tmp_path / "root" / "runtime" / DIGEST
    experiment = root / "experiments" / "exp"
    is_over = threading.Event()

    def visit() -> None:
        while not is_over.wait(0.001):
            list(tidy(str(root)))

    guests = [threading.Thread(target=visit) for _ in range(3)]
    for guest in guests:
        guest.start()
    try:
        for _ in range(100):
            make_folder(str(experiment))
            if not (home / "tune").is_dir():
                stage2.install(str(home), FILES, DIGEST)
            until(lambda: stage2.find(str(home), DIGEST) == FILES)
            list(tidy(str(root)))
            until(lambda: stage2.find(str(home), DIGEST) == FILES)  # if it was put back just now
            experiment.rmdir()
    finally:
        is_over.set()
        for guest in guests:
            guest.join()
    list(tidy(str(root)))
    assert not root.exists()


def test_runtime_is_installed_over_one_that_is_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, rename = tmp_path / "root" / "runtime" / DIGEST, os.rename

    def meet_half_of_another(path: str, new: str) -> None:
        monkeypatch.undo()
        (home / "tune").mkdir(parents=True)
        rename(path, new)

    monkeypatch.setattr(stage2.os, "rename", meet_half_of_another)
    stage2.install(str(home), FILES, DIGEST)
    assert stage2.find(str(home), DIGEST) == FILES
    assert list(home.parent.iterdir()) == [home]


def test_runtime_that_was_away_for_a_moment_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(tmp_path / "root" / "runtime" / DIGEST)
    answers: list[Any] = [ImportError("cannot import name 'processes'"), FileNotFoundError(home), int]

    def load(_: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(stage2, "load", load)
    assert stage2.load_again(home, FILES, DIGEST) is int
    answers[:] = [ImportError("no module named zlib")] * 100  # a Python that lacks it
    with pytest.raises(ImportError, match="zlib"):
        stage2.load_again(home, FILES, DIGEST)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline, "in vain"
