"""Recorders: what observers hear is written elsewhere by a thread, whatever is wrong there."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tune_core import observing
from tune_core.observing import (
    Destination,
    Recorder,
    Recorders,
    Steps,
    UnreachableError,
    flat_parameters,
    numbers,
)


class Notes(Destination):
    """Writes into a list; `trouble` is asked before each line."""

    def __init__(self, trouble: Callable[[str], None] = lambda _: None) -> None:
        self.lines: list[str] = []
        self.trouble = trouble
        self.closed = threading.Event()

    def note(self, line: str) -> None:
        self.trouble(line)
        self.lines.append(line)

    def flush(self) -> None:
        self.lines.append("flush")

    def close(self) -> None:
        self.lines.append("close")
        self.closed.set()


def written(notes: Notes, *lines: str) -> list[str]:
    """What is written when these were told."""
    recorder = Recorder("Notes", lambda: notes)
    for line in lines:
        recorder.tell("note", line)
    recorder.finish()
    assert notes.closed.wait(60)
    return [line for line in notes.lines if line not in {"flush", "close"}]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def experiment(name: str = "e") -> Any:
    return SimpleNamespace(id=name)


def test_recorder_writes_in_order_and_then_closes() -> None:
    notes = Notes()
    assert written(notes, *"abc") == ["a", "b", "c"]
    assert [line for line in notes.lines if line != "flush"][-1] == "close"


def test_recorder_flushes_only_when_nothing_waits() -> None:
    go_on = threading.Event()
    notes = Notes(lambda _: None if go_on.wait(60) else pytest.fail("not told to go on"))
    recorder = Recorder("Notes", lambda: notes)
    for line in "abc":
        recorder.tell("note", line)
    go_on.set()
    wait_until(lambda: "flush" in notes.lines)
    assert notes.lines == ["a", "b", "c", "flush"]
    recorder.finish()


def test_recorder_leaves_out_what_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    def trouble(line: str) -> None:
        if line in "bc":
            raise OSError(f"no room for {line}")

    assert written(Notes(trouble), *"abcd") == ["a", "d"]
    assert caplog.text.count("not everything is written for Notes") == 1  # a minute
    assert "no room for b" in caplog.text


def test_recorder_insists_where_nothing_is_reached(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observing, "WAIT_S", (0.001, 0.01))
    calls: list[str] = []

    def trouble(line: str) -> None:
        calls.append(line)
        if line == "b" and calls.count("b") < 5:
            raise UnreachableError("there is nobody")

    assert written(Notes(trouble), *"abc") == ["a", "b", "c"]
    assert calls == ["a", *"bbbbb", "c"]
    assert caplog.text.count("Notes is not reached") == 1


def test_recorder_insists_on_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "WAIT_S", (0.001, 0.01))
    notes, attempts = Notes(), []

    def open_notes() -> Notes:
        attempts.append(1)
        if len(attempts) < 3:
            raise UnreachableError("there is nobody")
        return notes

    recorder = Recorder("Notes", open_notes)
    recorder.tell("note", "a")
    wait_until(lambda: "a" in notes.lines)
    assert len(attempts) == 3
    recorder.finish()


@pytest.mark.parametrize("problem", [ImportError("no module"), PermissionError("not yours")])
def test_recorder_gives_up_what_cannot_be_opened(
    problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def open_notes() -> Notes:
        raise problem

    recorder = Recorder("Notes", open_notes)
    wait_until(lambda: not recorder.is_writing)
    recorder.tell("note", "a")
    assert recorder._told.empty()
    assert caplog.text.count("nothing is written for Notes") == 1
    assert str(problem) in caplog.text


def test_recorder_keeps_only_so_much(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observing, "LIMIT", 10)
    go_on = threading.Event()
    notes = Notes(lambda _: None if go_on.wait(60) else pytest.fail("not told to go on"))
    recorder = Recorder("Notes", lambda: notes)
    recorder.tell("note", "first")
    wait_until(recorder._told.empty)
    for _ in range(20):
        recorder.tell("note", "more")
    go_on.set()
    recorder.finish()
    assert notes.closed.wait(60)
    assert notes.lines.count("more") == 10
    assert caplog.text.count("10 pieces wait, and no more are kept") == 1


def test_recorder_says_that_there_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observing, "SLOW_S", -1.0)  # any time is longer
    called, go_on = threading.Event(), threading.Event()

    def trouble(_: str) -> None:
        called.set()
        assert go_on.wait(60)

    recorder = Recorder("Notes", lambda: Notes(trouble))
    recorder.tell("note", "a")
    assert called.wait(60)
    recorder.tell("note", "b")
    recorder.tell("note", "c")
    assert caplog.text.count("Notes has not answered") == 1
    go_on.set()
    recorder.finish()


@pytest.mark.parametrize(
    "address", ["http://me:secret@host:5000/api", "postgresql+psycopg2://me:sec@ret@host/db", "x://secret@h"]
)
def test_passwords_in_addresses_are_not_logged(address: str, caplog: pytest.LogCaptureFixture) -> None:
    def trouble(line: str) -> None:
        raise OSError(f"cannot reach {address}: refused")

    written(Notes(trouble), "a")
    assert "://***@h" in caplog.text
    assert "secret" not in caplog.text
    assert "ret@" not in caplog.text


@pytest.mark.parametrize("value", [None, "", "0"])
def test_recorders_write_nothing_unless_asked(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNE_NOTES", raising=False)
    if value is not None:
        monkeypatch.setenv("TUNE_NOTES", value)
    recorders = Recorders("Notes", "TUNE_NOTES", lambda *_: pytest.fail("opened"))
    assert recorders.of(experiment()) is None
    recorders.finish(experiment())


def test_recorders_have_one_for_each_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[tuple[str, str], Notes] = {}

    def open_notes(where: str, of: Any) -> Notes:
        return opened.setdefault((where, of.id), Notes())

    monkeypatch.setenv("TUNE_NOTES", "there")
    recorders = Recorders("Notes", "TUNE_NOTES", open_notes)
    for name in "aba":
        recorder = recorders.of(experiment(name))
        assert recorder is not None
        recorder.tell("note", name)
    recorders.finish(experiment("a"))
    recorders.finish(experiment("b"))
    wait_until(lambda: all(notes.closed.is_set() for notes in opened.values()) and len(opened) == 2)
    assert {key: notes.lines.count(key[1]) for key, notes in opened.items()} == {
        ("there", "a"): 2,
        ("there", "b"): 1,
    }


SCRIPT = """
import logging, sys, time
from types import SimpleNamespace
from tune_core import observing

logging.basicConfig()
observing.EXIT_S = float(sys.argv[1])
observing.SILENT_S = observing.EXIT_S / 2

class Slow(observing.Destination):
    def note(self, line):
        time.sleep(float(sys.argv[2]))
        print(line, flush=True)

recorder = observing.Recorders("Notes", "TUNE_NOTES", lambda *_: Slow()).of(SimpleNamespace(id="e"))
for line in "abc":
    recorder.tell("note", line)
"""


@pytest.mark.parametrize(
    ("exit_s", "call_s", "lines", "words"), [(110, 0.05, "abc", ""), (0.1, 600, "", "the process ends")]
)
def test_end_of_the_process_waits_a_bounded_time(
    exit_s: float, call_s: float, lines: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_NOTES", "1")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(exit_s), str(call_s)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.split() == list(lines)
    assert words in done.stderr
    assert bool(done.stderr) == bool(words)


def test_end_of_the_process_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observing, "SILENT_S", 0.01)
    said: list[str] = []
    go_on = threading.Event()

    def hear(line: str, **_: Any) -> None:
        said.append(line)
        go_on.set()

    monkeypatch.setattr("builtins.print", hear)
    notes = Notes(lambda _: None if go_on.wait(60) else pytest.fail("not told to go on"))
    recorder = Recorder("Notes", lambda: notes)
    recorder.tell("note", "a")
    recorder.leave(time.monotonic() + 60)
    assert said == ["tune: not everything is written for Notes yet, waiting up to 30 s"]
    assert "a" in notes.lines
    assert caplog.text == ""


def test_end_of_the_process_gives_up_what_is_not_reached() -> None:
    reached = threading.Event()

    def trouble(line: str) -> None:
        reached.set()
        raise UnreachableError("there is nobody")

    notes = Notes(trouble)
    recorder = Recorder("Notes", lambda: notes)
    recorder.tell("note", "a")
    assert reached.wait(60)
    recorder.leave(time.monotonic() + 60)
    assert not recorder.is_writing  # though it would wait for a second before the next attempt
    assert "a" not in notes.lines


def test_steps_count_for_each_run() -> None:
    steps = Steps()
    steps.start("a")
    # Three results arrived together: each hook hears that there are three.
    assert [steps.next("a", 3) for _ in range(3)] == [0, 1, 2]
    assert [steps.next("adopted", count) for count in (11, 12)] == [10, 11]
    steps.end("a")
    steps.start("a")
    assert steps.next("a", 1) == 0


def test_nested_parameters_are_side_by_side() -> None:
    parameters = {"model": {"_name": "cnn", "units": 3, "pool": {"_name": "max"}}, "sizes": [1, 2]}
    assert dict(flat_parameters(parameters)) == {
        "model": "cnn",
        "model/units": 3,
        "model/pool": "max",
        "sizes": [1, 2],
    }


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (2, {"final": 2.0}),
        ({"default": 0.5, "loss": 1, "note": "text", "on": True}, {"final": 0.5, "final/loss": 1.0}),
        ({"note": "text"}, {}),
    ],
)
def test_numbers_of_a_metric_have_its_name(value: Any, found: dict[str, float]) -> None:
    assert dict(numbers("final", value)) == found
