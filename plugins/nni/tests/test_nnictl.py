"""Every command of nnictl, on an experiment that was run before."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from tune_nni.nnictl import main
from tune_nni.nnictl.frame import group

from tune_core.cli import main as tune

SPACE = {"x": {"_type": "choice", "_value": [1, 2, 3]}}
CONFIG = {
    "searchSpace": SPACE,
    "trialCodeDirectory": ".",
    "trialConcurrency": 3,
    "maxTrialNumber": 3,
    "tuner": {"name": "GridSearch"},
    "trainingService": {"platform": "local"},
}
REPORT = "import nni; x = nni.get_next_parameter()['x']; nni.report_intermediate_result(x - 1); {more}"
QUICK = REPORT.format(more="nni.report_final_result({'default': x, 'square': x * x})")
ENDLESS = REPORT.format(more="import time; time.sleep(600)")


def config_of(folder: Path, code: str) -> Path:
    (folder / "trial.py").write_text(code)
    (folder / "space.json").write_text(json.dumps(SPACE))
    file = folder / "config.json"
    command = f"{sys.executable} trial.py"
    file.write_text(json.dumps({**CONFIG, "trialCommand": command, "trialCodeDirectory": str(folder)}))
    return file


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an experiment `abcd1234` that is done."""
    folder = tmp_path_factory.mktemp("nnictl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNE_HOME", str(folder / "home"))
        assert tune(["run", str(config_of(folder, QUICK)), "--id", "abcd1234", "--quiet"]) == 0
        (folder / "known.json").write_text(json.dumps([{"parameter": {"x": 1}, "value": 1}]))
        patch.chdir(folder)
        yield folder


OVER = "is not running"
NO_PAGE = "there is no web page"
PACKAGES = "algorithms are packages: `pip install` one"
TABLE: list[tuple[str, int, str]] = [
    ("--version", 0, r"^3\.0 \(tune \d"),
    ("-v", 0, r"^3\.0 \(tune \d"),
    ("create", 2, "Missing option '--config'"),
    ("create --config missing.yml", 1, "missing.yml"),
    ("resume nothing", 1, "no experiment 'nothing'"),
    ("resume abcd1234 --foreground --port 8081 --debug", 0, "--port is not used: there is no web page"),
    ("view abcd1234 --port 8080", 0, "3/3 trials, best 3"),
    ("view abcd1234 --experiment_dir home", 0, "3/3 trials, best 3"),
    ("stop", 0, "no experiment is running"),
    ("stop abcd1234", 0, OVER),
    ("stop abc*", 0, OVER),
    ("stop nothing", 1, "no experiment 'nothing'"),
    ("stop nothing*", 1, "no such experiment: nothing"),
    ("stop all", 0, "no experiment is running"),
    ("stop --all", 0, "no experiment is running"),
    ("update searchspace abcd1234 --filename space.json", 0, "will search the space"),
    ("update searchspace", 2, "Missing option '--filename'"),
    ("update concurrency abcd1234 --value 2", 0, "abcd1234 was changed"),
    ("update duration abcd --value 2h", 0, "abcd1234 was changed"),
    ("update trialnum -v 3", 0, "abcd1234 was changed"),
    ("update trialnum -v none", 1, "none"),
    ("trial ls --head 1 --tail 1", 2, "give --head or --tail"),
    ("trial kill --trial_id 0", 1, ""),
    ("trial kill", 2, "Missing option '--trial_id'"),
    ("trial codegen -T 0", 1, "annot"),
    ("top --time 1", 0, "no experiment is running"),
    ("experiment show", 0, '"id": "abcd1234"'),
    ("experiment status ab", 0, '"status": "DONE"'),
    ("experiment list", 0, "Id: abcd1234    Name: N/A    Status: DONE    Port: N/A    Platform: local"),
    ("experiment list --all", 0, r"StartTime: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d    EndTime: \d{4}/"),
    ("experiment import --filename known.json", 1, "has no running manager"),
    ("experiment export --filename out.json --type xml", 2, "'json', 'csv'"),
    ("experiment export -f out.json", 2, "Missing option '--type'"),
    ("experiment delete", 2, "give the id of an experiment, or --all"),
    ("experiment delete nothing", 1, "no experiment 'nothing'"),
    ("experiment save", 1, "pack it: tar czf abcd1234.tgz"),
    ("experiment save abcd1234 --path . --saveCodeDir", 1, "pack it: tar czf abcd1234.tgz"),
    ("experiment load --path a.zip --codeDir .", 1, "unpack it into"),
    ("platform clean", 2, "Missing option '--config'"),
    ("config show", 0, '"trialCommand"'),
    ("log stdout --tail 1", 0, r"\A[^\n]+\n\Z"),
    ("log stdout --head 1", 0, r"\A[^\n]+\n\Z"),
    ("log stderr --path", 0, r"abcd1234/log/manager\.stderr"),
    ("log trial -T 0", 0, r"home/abcd1234/trials/\w{5}/0"),
    ("webui url", 1, NO_PAGE),
    ("webui nas --port 6060 --logdir .", 1, NO_PAGE),
    ("tensorboard start --trial_id 0 --port 6006", 1, "tensorboard --logdir .*/abcd1234/trials"),
    ("tensorboard stop", 1, "Ctrl-C ends it"),
    ("package install --name=SMAC", 1, PACKAGES),
    ("package uninstall x", 1, PACKAGES),
    ("package list --all", 0, "GridSearch"),
    ("package show GridSearch", 0, "tune-grid"),
    ("algo register --meta_path meta.yml", 1, PACKAGES),
    ("algo unregister x", 1, PACKAGES),
    ("algo list", 0, "GridSearch"),
    ("algo show tune-grid", 0, "GridSearch"),
    ("trainingservice register --package x", 1, "platforms are packages"),
    ("trainingservice unregister --package x", 1, "platforms are packages"),
    ("trainingservice list", 0, "local"),
    ("ss_gen --trial_command true", 1, "ended with 0 and wrote no search space"),
    ("jupyter-extension install", 1, "there is no extension"),
    ("jupyter-extension uninstall", 1, "there is no extension"),
    ("unheard", 2, "No such command 'unheard'"),
]


@pytest.mark.parametrize(("words", "code", "text"), TABLE, ids=[row[0] for row in TABLE])
def test_nnictl_answers(
    done: Path, capfd: pytest.CaptureFixture[str], words: str, code: int, text: str
) -> None:
    assert main(words.split()) == code
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    assert re.search(text, said.out if code == 0 and re.search(text, said.out) else said.err)


def test_every_command_is_in_the_table() -> None:
    mine = {tuple(words.split()[:2]) for words, *_ in TABLE}
    elsewhere = {("hello",)}

    def names(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                yield from names(inner, (*path, name))
        else:
            yield path

    missing = [path for path in names(group()) if not any(each[: len(path)] == path for each in mine)]
    assert set(missing) == elsewhere


def printed(capfd: pytest.CaptureFixture[str], *words: str) -> Any:
    capfd.readouterr()
    assert main(words) == 0
    return json.loads(capfd.readouterr().out)


def test_trial_ls_ranks_by_result(done: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def values(*words: str) -> list[int]:
        jobs = printed(capfd, "trial", "ls", *words)
        return [json.loads(json.loads(each["finalMetricData"][0]["data"]))["default"] for each in jobs]

    assert values() == [1, 2, 3]
    assert values("--head", "2") == [3, 2]
    assert values("--tail", "1") == [1]
    (job,) = printed(capfd, "trial", "ls", "--tail", "1")
    assert len(job["trialJobId"]) == 5
    assert job["sequenceId"] == 0
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", job["startTime"])
    assert json.loads(job["hyperParameters"][0])["parameters"] == {"x": 1}


def test_list_is_read_from_its_end(done: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "list"]) == 0
    # As `tail -4 | head -1` does, which scripts found the newest experiment with.
    newest = capfd.readouterr().out.splitlines()[-4]
    assert newest.split("Status: ")[1].split(" ")[0] == "DONE"
    assert newest.split()[1] == "abcd1234"


def test_show_and_status_have_nnis_keys(done: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown = printed(capfd, "experiment", "show", "abcd1234")
    assert shown["id"] == "abcd1234"
    assert shown["params"]["maxTrialNumber"] == 3
    assert {"execDuration", "logDir", "nextSequenceId", "startTime", "endTime", "counts"} <= set(shown)
    assert printed(capfd, "experiment", "status") == {
        "status": "DONE",
        "reason": shown["reason"],
        "errors": [],
    }


def test_export_writes_both_forms(done: Path) -> None:
    assert main(["experiment", "export", "abc", "-f", "out.json", "-t", "json", "-i"]) == 0
    first = json.loads((done / "out.json").read_text())[0]
    assert first["parameter"] == {"x": 1}
    assert first["value"] == {"default": 1, "square": 1}
    assert first["intermediate"] == [0]
    assert main(["experiment", "export", "--filename", "out.csv", "--type", "csv"]) == 0
    rows = list(csv.DictReader((done / "out.csv").read_text().splitlines()))
    assert [set(row) for row in rows] == [{"x", "default", "square", "trialJobId"}] * 3


def test_hello_writes_an_example_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["hello"]) == 0
    assert sorted(path.name for path in (tmp_path / "nni_hello_hpo").iterdir()) == [
        "config.yml",
        "search_space.yml",
        "trial.py",
    ]
    assert main(["hello"]) == 1


def test_ss_gen_keeps_what_the_trial_writes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "space.json"
    words = ["--trial_command", 'echo "{}" > "$NNI_GEN_SEARCH_SPACE"', "--file", str(target)]
    assert main(["ss_gen", "--trial_dir", str(tmp_path), *words]) == 0
    assert target.read_text() == "{}\n"


def test_create_goes_on_in_the_background_until_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    file = config_of(tmp_path, ENDLESS)
    assert main(["create", "--config", str(file), "--port", "8080"]) == 0
    said = capfd.readouterr()
    (folder,) = (tmp_path / "home").iterdir()
    assert f"The experiment id is {folder.name}\n" in said.out
    assert "--port is not used" in said.err
    try:
        deadline = time.monotonic() + 90
        while not (jobs := [each for each in printed(capfd, "trial", "ls") if each["status"] == "RUNNING"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert main(["trial", "kill", "--trial_id", jobs[0]["id"]]) == 0
        assert main(["update", "concurrency", "--value", "2"]) == 0
        assert main(["experiment", "import", "-f", _known(tmp_path)]) == 0
        assert main(["stop", folder.name[:4] + "*"]) == 0
    finally:
        subprocess.run([sys.executable, "-m", "tune_core", "stop", "--all"], env=dict(os.environ), check=True)
    assert printed(capfd, "experiment", "status")["status"] == "STOPPED"
    assert main(["experiment", "list"]) == 0
    assert capfd.readouterr().out == "There is no experiment running...\n"
    assert main(["experiment", "delete", folder.name]) == 0
    assert not folder.exists()


def _known(folder: Path) -> str:
    (folder / "known.json").write_text(json.dumps([{"parameter": {"x": 1}, "value": 1}]))
    return str(folder / "known.json")
