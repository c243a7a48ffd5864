"""A command that knows nothing of `tune` is run as it would be alone, and what it says is reported."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tune import observe

SCRIPT = Path(observe.__file__)


class Trial:
    """Runs commands as trials in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.channel = folder / "messages.jsonl"

    def start(self, command: str, **spec: Any) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "TUNE_PLATFORM": "test",
            "TUNE_TRIAL_ID": "t",
            "TUNE_TRIAL_ATTEMPT": "0",
            "TUNE_PARAMETERS": "{}",
            "TUNE_CHANNEL": f"file:{self.channel}",
            "PYTHONPATH": str(SCRIPT.parents[1]),
        }
        words = [sys.executable, str(SCRIPT), json.dumps(spec), command]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe)

    def run(self, command: str, **spec: Any) -> tuple[int, str, str]:
        """Exit status, output and errors."""
        process = self.start(command, **spec)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output.decode(), errors.decode()

    def said(self) -> list[tuple[str, Any]]:
        lines = self.channel.read_text().splitlines() if self.channel.exists() else []
        return [(each["type"], each["value"]) for each in map(json.loads, lines)]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_matches_are_intermediate_results_and_the_last_one_the_final_one(trial: Trial) -> None:
    command = "echo epoch 1 acc=0.5; echo noise; echo 'epoch 2 acc=75e-2' >&2; printf 'acc=1'"
    status, output, errors = trial.run(command, log=r"acc=(\S+)")
    assert (status, output, errors) == (0, "epoch 1 acc=0.5\nnoise\nacc=1", "epoch 2 acc=75e-2\n")
    said = trial.said()
    assert sorted(str(value) for kind, value in said if kind == "intermediate") == ["0.5", "0.75", "1"]
    assert [kind for kind, _ in said][-1] == "final"


def test_final_result_has_a_pattern_of_its_own(trial: Trial) -> None:
    trial.run(
        "echo acc=0.5; echo test acc: 0.4 loss 2; echo acc=0.9", log=r"acc=(\S+)", final=r"acc: (\S+) loss"
    )
    assert trial.said() == [("intermediate", 0.5), ("intermediate", 0.9), ("final", 0.4)]


def test_named_groups_are_metrics_of_that_name(trial: Trial) -> None:
    trial.run("echo 'accuracy 0.9 in 20 s'", final=r"accuracy (?P<default>\S+)(?: in (?P<seconds>\d+) s)?")
    assert trial.said() == [("final", {"default": 0.9, "seconds": 20})]


def test_progress_bars_are_lines(trial: Trial) -> None:
    trial.run(r"printf '1/2 loss 0.5\r2/2 loss 0.25\r'", log=r"loss (\S+)$")
    assert trial.said() == [("intermediate", 0.5), ("intermediate", 0.25), ("final", 0.25)]


def test_metric_of_a_file(trial: Trial) -> None:
    (trial.folder / "old.json").write_text('{"test": {"accuracy": 1}}')
    command = """echo '{"test": {"accuracy": 0.8}, "seconds": 3}' > result.json"""
    assert trial.run(command, file="result.json", key="test.accuracy")[0] == 0
    expected = {"default": 0.8, "seconds": 3, "test": {"accuracy": 0.8}}
    assert trial.said() == [("final", expected)]


def test_metric_of_a_file_below_a_variable(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_OUTPUT_DIR", str(trial.folder / "out"))
    trial.run('mkdir out; echo 0.25 > "$TUNE_OUTPUT_DIR/result.json"', file="$TUNE_OUTPUT_DIR/result.json")
    assert trial.said() == [("final", 0.25)]


@pytest.mark.parametrize(
    ("command", "spec", "reason"),
    [
        (
            "echo nothing",
            {"log": r"acc=(\S+)"},
            r"metrics.log: nothing that was printed matches 'acc=(\\S+)'",
        ),
        ("true", {"file": "old.json"}, "old.json was not written by this trial"),
        ("true", {"file": "none.json"}, "none.json cannot be read: No such file or directory"),
        ("echo [ > out.json", {"file": "out.json"}, "out.json is not JSON"),
        (
            "echo '{\"a\": 1}' > out.json",
            {"file": "out.json", "key": "b"},
            "out.json has no 'b'; there are a",
        ),
        ("echo '\"high\"' > out.json", {"file": "out.json"}, "a metric is a number"),
        (
            "echo acc=high",
            {"log": r"acc=(\S+)"},
            "could not convert string to float: 'high', in the line 'acc=high'",
        ),
    ],
)
def test_result_that_does_not_come_fails_the_trial_and_says_why(
    trial: Trial, command: str, spec: dict[str, str], reason: str
) -> None:
    (trial.folder / "old.json").write_text("1")
    status, _, errors = trial.run(command, **spec)
    assert status == observe.NO_METRIC
    assert reason in errors
    assert not trial.said()


@pytest.mark.parametrize(("command", "expected"), [("exit 3", 3), ("kill -9 $$", 137), ("nonesuch", 127)])
def test_exit_status_is_that_of_the_command(trial: Trial, command: str, expected: int) -> None:
    assert trial.run(f"echo acc=1; {command}", log=r"acc=(\S+)")[0] == expected
    assert trial.said() == [("intermediate", 1)]


def test_output_goes_through_while_the_command_runs(trial: Trial) -> None:
    os.mkfifo(trial.folder / "hold")
    process = trial.start("echo loss=1; read line < hold; echo loss=0", log=r"loss=(\d+)")
    assert process.stdout is not None
    assert process.stdout.readline() == b"loss=1\n"
    deadline = time.monotonic() + 90
    while not trial.said() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert trial.said() == [("intermediate", 1)]
    (trial.folder / "hold").write_text("go\n")
    assert process.wait(90) == 0
    process.communicate()


def test_last_words_of_a_command_that_is_ended_are_passed_on(trial: Trial) -> None:
    process = trial.start(
        "trap 'echo saved; exit 7' TERM; echo ready; while :; do sleep 0.05; done", log="(x)"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    pids = [process.pid, *map(int, children.read_text().split())] if children.exists() else [process.pid]
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert (output, process.returncode) == (b"saved\n", 7)


def test_endless_line_takes_no_endless_memory() -> None:
    seen: list[str] = []
    lines = observe.Lines(seen.append)
    for _ in range(100):
        lines.feed(b"x" * 65536)
    lines.close()
    assert [len(each) for each in seen] == [1 << 20]


def test_pattern_finds_all_in_a_line() -> None:
    assert list(observe.find_metric(re.compile(r"a=(\d)"), "a=1 a=2")) == [1, 2]
