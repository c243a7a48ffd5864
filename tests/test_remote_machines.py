"""Machines are not all alike: their shells, their Pythons, their clocks, their homes."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ssh_campaign import Campaign, Make
from ssh_hosts import PASSWORD, Laboratory, await_that, can_isolate

pytestmark = pytest.mark.skipif(not can_isolate(), reason="platform: needs root and network namespaces")

TALK = "echo Welcome to the cluster; echo stderr >&2; printf 'no newline'; export FROM_BASHRC=1\n"
PYTHONS = sorted(
    {
        str(path.resolve())
        for folder in ("/usr/bin", "/usr/local/bin")
        for path in Path(folder).glob("python3*")
    }
)


def run_some(lab: Campaign) -> None:
    lab.finish()
    lab.check()
    assert set(lab.attempts()) == {0}


@pytest.mark.parametrize("shell", ["bash", "dash", "fish", "tcsh", "zsh"])
def test_login_shell_may_be(shell: str, laboratory: Laboratory, campaign: Make) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    host = laboratory.add(shell=path)
    lab = campaign([host.machine()], trials=2, concurrency=2)
    run_some(lab)
    lab.check_nothing_stays(host)


def test_login_shell_may_be_talkative(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add(bashrc=TALK)
    lab = campaign(
        [host.machine()], trials=2, concurrency=2, command='test "$FROM_BASHRC" = 1 && python3 trial.py'
    )
    run_some(lab)
    lab.check_nothing_stays(host)


def test_login_shell_that_ends_says_so(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add(shell="/bin/false")
    lab = campaign([host.machine()], trials=2, concurrency=2)
    assert lab.manage().wait(timeout=120) != 0
    assert "its login shell ended at once" in lab.errors()


@pytest.mark.parametrize(
    ("place", "changes", "command"),
    [
        ("/opt/here", {"pythonPath": "/opt/here/bin"}, "python3 trial.py"),
        ("/opt/here", {"pythonPath": "/opt/here/bin/python3"}, "/opt/here/bin/python3 trial.py"),
        ("/opt/here", {"preCommand": "export PATH=/opt/here/bin:$PATH"}, "python3 trial.py"),
        ("/opt/conda", {}, "/opt/conda/bin/python3 trial.py"),
    ],
    ids=["folder", "executable", "preCommand", "well-known place"],
)
def test_python_may_be_elsewhere(
    place: str, changes: dict[str, Any], command: str, laboratory: Laboratory, campaign: Make
) -> None:
    host = laboratory.add(hidden=PYTHONS, folders={place: Path(sys.base_prefix)})
    lab = campaign([host.machine(**changes)], trials=2, concurrency=2, command=command)
    run_some(lab)
    lab.check_nothing_stays(host)


def test_missing_python_says_how_to_name_one(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add(hidden=PYTHONS)
    lab = campaign([host.machine()], trials=2, concurrency=2)
    assert lab.manage().wait(timeout=120) != 0
    assert "pythonPath" in lab.errors()
    assert "Traceback" not in lab.errors()


def test_failing_precommand_says_so(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add()
    lab = campaign([host.machine(preCommand="conda activate none")], trials=2, concurrency=2)
    assert lab.manage().wait(timeout=120) != 0
    assert "preCommand" in lab.errors()
    assert "Traceback" not in lab.errors()


@pytest.mark.parametrize("clock", ["+2h", "-3d"])
def test_clock_may_be_wrong(clock: str, laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add(clock=clock), laboratory.add()]
    began = time.time()
    machines = [host.machine(trialConcurrency=2) for host in hosts]
    lab = campaign(machines, trials=4, concurrency=4, steps=(4,), step_s=0.25)
    lab.leave.give(0)
    manager = lab.manage()
    await_that(lambda: lab.running() == 4, "four trials running")
    lab.finish(manager)
    lab.check()
    assert set(lab.attempts()) == {0}
    with lab.record() as record:
        metrics = [each for trial in record.trials() for each in record.metrics(trial.sequence)]
        spans = [(trial.duration_s or 0) for trial in record.trials()]
    assert len(metrics) == 20
    assert all(began - 2 < each.time < time.time() + 2 for each in metrics)
    assert all(1 <= span < 600 for span in spans)
    assert {note.host for note in lab.history()} == {host.name for host in hosts}
    lab.check_nothing_stays(*hosts)


def bulky_code() -> dict[str, bytes]:
    return {f"data{number}.bin": bytes([number]) * 100_000 for number in range(40)}


def test_home_may_be_shared(laboratory: Laboratory, campaign: Make) -> None:
    home = laboratory.directory / "common"
    hosts = [laboratory.add(home=home) for _ in range(3)]
    machines = [host.machine(trialConcurrency=2) for host in hosts]
    lab = campaign(machines, trials=12, concurrency=6, code=bulky_code())
    lab.leave.give(0)
    manager = lab.manage()
    await_that(lambda: lab.running() == 6, "two trials on each")
    lab.finish(manager)
    lab.check()
    assert set(lab.attempts()) == {0}
    assert {note.host for note in lab.history()} == {host.name for host in hosts}
    lab.check_nothing_stays(*hosts)


def test_trials_end_on_all_hosts_that_share_a_home(laboratory: Laboratory, campaign: Make) -> None:
    home = laboratory.directory / "common"
    hosts = [laboratory.add(home=home) for _ in range(3)]
    machines = [host.machine(trialConcurrency=2) for host in hosts]
    lab = campaign(machines, trials=6, concurrency=6, code=bulky_code())
    lab.leave.give(0)
    manager = lab.manage()
    await_that(lambda: lab.running() == 6, "six trials running")
    assert {note.host for note in lab.history()} == {host.name for host in hosts}
    lab.kill(manager)
    lab.check_nothing_stays(*hosts, force=True)  # which says to end what runs


def test_visit_leaves_nothing_where_nothing_was(laboratory: Laboratory, campaign: Make) -> None:
    hosts = [laboratory.add() for _ in range(2)]
    lab = campaign([host.machine() for host in hosts], trials=2, concurrency=2)
    lab.check_nothing_stays(*hosts)  # which has never run


GPUS = """#!/usr/bin/env python3
import os, sys
if sys.argv[1].startswith("--query-gpu"):
    with open("/opt/gpus/count") as file:
        print("\\n".join(f"{number}, GPU-{number}abc" for number in range(int(file.read()))))
for pid in filter(str.isdigit, os.listdir("/proc")) if "apps" in sys.argv[1] else ():
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = (each.partition("=") for each in file.read().decode().split("\\0"))
            environment = {name: value for name, _, value in pairs}
    except OSError:
        continue
    if "TUNE_TRIAL_ID" in environment:
        for number in environment["CUDA_VISIBLE_DEVICES"].split(","):
            print(f"GPU-{number}abc, {pid}")
"""
NOTED = 'note() { echo "$1 $(hostname) $CUDA_VISIBLE_DEVICES" >> "$JOURNAL.gpus"; }; note +; '
NOTED += "python3 trial.py; status=$?; note -; exit $status"


def test_gpus_are_given_to_one_trial_each(laboratory: Laboratory, campaign: Make) -> None:
    hosts = []
    for count in (2, 3):
        folder = laboratory.directory / f"gpus{count}"
        folder.mkdir()
        (folder / "count").write_text(str(count))
        (folder / "nvidia-smi").write_text(GPUS)
        (folder / "nvidia-smi").chmod(0o755)
        hosts.append(laboratory.add(folders={"/opt/gpus": folder}))
    path = "export PATH=/opt/gpus:$PATH"
    machines = [
        hosts[0].machine(preCommand=path),
        hosts[1].machine(preCommand=f"{path} CUDA_VISIBLE_DEVICES=GPU-1a"),  # one of its three
    ]
    lab = campaign(machines, trials=9, concurrency=6, gpus=1, command=NOTED)
    lab.leave.give(0)
    manager = lab.manage()
    await_that(lambda: lab.running() == 3, "a trial on each GPU")
    await_that(lambda: lab.trouble().count("is held by trial") >= 3, "that others wait for them")
    assert f"{hosts[1].address} waits for 1 GPU, 0 free: GPU 1 is held by trial" in lab.trouble()
    lab.kill(manager)
    lab.finish()
    lab.check()
    assert set(lab.attempts()) == {0}
    lines = (laboratory.shared / "journal.gpus").read_text().splitlines()
    held: set[str] = set()
    for what, gpu in (line.split(" ", 1) for line in lines):
        assert (what == "-") == (gpu in held), lines
        held ^= {gpu}
    assert {line.split(" ", 1)[1] for line in lines} == {"h1 0", "h1 1", "h2 1"}
    assert len(lines) == 2 * 9
    lab.check_nothing_stays(*hosts)


def test_folder_may_have_an_odd_name(laboratory: Laboratory, campaign: Make) -> None:
    host = laboratory.add()
    lab = campaign([host.machine(directory='~/it\'s $HOME\\n; "tune" é')], trials=2, concurrency=2)
    run_some(lab)
    lab.check_nothing_stays(host)


def test_password_is_all_it_takes(
    laboratory: Laboratory, campaign: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    host = laboratory.add()
    lab = campaign([host.machine(sshKeyFile=None, password="${env:TEST_PASSWORD}")], trials=2, concurrency=2)
    run_some(lab)
    lab.check_nothing_stays(host)
    for path in laboratory.directory.rglob("*"):
        if path.is_file() and host.etc not in path.parents:
            assert PASSWORD.encode() not in path.read_bytes(), path
