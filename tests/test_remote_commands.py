"""The commands about what is on other machines, on two real ones: logs, files, and what is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ssh_hosts import Host, Laboratory, await_that

Tune = Callable[..., subprocess.CompletedProcess[str]]

TRIAL = """
import os, pathlib, sys, time, tune
print("begins", flush=True)
print("a warning", file=sys.stderr, flush=True)
pathlib.Path(tune.get_output_dir(), "model.bin").write_bytes(bytes(300_000))
pathlib.Path(tune.get_checkpoint_dir(), "step").write_text("7")
tune.report_intermediate_result(os.getpid())
while not pathlib.Path("/tmp/release").exists():
    time.sleep(0.02)
print("ends")
tune.report_final_result(0.5)
"""


@pytest.fixture
def hosts(laboratory: Laboratory, environment: dict[str, str]) -> Iterator[list[Host]]:
    hosts = [laboratory.add() for _ in range(2)]
    with laboratory.entered():
        environment |= {"HOME": str(laboratory.home)}
        yield hosts


@pytest.fixture
def project(hosts: list[Host], tmp_path: Path) -> Path:
    code = tmp_path / "code"
    code.mkdir()
    (code / "trial.py").write_text(TRIAL)
    config = {
        "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
        "trialCommand": "python3 trial.py",
        "trialCodeDirectory": str(code),
        "trialConcurrency": 2,
        "maxTrialNumber": 2,
        "tuner": {"name": "Random"},
        "trainingService": {
            "platform": "remote",
            "machineList": [host.machine(trialConcurrency=1) for host in hosts],
            "killGrace": 1,
        },
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))
    return tmp_path


def shown(tune: Tune) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(tune("platform", "show", "config.yml", "--json").stdout)
    return rows


def both_run(tune: Tune) -> list[dict[str, Any]]:
    """The two trials, once each has reported its pid."""

    def look() -> list[dict[str, Any]]:
        trials = json.loads(tune("trial", "ls", "--json").stdout)
        return [each for each in trials if each["last_value"] is not None]

    return list(await_that(lambda: len(found := look()) == 2 and found, "two trials that run"))


def release(hosts: list[Host]) -> None:
    for host in hosts:
        host.run("touch", "/tmp/release")


def test_what_is_on_machines_is_read_fetched_and_removed(
    project: Path, hosts: list[Host], tune: Tune, environment: dict[str, str]
) -> None:
    name = json.loads(tune("create", "config.yml", "--json").stdout)["id"]
    both_run(tune)

    assert tune("log", "trial", "0").stdout == "begins\n"
    assert tune("log", "trial", "0", "--stderr").stdout == "a warning\n"
    tune("trial", "fetch", "1")
    assert (project / "trial-1" / "output" / "model.bin").stat().st_size == 300_000
    assert (project / "trial-1" / "checkpoint" / "step").read_text() == "7"

    rows = shown(tune)
    assert [(row["experiment"], row["running"], row["managed"]) for row in rows] == [(name, 1, True)] * 2
    refused = tune("platform", "clean", "config.yml", "--yes", status=1)
    assert refused.stderr == "tune: nothing was removed\n  --force also removes what a manager runs\n"

    following = subprocess.Popen(
        [sys.executable, "-m", "tune_core", "log", "trial", "1", "--follow"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with following as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        release(hosts)
        assert process.stdout.read() == "ends\n"  # and it ends with the trial
    await_that(lambda: tune("experiment", "status").stdout == "DONE\n", "the end")

    for row in await_that(
        lambda: not any(row["managed"] for row in shown(tune)) and shown(tune), "it to let go"
    ):
        assert (row["experiment"], row["running"], row["problem"]) == (name, 0, "")
        assert row["size"] > 300_000
    tune("experiment", "delete", name, "--yes")
    expect_nothing_left(hosts)


def test_experiment_without_a_record_is_removed_by_its_configuration(
    project: Path, hosts: list[Host], tune: Tune
) -> None:
    """Its manager was killed, its folder is gone, and its trials run."""
    tune("create", "config.yml")
    both_run(tune)
    folder = Path(json.loads(tune("experiment", "show", "--json").stdout)["directory"])
    os.kill(json.loads((folder / "lock").read_bytes().rstrip(b"\0 "))["pid"], 9)
    subprocess.run(["rm", "-r", str(folder)], check=True)
    await_that(
        lambda: [row["running"] for row in shown(tune) if not row["managed"]] == [1, 1], "it to be nobody's"
    )
    done = tune("platform", "clean", "config.yml", "--yes")
    assert done.stdout.splitlines()[-1].startswith("removed 1 experiment on 2 machines")
    assert done.stdout.splitlines()[-1].endswith("ending 2 trials")
    expect_nothing_left(hosts)


def test_machine_that_cannot_be_reached_is_not_forgotten(
    project: Path, hosts: list[Host], tune: Tune
) -> None:
    release(hosts)
    tune("run", "config.yml")
    hosts[1].stop_sshd(sessions=True)
    assert [bool(row["problem"]) for row in shown(tune)] == [False, True]
    name = json.loads(tune("experiment", "show", "--json").stdout)["id"]
    refused = tune("experiment", "delete", name, "--yes", status=5)
    assert hosts[1].address in refused.stderr
    assert f"--force deletes experiment {name} all the same" in refused.stderr
    hosts[1].start_sshd()
    tune("experiment", "delete", name, "--yes")
    expect_nothing_left(hosts)


def expect_nothing_left(hosts: list[Host]) -> None:
    """No file of tune in the homes; no process either, once the one that cleaned has ended."""
    assert [path for host in hosts for path in host.home.glob("tune-trials*")] == []
    words = ("tune", "trial.py")
    await_that(
        lambda: (
            not any(word in each.command for host in hosts for each in host.processes() for word in words)
        ),
        "that nothing is left",
    )
