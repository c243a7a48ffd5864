"""How anybody asks a running manager for a change: a row in the record, and a doorbell.

The manager is the only writer of events; a request is a row in `command`, which the manager
answers in place. Writing to the file `doorbell` wakes it; without a wake-up it looks every two
seconds. An experiment therefore opens no port and no socket.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from typing import Any, NamedTuple

from tune_core.errors import ExperimentBusyError, TuneError
from tune_core.json import dump_json
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.lock import ManagerLock

__all__ = ["Command", "open_commands", "request", "ring"]


class Command(NamedTuple):
    """One request, as the manager sees it."""

    id: int
    verb: str
    arguments: dict[str, Any]


def request(
    directory: ExperimentDirectory, verb: str, *, timeout_s: float = 60.0, **arguments: Any
) -> dict[str, Any]:
    """Ask the manager of an experiment for something and wait for its answer.

    Raises:
        ExperimentBusyError: No manager is running.
        TuneError: The manager refused, with its reason; or it did not answer in time.
    """
    if not ManagerLock.is_held(directory.lock):
        raise ExperimentBusyError(
            f"experiment {directory.id} has no running manager\n  start it again: tune resume {directory.id}"
        )
    connection = sqlite3.connect(directory.record, isolation_level=None, timeout=10.0)
    try:
        cursor = connection.execute(
            "INSERT INTO command (time, verb, arguments) VALUES (?, ?, ?)",
            (time.time(), verb, dump_json(arguments)),
        )
        ring(directory)
        answer = _wait(connection, directory, cursor.lastrowid, timeout_s)
    finally:
        connection.close()
    if "error" in answer:
        refused = TuneError(answer["error"])
        refused.exit_code = answer.get("exit_code", refused.exit_code)
        raise refused
    return answer


def ring(directory: ExperimentDirectory) -> None:
    """Wake the manager of an experiment; without effect if there is none."""
    descriptor = os.open(directory.doorbell, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, b".", 0)  # noticed by the manager's inotify; the file does not grow
    finally:
        os.close(descriptor)


def _wait(
    connection: sqlite3.Connection, directory: ExperimentDirectory, number: int | None, timeout_s: float
) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    pause_s = 0.002
    while time.monotonic() < deadline:
        row = connection.execute("SELECT answer FROM command WHERE id = ?", (number,)).fetchone()
        if row[0] is not None:
            answer: dict[str, Any] = json.loads(row[0])
            return answer
        if pause_s > 0.05 and not ManagerLock.is_held(directory.lock):
            # It may have answered between the two looks.
            row = connection.execute("SELECT answer FROM command WHERE id = ?", (number,)).fetchone()
            if row[0] is None:
                raise ExperimentBusyError(f"the manager of experiment {directory.id} ended without an answer")
        time.sleep(pause_s)
        pause_s = min(0.1, pause_s * 1.5)
    raise TuneError(
        f"the manager of experiment {directory.id} did not answer within {timeout_s:.0f} s\n"
        "  the request stands and may still be carried out. See `tune log manager`"
    )


def open_commands(connection: sqlite3.Connection, before: float = math.inf) -> list[Command]:
    """Requests without an answer, made before a moment in seconds since the epoch; oldest first."""
    rows = connection.execute(
        "SELECT id, verb, arguments FROM command WHERE answer IS NULL AND time < ? ORDER BY id", (before,)
    )
    return [Command(number, verb, json.loads(arguments)) for number, verb, arguments in rows]
