"""The life of an experiment from the command line: every command on a real one."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Tune = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
experimentName: commands
searchSpace:
  x: {_type: uniform, _value: [0, 1]}
  how: {_type: choice, _value: ["=up", down]}
trialCommand: python trial.py
trialConcurrency: 2
maxTrialNumber: 4
tuner: {name: Random, classArgs: {optimize_mode: minimize, seed: 1}}
trainingService: {platform: local}
"""
QUICK = """
import tune
x = tune.get_next_parameter()["x"]
print("trial says", x)
tune.report_intermediate_result(x + 1)
tune.report_final_result({"default": x, "other": 2 * x})
"""
SLOW = """
import subprocess, time, tune
x = tune.get_next_parameter()["x"]
print("child", subprocess.Popen(["sleep", "3000"]).pid, flush=True)
tune.report_intermediate_result(x)
time.sleep(3000)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config.yml").write_text(CONFIG)
    (tmp_path / "trial.py").write_text(QUICK)
    return tmp_path


@pytest.fixture
def slow(project: Path, tune: Tune) -> Iterator[str]:
    """The id of an experiment in the background, whose two trials last; stopped in the end."""
    (project / "trial.py").write_text(SLOW)
    name = json.loads(tune("create", "config.yml", "--json").stdout)["id"]
    until(lambda: len(trials(tune, "--state", "RUNNING")) == 2)
    until(lambda: all(each["intermediates"] for each in trials(tune)))
    yield name
    tune("stop", "--all", status=None)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def trials(tune: Tune, *options: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(tune("trial", "ls", "--json", *options).stdout)
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_results_are_shown_in_every_form(project: Path, tune: Tune) -> None:
    done = tune("run", "config.yml", "--id", "first")
    assert done.stdout.startswith("experiment first: DONE, 4/4 succeeded\nbest result ")
    assert "tune: experiment first, in " in done.stderr
    best = json.loads(tune("best", "-n", "4", "--json").stdout)
    values = [each["value"] for each in best]
    assert values == sorted(values)
    assert values == [each["parameters"]["x"] for each in best]
    assert f"trial {best[0]['sequence']} ({best[0]['id']})" in tune("best").stdout
    (listed,) = json.loads(tune("experiment", "list", "--json").stdout)
    assert (listed["id"], listed["name"], listed["status"], listed["managed"]) == (
        "first",
        "commands",
        "DONE",
        False,
    )
    assert tune("experiment", "status").stdout == "DONE\n"
    shown = json.loads(tune("trial", "show", "2", "--json").stdout)
    assert [each["final"] for each in shown["metrics"]] == [False, True]
    assert shown["metric"] == {"default": shown["value"], "other": 2 * shown["value"]}
    assert "trial says" in tune("trial", "show", shown["id"]).stdout
    assert tune("log", "trial", "2").stdout == f"trial says {shown['value']}\n"
    assert "status DONE" in tune("log", "manager", "--tail", "2").stdout
    assert json.loads(tune("config", "show").stdout)["experimentName"] == "commands"
    for command in (["view"], ["top"], ["experiment", "show"], ["trial", "ls", "--limit", "1"]):
        assert tune(*command).returncode == 0


def test_export_is_what_nni_wrote_and_can_be_imported(project: Path, tune: Tune) -> None:
    tune("run", "config.yml", "--quiet")
    exported = json.loads(tune("experiment", "export", "--intermediate").stdout)
    assert len(exported) == 4
    assert all(each["intermediate"] == [each["parameter"]["x"] + 1] for each in exported)
    assert {key for each in exported for key in each} == {"parameter", "value", "trialJobId", "intermediate"}
    tune("experiment", "export", "--type", "csv", "--filename", "out.csv")
    rows = list(csv.DictReader(io.StringIO((project / "out.csv").read_text())))
    assert list(rows[0]) == ["x", "how", "default", "other", "trialJobId"]
    assert [float(row["x"]) for row in rows] == [each["parameter"]["x"] for each in exported]
    assert {row["how"] for row in rows} <= {"'=up", "down"}  # no spreadsheet takes it for a formula
    tune("experiment", "export", "--filename", "out.json")
    (project / "trial.py").write_text(SLOW)
    tune("create", "config.yml", "--id", "second")
    assert "learnt 4 results" in tune("experiment", "import", "second", "-f", "out.json").stdout
    (project / "wrong.json").write_text('[{"parameter": {"x": 9, "how": "down"}, "value": 1}]')
    assert "x: 9" in tune("experiment", "import", "second", "-f", "wrong.json", status=2).stderr
    (project / "odd.json").write_text('[3, {"parameter": {}}, {"parameter": {}, "value": null}]')
    odd = tune("experiment", "import", "second", "-f", "odd.json", status=2).stderr
    assert odd.splitlines()[1:] == [
        "  entry 0: 3 is not an object with `parameter` and `value`",
        "  entry 1: it has no 'value'",
    ]
    tune("stop", "second")


def test_running_experiment_is_steered(slow: str, tune: Tune) -> None:
    assert slow in tune("top").stdout
    assert json.loads(tune("view", "--json").stdout)["counts"] == {"RUNNING": 2}
    tune("update", "concurrency", "--value", "3")
    until(lambda: len(trials(tune, "--state", "RUNNING")) == 3)
    added = json.loads(tune("trial", "add", "-p", '{"x": 0.5, "how": "down"}', "--json").stdout)
    assert added["sequence"] == 3
    refused = tune("trial", "add", "-p", '{"x": 5, "how": "down"}', status=None)
    assert refused.returncode == 2
    assert "x: 5 is not between 0 and 1" in refused.stderr
    child = int(tune("log", "trial", "0").stdout.split()[1])
    assert is_alive(child)
    tune("trial", "kill", "0")
    tune("trial", "kill", "77", status=3)
    assert json.loads(tune("experiment", "show", "--json").stdout)["elapsed_s"] > 0.1
    until(lambda: trials(tune)[0]["state"] == "USER_CANCELED")
    assert not is_alive(child)
    assert tune("trial", "kill", "0", status=4).stderr == "tune: trial 0 has ended: USER_CANCELED\n"
    assert tune("experiment", "delete", slow, "--yes", status=4).returncode == 4
    stopped = tune("stop").stdout
    assert stopped.startswith(f"experiment {slow} was stopped, ")
    assert tune("experiment", "status").stdout == "STOPPED\n"
    assert tune("stop", status=4).stderr == f"tune: experiment {slow} is not running: STOPPED\n"
    assert tune("stop", "--all").stderr == "tune: no experiment is running\n"


def test_stopped_experiment_goes_on_and_is_deleted(slow: str, project: Path, tune: Tune) -> None:
    tune("stop")
    (project / "trial.py").write_text(QUICK)
    assert "it is not running" in tune("update", "trialnum", "--value", "6").stdout
    assert "it is not running" in tune("update", "duration", "--value", "1h").stdout
    assert "not a duration" in tune("update", "duration", "--value", "soon", status=2).stderr
    assert tune("resume").stdout.startswith(f"experiment {slow}: DONE, 6/6 succeeded")
    folder = Path(json.loads(tune("experiment", "show", "--json").stdout)["directory"])
    assert folder.is_dir()
    tune("experiment", "delete", slow, status=130)  # nobody to ask
    assert folder.is_dir()
    tune("experiment", "delete", slow, "--yes")
    assert not folder.exists()
    tune("experiment", "show", status=3)


def test_experiment_without_success_fails(project: Path, tune: Tune) -> None:
    (project / "trial.py").write_text("raise SystemExit('no data set')")
    failed = tune("run", "config.yml", status=1)
    assert "no trial succeeded; the last one failed" in failed.stderr
    assert "no data set" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("command", ["run", "create"])
def test_managers_log_holds_what_the_configuration_asks_for(command: str, project: Path, tune: Tune) -> None:
    for setting, levels in (
        ("logLevel: info", {"INFO"}),
        ("logLevel: error", set()),
        ("logLevel: error\ndebug: true", {"DEBUG", "INFO"}),
    ):
        (project / "config.yml").write_text(f"{CONFIG}\n{setting}\n")
        tune(command, "config.yml")
        until(lambda: tune("experiment", "status").stdout == "DONE\n")
        lines = tune("log", "manager").stdout.splitlines()
        assert {line.split()[2] for line in lines} == levels


def test_second_manager_is_refused(slow: str, tune: Tune) -> None:
    for options in ([], ["--background"]):
        refused = tune("resume", slow, *options, status=4).stderr
        assert refused.startswith(f"tune: experiment {slow} is already managed by process")


def test_trials_that_report_nothing_are_no_success(project: Path, tune: Tune) -> None:
    (project / "trial.py").write_text("print('done')")
    assert "no trial reported a final result" in tune("run", "config.yml", status=1).stderr
    assert json.loads(tune("experiment", "export").stdout) == []
    assert {each["value"] for each in json.loads(tune("experiment", "export", "--all").stdout)} == {None}
    refused = tune("log", "trial", "0", "--attempt", "1", status=3).stderr
    assert refused == "tune: trial 0 has no attempt 1; the newest is 0\n"


def test_deletion_is_asked_for(project: Path, tune: Tune, environment: dict[str, str]) -> None:
    tune("run", "config.yml", "--id", "kept", "--quiet")
    done = subprocess.run(
        [sys.executable, "-m", "tune_core", "experiment", "delete", "kept"],
        env=environment,
        input="n\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Delete kept with everything in it? [y/N]: tune: nothing was deleted\n"
    assert tune("experiment", "status", "kept").stdout == "DONE\n"


def take_terminal() -> None:
    """Make standard input the terminal whose end is told by SIGHUP."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup


def take_terminal_but_ignore_its_end() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Terminal:
    """`tune` in a terminal of its own."""

    def __init__(
        self,
        environment: dict[str, str],
        folder: Path,
        *arguments: str,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        self._seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tune_core", *arguments],
            cwd=folder,
            env={**environment, "TERM": "xterm", "COLUMNS": "100"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 (no thread runs here)
        )
        os.close(theirs)
        self._open = True

    def read_until(self, words: bytes) -> None:
        deadline = time.monotonic() + 120
        while words not in self._seen:
            assert time.monotonic() < deadline, self._seen
            if select.select([self._ours], [], [], 0.2)[0]:
                self._seen += os.read(self._ours, 65536)
        self._seen = self._seen.partition(words)[2]

    def type(self, text: bytes) -> None:
        os.write(self._ours, text)

    def close(self) -> None:
        """End the experiment too, so that a failed test leaves no trial behind."""
        self.process.terminate()
        self.hang_up()
        self.process.wait(120)

    def hang_up(self) -> None:
        if self._open:
            os.close(self._ours)
        self._open = False


WRITES = """
import pathlib, tune
pathlib.Path(tune.get_output_dir(), "model.bin").write_bytes(bytes(3000))
pathlib.Path(tune.get_checkpoint_dir(), "step").write_text("7")
tune.report_final_result(0.5)
"""


def test_files_of_a_trial_are_fetched(project: Path, tune: Tune) -> None:
    (project / "trial.py").write_text(WRITES)
    tune("run", "config.yml")
    said = tune("trial", "fetch", "2").stdout
    assert said == "2 files of trial 2 (2.93 KiB) are in trial-2\n"
    assert (project / "trial-2" / "output" / "model.bin").stat().st_size == 3000
    assert (project / "trial-2" / "checkpoint" / "step").read_text() == "7"
    again = tune("trial", "fetch", "2", status=1)
    assert again.stderr == "tune: trial-2: is there already\n  name another folder: --to FOLDER\n"
    tune("trial", "fetch", "2", "--to", "some/where")
    assert (project / "some" / "where" / "output" / "model.bin").exists()
    never = tune("trial", "fetch", "2", "--attempt", "3", "--to", "other", status=3)
    assert "attempt 3 at trial 2 has not started" in never.stderr
    assert not (project / "other").exists()
    assert sorted(path.name for path in project.glob(".*")) == []  # nothing half-made


def test_control_c_asks_and_stops_cleanly(project: Path, environment: dict[str, str], tune: Tune) -> None:
    (project / "trial.py").write_text(SLOW)
    terminal = Terminal(environment, project, "run", "config.yml", "--id", "asked")
    try:
        terminal.read_until(b"running")
        until(lambda: [bool(each["intermediates"]) for each in trials(tune)] == [True, True])
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until(b"Stop experiment asked?")
        terminal.type(b"n\n")
        terminal.read_until(b"2 running")  # it is drawn again
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until(b"Stop experiment asked?")
        terminal.process.send_signal(signal.SIGINT)  # a second one is a yes
        terminal.read_until(b"go on later: tune resume asked")
        assert terminal.process.wait(120) == 130
    finally:
        terminal.close()
    assert tune("experiment", "status").stdout == "STOPPED\n"


def test_experiment_outlives_whoever_read_its_progress(
    project: Path, environment: dict[str, str], tune: Tune
) -> None:
    (project / "trial.py").write_text("import time; time.sleep(0.5)\n" + QUICK)
    line = f"set -o pipefail; {sys.executable} -m tune_core run config.yml --id piped 2>&1 | head -n 1"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tune: experiment piped, in ")
    assert tune("experiment", "status", "piped").stdout == "DONE\n"


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(take_terminal, id="told by SIGHUP"),
        pytest.param(take_terminal_but_ignore_its_end, id="ignored"),
        pytest.param(None, id="not told"),  # as of a background job, after `disown`
    ],
)
def test_experiment_outlives_its_terminal(
    project: Path, environment: dict[str, str], tune: Tune, prepare: Callable[[], None] | None
) -> None:
    (project / "trial.py").write_text(SLOW)
    terminal = Terminal(environment, project, "run", "config.yml", "--id", "left", prepare=prepare)
    try:
        terminal.read_until(b"2 running")
        terminal.hang_up()
        until(lambda: all(each["intermediates"] for each in trials(tune)))
        tune("trial", "kill", "0")
        until(lambda: [each["sequence"] for each in trials(tune, "--state", "RUNNING")] == [1, 2])
        tune("stop", "left")
        status = terminal.process.wait(120)
        folder = Path(json.loads(tune("experiment", "show", "left", "--json").stdout)["directory"])
        said = (folder / "log" / "manager.stderr").read_text()  # what it would have said to the terminal
        assert status == 0, said
        assert said.startswith("experiment left: STOPPED, 3/4: 1 user canceled, 2 waiting\n")
    finally:
        terminal.close()


@pytest.fixture
def crashed(slow: str, tune: Tune) -> tuple[str, list[int]]:
    """The id of an experiment whose manager was killed, and processes of its trials."""
    children = [int(tune("log", "trial", str(number)).stdout.split()[1]) for number in (0, 1)]
    folder = Path(json.loads(tune("experiment", "show", "--json").stdout)["directory"])
    os.kill(json.loads((folder / "lock").read_text())["pid"], signal.SIGKILL)
    until(lambda: tune("experiment", "status").stdout == "CRASHED\n")
    return slow, children


def test_crashed_experiment_is_not_deleted_before_its_trials_ended(
    crashed: tuple[str, list[int]], tune: Tune
) -> None:
    name, children = crashed
    assert all(map(is_alive, children))
    said = f"no manager; 2 trials may still run: `tune resume {name}` takes them over"
    assert said in tune("experiment", "show").stdout
    assert said in tune("trial", "ls").stderr
    refused = tune("experiment", "delete", name, "--yes", status=4).stderr
    assert "2 of its trials may be running still" in refused
    assert f"end them first: tune stop {name}" in refused
    assert "2 trials that were left running are ended" in tune("stop", name).stdout
    assert not any(map(is_alive, children))
    assert tune("experiment", "status").stdout == "STOPPED\n"
    assert len(trials(tune)) == 2  # none was started for it
    tune("experiment", "delete", name, "--yes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_cleanly_where_nobody_can_be_asked(
    number: int, project: Path, environment: dict[str, str], tune: Tune
) -> None:
    (project / "trial.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-m", "tune_core", "run", "config.yml"],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    until(lambda: tune("trial", "ls", status=None).returncode == 0 and len(trials(tune)) == 2)
    until(lambda: all(each["intermediates"] for each in trials(tune)))
    children = [int(tune("log", "trial", str(number)).stdout.split()[1]) for number in (0, 1)]
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert b"STOPPED" in out
    assert not any(map(is_alive, children))


def test_completion_knows_live_names(slow: str, environment: dict[str, str], tune: Tune) -> None:
    def completed(words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", "from tune_core.cli import main; main()"],
            env={
                **environment,
                "_TUNE_COMPLETE": "bash_complete",
                "COMP_WORDS": words,
                "COMP_CWORD": str(words.count(" ")),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("tune tri") == ["trial"]
    assert completed("tune view ") == [slow]
    assert "0" in completed("tune trial kill ")


def test_conformance_kits_run_on_an_installed_package(tune: Tune) -> None:
    done = tune("plugins", "check", "tune-random", "--", "-q")
    assert " passed" in done.stdout
    assert " failed" not in done.stdout
