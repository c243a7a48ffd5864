"""Trials of several processes: they learn together, and end together, however it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from example_runs import EXAMPLES, Tune, both_forms, budget, command_of, copy_example, run_example

TENSORFLOW, PYTORCH = "mnist-distributed", "mnist-distributed-pytorch"
FOREVER = "--images 3000 --epochs 100000"
DEADLINE_S = 240

# One at a time: four processes of up to a gigabyte each.
uses_tensorflow = pytest.mark.xdist_group("tensorflow")


@pytest.fixture
def launch() -> ModuleType:
    """The launcher's module, loaded anew."""
    spec = importlib.util.spec_from_file_location("launch", EXAMPLES / TENSORFLOW / "launch.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for `condition` to be true; returns its value."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.1)
    return value


def _started(process: Path) -> int:
    """When, in ticks since the machine started."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0  # it has ended


def processes(home: Path, variable: str) -> dict[str, int]:
    """What runs below the experiments in `home`: the value of an environment variable, and the pid."""
    found = {}
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=_started):
        try:
            words = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # it has ended, or is not ours
        values = dict(word.decode(errors="replace").partition("=")[::2] for word in words)
        is_ours = values.get("TUNE_HOME") == str(home) and variable in values
        if is_ours and state not in "ZX":
            found.setdefault(values[variable], int(folder.name))  # it, not what it may have started
    return found


def place(config: str) -> str:
    task = json.loads(config)["task"]
    return f"{task['type']} {task['index']}"


def only_trial(tune: Tune) -> dict[str, Any]:
    (trial,) = json.loads(tune("trial", "ls", "--json").stdout) or [{}]
    return dict(trial)


def why(tune: Tune) -> str:
    return str(json.loads(tune("trial", "show", "0", "--json").stdout)["reason"])


@pytest.fixture
def endless(tmp_path: Path, tune: Tune, quick: None) -> Iterator[Callable[[str], None]]:
    """`endless(name)`: an example whose one trial goes on for ever, once it has reported."""

    def start(name: str) -> None:
        command = f"{command_of(name, 'config.yml')} {FOREVER}"
        copy_example(name, tmp_path, **budget("config.yml", 1, command))
        tune("create", "config.yml")
        until(lambda: only_trial(tune).get("intermediates"), "the first result")

    yield start
    tune("stop", "--all", status=None)


@uses_tensorflow
@pytest.mark.usefixtures("quick")
@both_forms(TENSORFLOW)
def test_parameter_servers_and_workers_learn(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    command = f"{command_of(name, config)} --images 3600 --epochs 2"
    (trial,) = run_example(name, config, tmp_path, tune, through, **budget(config, 1, command))
    assert trial["state"] == "SUCCEEDED"
    assert trial["intermediates"] == 2
    assert trial["metric"]["test"] > 0.5  # 0.1 is chance


@uses_tensorflow
@pytest.mark.usefixtures("quick")
def test_cluster_without_a_chief_learns(launch: ModuleType, environment: dict[str, str]) -> None:
    """As tf-operator starts a job that has parameter servers and workers only."""
    ports = [launch.reserve_port() for _ in range(3)]
    ps, *workers = [f"127.0.0.1:{port}" for port, _ in ports]
    command = [sys.executable, "train.py", "--images", "3600", "--epochs", "1"]
    jobs = []
    for task, index in (("worker", 0), ("ps", 0), ("worker", 1)):
        config = {"cluster": {"ps": [ps], "worker": workers}, "task": {"type": task, "index": index}}
        jobs.append(
            subprocess.Popen(
                command,
                cwd=EXAMPLES / TENSORFLOW,
                env={**environment, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
    try:
        printed, _ = jobs[0].communicate(timeout=DEADLINE_S)
        assert jobs[0].returncode == 0
        assert [job.poll() for job in jobs[1:]] == [None, None]  # who serves goes on until it is ended
    finally:
        for job in jobs:
            job.kill()
            job.communicate()
        for _, reservation in ports:
            reservation.close()
    final = json.loads(re.findall(r"final result: (.*)", printed)[0])
    assert final["test"] > 0.3


@pytest.mark.usefixtures("quick")
@both_forms(PYTORCH)
def test_data_are_shared_and_results_the_same(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    command = f"{command_of(name, config)} --images 3600 --epochs 2"
    (trial,) = run_example(name, config, tmp_path, tune, through, **budget(config, 1, command))
    assert trial["state"] == "SUCCEEDED"
    assert trial["intermediates"] == 2
    printed = tune("log", "trial", "0").stdout
    lines = re.findall(r"rank (\d) of 2: (\d+) images, (\d+) first; accuracy (\S+); weights (\S+)", printed)
    (rank, images, first, *same), (other_rank, other_images, other_first, *same_again) = lines
    assert {rank, other_rank} == {"0", "1"}
    assert images == other_images
    assert first != other_first
    assert same == same_again
    assert float(same[0]) == trial["metric"]["default"]


@uses_tensorflow
def test_killed_worker_of_tensorflow_fails_the_trial(
    endless: Callable[[str], None], tmp_path: Path, tune: Tune
) -> None:
    endless(TENSORFLOW)
    members = {place(key): pid for key, pid in processes(tmp_path / "home", "TF_CONFIG").items()}
    assert set(members) == {"chief 0", "ps 0", "worker 0", "worker 1"}
    os.kill(members["worker 1"], signal.SIGKILL)
    tune("view")
    assert only_trial(tune)["state"] == "FAILED"
    assert "launch: worker 1 failed with SIGKILL, so the others were ended" in why(tune)
    assert processes(tmp_path / "home", "TUNE_TRIAL_ID") == {}


def test_killed_rank_of_pytorch_fails_the_trial(
    endless: Callable[[str], None], tmp_path: Path, tune: Tune
) -> None:
    endless(PYTORCH)
    ranks = processes(tmp_path / "home", "RANK")
    assert set(ranks) == {"0", "1"}
    os.kill(ranks["1"], signal.SIGKILL)
    tune("view")
    assert only_trial(tune)["state"] == "FAILED"
    assert re.search(r"rank +: 1 .*\n.*SIGKILL", why(tune))
    assert processes(tmp_path / "home", "TUNE_TRIAL_ID") == {}


def test_ranks_of_a_trial_that_the_user_ends_are_gone(
    endless: Callable[[str], None], tmp_path: Path, tune: Tune
) -> None:
    endless(PYTORCH)
    tune("trial", "kill", "0")
    tune("view")
    assert only_trial(tune)["state"] == "USER_CANCELED"
    assert processes(tmp_path / "home", "TUNE_TRIAL_ID") == {}


# The launcher alone, with members that take no seconds to start.

MEMBER = """
import json, os, signal, sys
config = json.loads(os.environ["TF_CONFIG"])
print(json.dumps([os.getpid(), config]) + "\\n", end="", flush=True)
task = config["task"]
if task["type"] == "chief" and "chief" in sys.argv:
    sys.stdin.readline()
    sys.exit()
if task == {"type": "worker", "index": 1} and "fails" in sys.argv:
    sys.stdin.readline()
    sys.exit(7)
signal.pause()
"""


def launched(*words: str, cwd: Path) -> tuple[subprocess.Popen[str], dict[str, int], dict[str, list[str]]]:
    """A launcher whose four members have started; their pids, and the cluster that each was told."""
    member = [sys.executable, "-c", MEMBER, *words]
    launcher = subprocess.Popen(
        [sys.executable, EXAMPLES / TENSORFLOW / "launch.py", "--ps", "1", "--workers", "2", *member],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout
    told = [json.loads(launcher.stdout.readline()) for _ in range(4)]
    clusters = [config["cluster"] for _, config in told]
    assert clusters == [clusters[0]] * 4
    return launcher, {place(json.dumps(config)): pid for pid, config in told}, clusters[0]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_launcher_gives_each_member_its_place(tmp_path: Path) -> None:
    launcher, members, cluster = launched("chief", cwd=tmp_path)
    _, errors = launcher.communicate("\n", timeout=DEADLINE_S)
    assert set(members) == {"chief 0", "ps 0", "worker 0", "worker 1"}
    assert {task: len(addresses) for task, addresses in cluster.items()} == {"chief": 1, "ps": 1, "worker": 2}
    addresses = [address for each in cluster.values() for address in each]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in addresses)
    assert len(set(addresses)) == 4
    assert (launcher.returncode, errors) == (0, "")  # the chief was done
    assert [pid for pid in members.values() if is_alive(pid)] == []


@pytest.mark.parametrize("words", [(), ("--workers", "0", "true"), ("--ps", "0", "true")])
def test_launcher_refuses_what_would_wait_for_ever(words: tuple[str, ...]) -> None:
    command = [sys.executable, EXAMPLES / TENSORFLOW / "launch.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert "launch.py: error: " in done.stderr


def test_launcher_names_the_member_that_failed(tmp_path: Path) -> None:
    launcher, members, _ = launched("fails", cwd=tmp_path)
    _, errors = launcher.communicate("\n", timeout=DEADLINE_S)
    assert launcher.returncode == 1
    assert errors == "launch: worker 1 failed with exit status 7, so the others were ended\n"
    assert [pid for pid in members.values() if is_alive(pid)] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_launcher_that_is_told_to_end_ends_all(tmp_path: Path, number: signal.Signals) -> None:
    launcher, members, _ = launched(cwd=tmp_path)
    launcher.send_signal(number)
    _, errors = launcher.communicate(timeout=DEADLINE_S)
    assert launcher.returncode == 1
    assert errors == f"launch: told to end by {number.name}\n"
    assert [pid for pid in members.values() if is_alive(pid)] == []


def test_members_deaf_to_sigterm_are_killed(launch: ModuleType) -> None:
    launch.GRACE_S = 0.1
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
    deaf += "time.sleep(600)"
    member = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert member.stdout
    member.stdout.readline()
    launch.end_all([member])
    member.stdout.close()
    assert member.returncode == -signal.SIGKILL


@pytest.fixture
def members(tmp_path: Path, tune: Tune) -> Iterator[dict[str, int]]:
    """The pids of the four members of a trial that runs."""
    (tmp_path / "member.py").write_text(MEMBER, encoding="utf-8")
    command = "python launch.py --ps 1 --workers 2 python member.py"
    copy_example(TENSORFLOW, tmp_path, **budget("config.yml", 1, command))
    tune("create", "config.yml")
    until(lambda: len(processes(tmp_path / "home", "TF_CONFIG")) == 4, "four members")
    yield processes(tmp_path / "home", "TF_CONFIG")
    tune("stop", "--all", status=None)


def test_trial_whose_launcher_is_killed_leaves_nothing(
    members: dict[str, int], tmp_path: Path, tune: Tune
) -> None:
    stat = Path(f"/proc/{min(members.values())}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)  # the parent of a member
    tune("view")
    assert only_trial(tune)["state"] == "FAILED"
    assert processes(tmp_path / "home", "TUNE_TRIAL_ID") == {}


def test_members_of_a_trial_that_the_user_ends_are_gone(
    members: dict[str, int], tmp_path: Path, tune: Tune
) -> None:
    tune("trial", "kill", "0")
    tune("view")
    assert only_trial(tune)["state"] == "USER_CANCELED"
    assert processes(tmp_path / "home", "TUNE_TRIAL_ID") == {}


def test_port_that_a_launcher_holds_is_not_given_again(
    launch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, reservation = launch.reserve_port()
    drawn = iter([first, first, *range(first + 1, first + 50)])
    monkeypatch.setattr(launch.random, "randrange", lambda *bounds: next(drawn))
    second, other = launch.reserve_port()
    assert second != first
    reservation.close()
    other.close()
