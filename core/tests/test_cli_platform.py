"""`tune platform` and what deletes: shown before it is asked about, and never a running experiment's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tune_core.cli import main
from tune_core.config import load_config
from tune_core.experiment.assemble import create
from tune_core.plugins import plugins
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.lock import ManagerLock

Install = Callable[..., None]

HOOKS = """
@hookimpl
def tune_training_services():
    yield Driver("shelf", "{module}.things:Shelf", summary="Keeps things in a folder")

@hookimpl
def tune_tuners():
    yield Driver("Echo", "{module}.things:Echo")
"""
THINGS = """
import shutil
from pathlib import Path

from tune_core import Leftover, TrainingService, Tuner
from tune_core.config import ConfigModel


class Echo(Tuner):
    default_optimize_mode = "minimize"
    def update_search_space(self, search_space): self.space = search_space
    def generate_parameters(self, parameter_id): return self.space.at(0)
    def receive_trial_result(self, parameter_id, parameters, value): pass


class Shelf(TrainingService):
    \"\"\"<shelf>/<machine>/<experiment>/: files, and empty ones called `trial`, `managed`, `nailed`, and
    `clean` or `survey` where it is managed until it is cleaned, or looked at.\"\"\"

    class Config(ConfigModel):
        shelf: str

    def __init__(self, config): self.shelf = Path(config.shelf)
    async def open(self, context): pass
    async def submit(self, attempt): pass
    async def adopt(self, attempt, identity, last_sequence): pass
    async def cancel(self, key): pass
    async def close(self): pass

    def _look(self, path, problem=""):
        files = [each for each in path.iterdir()]
        size = sum(each.stat().st_size for each in files)
        marks = {each.name for each in files}
        return Leftover(
            path.parent.name, path.name, size, int("trial" in marks), "managed" in marks, problem
        )

    def _let_go(self, path, when):
        if (path / when).exists():
            (path / "managed").unlink(missing_ok=True)

    async def survey(self):
        found = []
        for path in sorted(self.shelf.glob("*/*")):
            found.append(self._look(path))
            self._let_go(path, "survey")
        return found + [Leftover("far", "", problem="cannot be reached")] * (self.shelf / "far").exists()

    async def clean(self, experiments=None, *, force=False):
        far = self.shelf / "far"
        left = [Leftover("far", "", problem="cannot be reached")] * far.exists()
        for path in sorted(self.shelf.glob("*/*")):
            if experiments is not None and path.name not in experiments:
                continue
            if (path / "nailed").exists():
                left.append(self._look(path, "it is nailed down"))
            elif (path / "managed").exists() and not force:
                left.append(self._look(path, "a manager has it"))
                self._let_go(path, "clean")
            else:
                shutil.rmtree(path)
        return left
"""
CONFIG = """
searchSpace: {x: {_type: uniform, _value: [0, 1]}}
trialCommand: "true"
trialConcurrency: 1
tuner: {name: Echo}
trainingService: {platform: shelf, shelf: SHELF}
"""


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Install) -> Iterator[Path]:
    install("shelf", HOOKS, THINGS)
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "shelf")
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    plugins.cache_clear()
    shelf = tmp_path / "shelf"
    (tmp_path / "config.yml").write_text(CONFIG.replace("SHELF", str(shelf)))
    for place in ("a/first", "a/second", "b/first"):
        (shelf / place).mkdir(parents=True)
        (shelf / place / "file").write_text("x" * 2048)
    yield shelf
    plugins.cache_clear()


@pytest.fixture
def first(shelf: Path) -> ExperimentDirectory:
    """The experiment `first`, of which no manager runs."""
    return create(load_config(shelf.parent / "config.yml"), "first")[0]


def there(shelf: Path) -> list[str]:
    return sorted(str(path.relative_to(shelf)) for path in shelf.glob("*/*"))


def test_platform_shows_what_is_on_each_machine(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "b" / "first" / "trial").touch()
    assert main(["platform", "show", "config.yml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "MACHINE  EXPERIMENT  SIZE   RUNNING  MANAGED  PROBLEM",
        "a        first       2 KiB",
        "a        second      2 KiB",
        "b        first       2 KiB  1",
    ]
    assert main(["platform", "show", "config.yml", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[2] == {
        "machine": "b", "experiment": "first", "size": 2048, "running": 1, "managed": False, "problem": "",
    }  # fmt: skip


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("named", [[], ["first"], ["config.yml"]], ids=["newest", "experiment", "config"])
def test_platform_is_named_by_file_or_experiment(
    named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["platform", "show", *named, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_machine_that_cannot_be_looked_at_is_shown(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "far").mkdir()
    assert main(["platform", "show", "config.yml"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split(maxsplit=1) == ["far", "cannot be reached"]


def test_nothing_is_removed_without_an_answer(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert main(["platform", "clean", "config.yml"]) == 1
    captured = capsys.readouterr()
    assert "second" in captured.out  # it was shown first
    assert captured.err == "tune: nothing was removed\n"
    assert len(there(shelf)) == 3


def test_configuration_cleans_everything(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "a" / "first" / "trial").touch()
    assert main(["platform", "clean", "config.yml", "--yes"]) == 0
    assert there(shelf) == []
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "removed 2 experiments on 2 machines (6 KiB), ending 1 trial"
    assert main(["platform", "clean", "config.yml", "--yes"]) == 0
    assert capsys.readouterr().out == "there is nothing to remove\n"


def test_machine_that_cannot_be_reached_is_not_passed_over_in_silence(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shelf / "far").mkdir()
    assert main(["platform", "clean", "config.yml", "--yes"]) == 5
    assert capsys.readouterr().err == "tune: not everything was removed\n  far: cannot be reached\n"
    assert there(shelf) == []
    assert main(["platform", "clean", "config.yml", "--yes"]) == 5
    assert capsys.readouterr().err == "tune: nothing was removed\n  far: cannot be reached\n"


@pytest.mark.usefixtures("first")
def test_experiment_cleans_its_own(shelf: Path) -> None:
    assert main(["platform", "clean", "first", "--yes"]) == 0
    assert there(shelf) == ["a/second"]


def test_what_a_manager_has_is_kept_unless_forced(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "a" / "second" / "managed").touch()
    assert main(["platform", "clean", "config.yml", "--yes"]) == 0
    assert there(shelf) == ["a/second"]
    assert main(["platform", "clean", "config.yml", "--yes"]) == 1
    assert (
        capsys.readouterr().err == "tune: nothing was removed\n  --force also removes what a manager runs\n"
    )
    assert main(["platform", "clean", "config.yml", "--yes", "--force"]) == 0
    assert there(shelf) == []


def test_experiment_whose_manager_runs_here_is_kept(shelf: Path, first: ExperimentDirectory) -> None:
    """Also while its connection is down, when the platform knows of no manager."""
    lock = ManagerLock(first.lock)
    try:
        assert main(["platform", "clean", "config.yml", "--yes"]) == 0
        assert there(shelf) == ["a/first", "b/first"]
        assert main(["platform", "clean", "first", "--yes"]) == 1
        assert there(shelf) == ["a/first", "b/first"]
    finally:
        lock.release()


def test_what_could_not_be_removed_is_said(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "b" / "first" / "nailed").touch()
    assert main(["platform", "clean", "config.yml", "--yes"]) == 5
    assert capsys.readouterr().err == "tune: not everything was removed\n  b: first: it is nailed down\n"
    assert there(shelf) == ["b/first"]


def test_delete_cleans_the_platform_or_says_why_not(
    shelf: Path, first: ExperimentDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    (shelf / "b" / "first" / "nailed").touch()
    assert main(["experiment", "delete", "first", "--yes"]) == 5
    err = capsys.readouterr().err
    assert "b: it is nailed down" in err
    assert "--force deletes experiment first all the same" in err
    assert first.record.exists()
    (shelf / "b" / "first" / "nailed").unlink()
    assert main(["experiment", "delete", "first", "--yes"]) == 0
    assert there(shelf) == ["a/second"]
    assert not first.path.exists()


@pytest.mark.parametrize("noticed", ["clean", "survey"])
def test_delete_waits_until_the_platform_has_let_go(
    noticed: str, shelf: Path, first: ExperimentDirectory
) -> None:
    """Its manager has ended a moment ago, which the platform has not noticed yet."""
    for mark in ("managed", noticed):
        (shelf / "b" / "first" / mark).touch()
    assert main(["experiment", "delete", "first", "--yes"]) == 0
    assert there(shelf) == ["a/second"]
    assert not first.path.exists()
