"""The command line: what it says, where, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from tune_core.cli import cli, main
from tune_core.cli.experiment import trials_text
from tune_core.cli.output import clean, duration, in_a_line, number, parameters_text, print_table
from tune_core.plugins import plugins

Install = Callable[..., None]

GOOD = """
searchSpace:
  y: {_type: uniform, _value: [0, 1]}
trialCommand: echo hello
trialConcurrency: 2
maxTrialNumber: 9
tuner:
  name: echo
  classArgs: {optimize_mode: maximize}
trainingService:
  platform: here
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*path, name)
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    assert f"Usage: tune {' '.join(path)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (
            ["valdate"],
            2,
            "tune: there is no command 'valdate', did you mean 'validate'?\n  see `tune --help`\n",
        ),
        (["validate"], 2, "tune: Missing argument 'CONFIG'.\n  see `tune validate --help`\n"),
        (["validate", "no.yml"], 2, "tune: no.yml: cannot be read: No such file or directory\n"),
        (["--no-such-option"], 2, "tune: No such option '--no-such-option'.\n  see `tune --help`\n"),
        (["experiment", "show", "abc"], 3, "tune: no experiment 'abc' in "),
        (["best"], 3, "tune: there is no experiment in "),
        (["plugins", "show", "nothing"], 2, "tune: nothing that is installed is called 'nothing'\n"),
        (["plugins", "new", "Wrong Name"], 2, "tune: 'Wrong Name': use lower-case letters"),
        (["trial", "add"], 2, "tune: give --parameters or --filename\n"),
    ],
)
def test_error_is_said_on_stderr_with_its_code(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(text)
    assert captured.out == ""


def test_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trial"]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.usefixtures("demo")
def test_validate_tells_remarks_and_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "exp.yml"
    config.write_text(GOOD.replace(": {optimize_mode: maximize}", ":"))
    assert main(["validate", "exp.yml"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "exp.yml is a valid configuration\n"
    assert captured.err == "tune: tuner.classArgs.optimize_mode is not set: Echo minimizes\n"
    config.write_text(GOOD.replace("echo hello", "3").replace("maxTrialNumber", "maxTrials"))
    assert main(["validate", "exp.yml"]) == 2
    assert capsys.readouterr().err == (
        "tune: exp.yml has 2 problems\n"
        "  exp.yml:4:1: trialCommand: 3 is not text; quote it to make it so\n"
        "  exp.yml:6:1: maxTrials: no such key, did you mean 'maxTrialNumber'?\n"
    )


@pytest.mark.usefixtures("demo")
def test_validate_json_is_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "exp.yml").write_text(GOOD)
    assert main(["validate", "exp.yml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "problems": [], "remarks": []}
    (tmp_path / "exp.yml").write_text(GOOD.replace("echo hello", "3"))
    assert main(["validate", "exp.yml", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out)["problems"] == [
        {
            "file": "exp.yml",
            "line": 4,
            "column": 1,
            "key": "trialCommand",
            "message": "3 is not text; quote it to make it so",
        }
    ]


@pytest.mark.usefixtures("demo")
def test_plugins_list_names_what_each_package_brings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "list", "--load"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "PACKAGE", "VERSION", "SUMMARY"]
    assert lines[1].split(maxsplit=4) == ["tuner", "Echo", "tune-demo", "1.0", "Proposes the lowest values"]
    assert main(["plugins", "list", "--json"]) == 0
    drivers = json.loads(capsys.readouterr().out)["drivers"]
    assert {(each["kind"], each["name"]) for each in drivers} >= {
        ("advisor", "Both"),
        ("training_service", "here"),
    }


def test_plugin_that_only_listens_is_listed(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = "@hookimpl\ndef {}(experiment):\n    pass\n"
    install("ear", hooks.format("tune_trial_ended") + hooks.format("tune_experiment_ended"))
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "ear")
    plugins.cache_clear()
    try:
        assert main(["plugins", "list"]) == 0
        assert (
            "observer  ear   tune-ear  1.0      Hears experiment_ended, trial_ended"
            in capsys.readouterr().out
        )
        assert main(["plugins", "show", "ear"]) == 0
        assert "observer ear: tune_experiment_ended, tune_trial_ended" in capsys.readouterr().out
    finally:
        plugins.cache_clear()


@pytest.fixture
def broken(install: Install, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install("aa", "import no_such_module")
    install("bb", "@hookimpl\ndef tune_tuners():\n    yield Driver('Gone', 'tune_bb.gone:Gone')\n")
    install("cc", "@hookimpl\ndef tune_tuners():\n    yield Driver('Odd', 'tune_cc.things:Odd')\n", "Odd = 3")
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "aa,bb,cc")
    plugins.cache_clear()
    yield
    plugins.cache_clear()


@pytest.mark.usefixtures("broken")
def test_plugins_list_shows_what_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "list"]) == 0
    text = capsys.readouterr().out
    assert "broken: tune-aa 1.0: No module named 'no_such_module'" in text
    assert "broken: no module tune_bb.gone" in text
    assert "not a subclass" not in text
    assert main(["plugins", "list", "--load"]) == 1
    assert "tune_cc.things:Odd is not a subclass of tune_core.Tuner" in capsys.readouterr().out
    assert main(["--help"]) == 0


@pytest.mark.usefixtures("broken")
def test_plugins_show_gives_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "show", "tune-aa"]) == 1
    text = capsys.readouterr().out
    assert "tune-aa 1.0, module tune_aa, plugin API 1: broken" in text
    assert 'tune_aa/__init__.py", line 2' in text


@pytest.mark.usefixtures("demo")
def test_plugins_show_names_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "show", "parrot"]) == 0
    text = capsys.readouterr().out
    assert "tuner Echo, Parrot: Proposes the lowest values" in text
    assert "classArgs: gain, levels, how" in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("OSError(28, 'No space left on device', '/x')", "/x: No space left on device"),
        ("PermissionError(13, 'Permission denied')", "Permission denied"),
        (
            "__import__('sqlite3').connect('/no/such/folder/file')",
            "the experiment's record cannot be used: unable to open database file",
        ),
    ],
)
@pytest.mark.usefixtures("wave")
def test_fault_of_the_machine_is_no_bug(error: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wave", "--error", error]) == 1
    assert capsys.readouterr().err == f"tune: {text}\n"


def test_character_that_the_locale_lacks_is_escaped() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tune_core", "validate", "ü.yml", "--json"],
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert json.loads(done.stdout)["problems"][0]["file"] == "ü.yml"
    table = (
        "from tune_core.cli import main; from tune_core.cli.output import print_table;"
        "main(['-V']); print_table(['a'], [['ü']])"
    )
    done = subprocess.run(
        [sys.executable, "-c", table],
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.stdout.endswith("A\n\\xfc\n")


COMMAND = """
import click

@click.command()
@click.option("--fail", is_flag=True)
@click.option("--error")
def wave(fail, error):
    "Wave."
    if error:
        raise eval(error)
    if fail:
        raise ZeroDivisionError("too fast")
    print("waves")
"""


@pytest.fixture
def wave(install: Install, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hooks = (
        "@hookimpl\ndef tune_commands():\n    yield Driver({!r}, '{{module}}.things:{}', summary='Waves')\n"
    )
    install("aa", hooks.format("wave", "wave"), COMMAND)
    install("bb", hooks.format("run", "wave"), "raise RuntimeError")
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "aa,bb")
    plugins.cache_clear()
    yield
    plugins.cache_clear()


@pytest.mark.usefixtures("wave")
def test_plugins_command_is_loaded_when_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "Commands of plugins:\n  wave  Waves" in capsys.readouterr().out
    assert "tune_aa.things" not in sys.modules
    assert main(["wave"]) == 0
    assert capsys.readouterr().out == "waves\n"


@pytest.mark.usefixtures("wave")
def test_plugin_cannot_take_a_command_of_core() -> None:
    assert main(["run", "--help"]) == 0
    assert "tune_bb.things" not in sys.modules


@pytest.mark.usefixtures("wave")
def test_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wave", "--fail"]) == 1
    text = capsys.readouterr().err
    assert "ZeroDivisionError: too fast" in text
    assert text.splitlines()[-1].startswith("tune: this is a bug of tune ")


@pytest.mark.usefixtures("demo")
def test_schema_describes_core_and_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"trialCommand", "trialConcurrency", "trainingService"} <= set(schema["required"])
    assert schema["additionalProperties"] is False
    echo = schema["properties"]["tuner"]["allOf"][0]
    assert {"Echo", "echo", "Parrot", "tune-demo:Echo"} <= set(echo["if"]["properties"]["name"]["enum"])
    arguments = echo["then"]["properties"]["classArgs"]
    assert arguments["properties"]["gain"]["type"] == "number"
    assert arguments["properties"]["optimize_mode"]["anyOf"][0]["enum"] == ["minimize", "maximize"]
    here = schema["properties"]["trainingService"]["allOf"][0]["then"]
    assert set(here["properties"]) == {"platform", "memory", "password"}
    assert here["additionalProperties"] is False


NESTS = """
from tune_core import TrainingService
from tune_core.config import ConfigModel

class Inner(ConfigModel):
    FIELD: int = 1

class Nests(TrainingService):
    class Config(ConfigModel):
        inner: Inner
        more: list[Inner] = []

    async def open(self, context): pass
    async def submit(self, attempt): pass
    async def adopt(self, attempt, identity, last_sequence): pass
    async def cancel(self, key): pass
    async def close(self): pass
"""


def test_schema_refers_only_to_what_it_defines(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where models of two packages have the same name."""
    for name in ("aa", "bb"):
        hooks = (
            "@hookimpl\ndef tune_training_services():\n    yield Driver('NAME', '{module}.things:Nests')\n"
        )
        install(name, hooks.replace("NAME", name), NESTS.replace("FIELD", f"of_{name}"))
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "aa,bb")
    plugins.cache_clear()
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)

    def references(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from references(inner)

    found = {each.removeprefix("#/$defs/") for each in references(schema)}
    assert found <= set(schema["$defs"])
    assert {"tune-aa.aa.Inner", "tune-bb.bb.Inner"} <= found


def test_new_plugins_pass_their_own_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = []
    for kind in ("tuner", "assessor", "advisor"):
        assert main(["plugins", "new", f"demo-{kind}", "--kind", kind]) == 0
        folders.append(tmp_path / f"tune-demo-{kind}")
    assert "tune-demo-tuner/tune_demo_tuner/__init__.py" in capsys.readouterr().out
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}  # whatever else is installed
    environment = {**os.environ, **alone, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *folders],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert main(["plugins", "new", "demo-tuner"]) == 1
    assert "is there already" in capsys.readouterr().err


# One writes more than the buffer holds, the other one not before its end.
@pytest.mark.parametrize("arguments", [["config", "schema"], ["--version"]], ids=" ".join)
def test_reader_that_has_enough_is_no_error(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "tune_core", *arguments],
            env={**os.environ, "TUNE_ENABLE_PLUGINS": "none"},
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
            timeout=100,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_module_in_the_present_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('the wrong yaml')")
    (tmp_path / "click.py").write_text("raise SystemExit('the wrong click')")
    done = subprocess.run(
        [sys.executable, "-m", "tune_core", "validate", "no.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (2, "tune: no.yml: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.04, "0.0s"), (59.9, "59.9s"), (60, "1m 0s"), (3725, "1h 2m"), (90000, "1d 1h")],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


FAILURE = "exit status 1; last lines of stderr:\nTraceback\nValueError: no\n\nhint: try yes"


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("", ""),
        ("waits for a GPU\nheld by 7", "waits for a GPU"),
        (FAILURE, "exit status 1: ValueError: no"),
        ("exit status 1; last lines of stderr:\nred", "exit status 1: red"),
        ("exit status 1; last lines of stderr:\nrank 1 failed\n=====", "exit status 1: rank 1 failed"),
    ],
)
def test_reason_in_a_line_ends_with_what_was_said_last(reason: str, line: str) -> None:
    assert in_a_line(reason) == line


def test_numbers_are_short_and_zero_has_no_sign() -> None:
    assert [number(value) for value in (-0.0, 0.1 + 0.2, -1e-9)] == ["0", "0.3", "-1e-09"]


def test_nested_parameters_are_written_flat() -> None:
    nested = {"model": {"_name": "svm", "C": 0.1074654321}, "sizes": [1, 0.1 + 0.2], "deep": {}, "on": True}
    assert parameters_text(nested) == "model._name=svm model.C=0.107465 sizes=[1, 0.3] deep={} on=true"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed_on(columns: int, monkeypatch: pytest.MonkeyPatch, why: str) -> list[str]:
    """The lines of a table of one failed trial on a terminal so wide."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    parameters = "x=0.123456 y=0.123456 z=0.123456"
    rows = [(0, "a1b2c3d4", "FAILED", "", "1.2s", parameters, why), (1, "", "DONE", "", "", parameters, "")]
    titles = ("trial", "id", "state", "result", "time", "parameters", "why")
    print_table(titles, rows, elide=(("parameters", 10), ("id", 0)))
    return terminal.getvalue().splitlines()


def test_table_on_a_narrow_terminal_keeps_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "exit status 1: ValueError: no such thing as that"
    wide, narrow, tiny = (printed_on(columns, monkeypatch, why) for columns in (200, 80, 30))
    assert "z=0.123456" in wide[1]
    assert wide[1].endswith(why)
    assert all(len(line) <= 80 for line in narrow)
    assert "x=0.12345…  exit status 1: ValueError: no such" in narrow[1]
    assert narrow[2].endswith("z=0.123456")  # no reason takes its room
    assert all(len(line) <= 30 for line in tiny)


def test_table_gives_parameters_the_room_that_no_reason_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    (_, line, _) = printed_on(80, monkeypatch, "")
    assert "a1b2c3d4" in line
    assert line.endswith("x=0.123456 y=0.123456 z=0.123456")


def test_trials_in_one_state_are_counted_once() -> None:
    assert trials_text({"SUCCEEDED": 40}, 40) == "40/40 succeeded"
    assert trials_text({"SUCCEEDED": 10, "EARLY_STOPPED": 2}, 40) == "12/40: 2 early stopped, 10 succeeded"
    assert trials_text({}, None) == "0"


def test_table_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "value"), [("a\x1b[31m\nb", 0.1 + 0.2)])
    assert capsys.readouterr().out == "NAME          VALUE\na\\x1b[31m\\nb  0.3\n"
    assert clean("ünï ☃") == "ünï ☃"
