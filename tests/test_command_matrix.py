"""What holds for every command, found by walking through all that there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tune_core.cli import cli, frame, main

CONFIG = """
searchSpace: {x: {_type: uniform, _value: [0, 1]}}
trialCommand: echo "$TUNE_PARAMETERS"
trialConcurrency: 2
maxTrialNumber: 2
tuner: {name: Random, classArgs: {optimize_mode: minimize}}
trainingService: {platform: local}
"""

# What a command needs beside an experiment that has ended. A new command has to be put here.
ARGUMENTS: dict[str, list[str]] = {
    "run": ["config.yml"],
    "create": ["config.yml"],
    "resume": [],
    "stop": [],
    "view": [],
    "top": [],
    "best": [],
    "validate": ["config.yml"],
    "experiment list": [],
    "experiment show": [],
    "experiment status": [],
    "experiment delete": ["--yes"],
    "experiment import": ["--filename", "results.json"],
    "experiment export": [],
    "trial ls": [],
    "trial show": ["0"],
    "trial kill": ["0"],
    "trial add": ["--parameters", '{"x": 0.5}'],
    "trial fetch": ["0"],
    "trial codegen": ["0"],
    "log manager": [],
    "log trial": ["0"],
    "platform show": ["config.yml"],
    "platform clean": ["config.yml", "--yes"],
    "update concurrency": ["--value", "3"],
    "update trialnum": ["--value", "3"],
    "update duration": ["--value", "3h"],
    "update searchspace": ["--filename", "space.json"],
    "config show": [],
    "config schema": [],
    "config upgrade": ["config.yml"],
    "plugins list": [],
    "plugins show": ["tune-random"],
    "plugins new": ["mine"],
    "plugins check": ["tune-random"],
    "completion": ["bash"],
}
NEEDS_A_MANAGER = {"stop", "experiment import", "trial kill", "trial add"}
ALWAYS_JSON = {"config show", "config schema", "experiment export"}
NOTHING_TO_READ = {
    "stop", "experiment delete", "experiment import", "trial kill", "log manager", "log trial",
    "update concurrency", "update trialnum", "update duration", "update searchspace", "config upgrade",
    "plugins new", "plugins check", "completion", "trial fetch", "trial codegen", "platform clean",
}  # fmt: skip


def walk(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from walk(command, f"{path} {name}".strip())
        elif command is not None:
            yield f"{path} {name}".strip(), command


COMMANDS = dict(walk(cli))
OURS = {path: command for path, command in COMMANDS.items() if path in ARGUMENTS}


def has(command: click.Command, name: str) -> bool:
    return any(parameter.name == name for parameter in command.params)


def typed(path: str, *more: str, experiment: str | None = None) -> list[str]:
    """The words of a command, about the only experiment or about another one."""
    command, words = COMMANDS[path], [*path.split(), *ARGUMENTS[path], *more]
    if path == "experiment delete":
        return [*words, experiment or "done"]
    if experiment is None:
        return words
    is_option = any(isinstance(each, click.Option) for each in command.params if each.name == "experiment")
    return [*words, "--experiment", experiment] if is_option else [*words, experiment]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and the home of one experiment, `done`."""
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "config.yml").write_text(CONFIG)
    (folder / "results.json").write_text('[{"parameter": {"x": 0.5}, "value": 1}]')
    (folder / "space.json").write_text('{"x": {"_type": "uniform", "_value": [0, 2]}}')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TUNE_HOME", str(folder / "home"))
        assert main(["run", "config.yml", "--id", "done", "--quiet"]) == 1  # no trial reports anything
    return folder


@pytest.fixture
def here(ended: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ended)
    monkeypatch.setenv("TUNE_HOME", str(ended / "home"))
    return ended


def test_every_command_of_core_is_in_the_matrix() -> None:
    assert set(ARGUMENTS) <= set(COMMANDS)
    missing = set(COMMANDS) - set(ARGUMENTS)
    assert not {path for path in missing if path.split()[0] in frame.COMMANDS}


@pytest.mark.parametrize("path", OURS)
def test_what_a_program_may_read_comes_as_json(path: str) -> None:
    assert has(OURS[path], "as_json") != (path in NOTHING_TO_READ | ALWAYS_JSON)


READERS = [path for path, command in OURS.items() if has(command, "as_json") or path in ALWAYS_JSON]
QUIET = [path for path in READERS if path not in NEEDS_A_MANAGER | {"run", "create"}]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", QUIET)
def test_json_is_all_that_is_printed(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    option = [] if path in ALWAYS_JSON else ["--json"]
    assert main(typed(path, *option)) in (0, 1)  # 1: of an experiment without success
    json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


ABOUT_ONE = [path for path, command in OURS.items() if has(command, "experiment")] + ["experiment delete"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", ABOUT_ONE)
def test_experiment_that_is_not_there_is_not_found(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed(path, experiment="nowhere")) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tune: no experiment 'nowhere' in ")


@pytest.mark.parametrize("path", [path for path in ABOUT_ONE if path != "experiment delete"])
def test_first_experiment_is_still_to_come(
    path: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNE_HOME", str(here / "empty"))
    assert main(typed(path)) == 3
    assert "start one: tune run config.yml" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", sorted(NEEDS_A_MANAGER))
def test_what_needs_a_manager_is_a_conflict_without_one(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(path)) == 4
    assert capsys.readouterr().err.startswith("tune: experiment done ")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", ["trial show", "trial fetch", "log trial"])
def test_trial_that_is_not_there_is_not_found(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("99", "x/../y", "ü", "9" * 25, "9" * 5000):
        assert main([*path.split(), name]) == 3
        assert f"has no trial {name}" in capsys.readouterr().err.replace("'", "")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "words",
    ["trial ls --limit", "trial ls --before", "best -n", "log manager -n", "log trial 0 --attempt",
     "update concurrency --value", "update trialnum --value", "update duration --value"],
)  # fmt: skip
def test_number_beyond_all_measure_is_wrong_usage(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(), "9" * 30]) == 2
    assert "9" * 30 in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", OURS)
def test_unknown_option_is_wrong_usage(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path.split(), "--no-such-option"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"see `tune {path} --help`" in captured.err
