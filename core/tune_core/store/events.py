"""What can happen in an experiment, and what each event does to the views.

| kind | data | heard by the algorithm |
|---|---|---|
| `created` | config, seed, mode, version | |
| `manager_started`, `manager_ended` | pid, host, boot / status | |
| `status` | status, reason | |
| `proposed` | id, parameters, source, after | as the proposal itself |
| `started` | attempt, identity | |
| `stop_requested` | attempt, state, reason | |
| `attempt_ended` | attempt, reason: the trial will run again | as a restart |
| `ended` | state, value, metric, reason, advised | as the end of the trial |
| `imported` | observations | as imported data |
| `space` | search space | as a new search space |
| `limits` | concurrency, trials, duration | |
| `exhausted` | | |
| `failed` | summary, traceback | |

`proposed.after` is the number of the last event that the algorithm had heard when it made the
proposal. Calls to the algorithm are serial, so this puts each proposal back in its place among the
results when the record is replayed.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tune_core.json import dump_json, storable

__all__ = ["Answer", "Event", "MetricRow", "Row", "TrialNote", "write_rows"]


@dataclass
class Event:
    """`id` is given by the writer when the event is appended."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    trial: int | None = None
    time: float = 0.0
    id: int = 0


class MetricRow(NamedTuple):
    """One row of the table `metric`, in the order of its columns."""

    id: int
    time: float
    trial: int
    attempt: int
    sequence: int
    final: int
    value: float | None
    data: str | None


class TrialNote(NamedTuple):
    """A change of a view that is no event, because it can be had again: progress and reasons."""

    trial: int
    column: str  # "reason", or "progress" for (intermediates, last_value)
    value: Any


class Answer(NamedTuple):
    """The manager's answer to a request in the table `command`."""

    command: int
    content: dict[str, Any]


Row = Event | MetricRow | TrialNote | Answer


def write_rows(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Insert `rows` in their order and bring the views up to date. The caller holds a transaction."""
    metrics: list[MetricRow] = []
    notes: dict[tuple[int, str], Any] = {}
    for row in rows:
        if isinstance(row, MetricRow):
            metrics.append(row)
        elif isinstance(row, TrialNote):
            notes[row.trial, row.column] = row.value
        elif isinstance(row, Answer):
            connection.execute(
                "UPDATE command SET answer = ? WHERE id = ?", (dump_json(row.content), row.command)
            )
        else:
            if row.trial is not None and row.kind in ("started", "attempt_ended", "ended"):
                notes.pop((row.trial, "reason"), None)  # the event sets it itself
                if row.kind == "attempt_ended":
                    notes.pop((row.trial, "progress"), None)
            connection.execute(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                (row.id, row.time, row.kind, row.trial, dump_json(row.data)),
            )
            _VIEWS.get(row.kind, _no_view)(connection, row)
    if metrics:
        connection.executemany("INSERT INTO metric VALUES (?, ?, ?, ?, ?, ?, ?, ?)", metrics)
    for (trial, column), value in notes.items():
        if column == "reason":
            connection.execute(
                "UPDATE trial SET reason = ? WHERE sequence = ? AND state IN ('WAITING', 'RUNNING')",
                (value, trial),
            )
        else:
            connection.execute(
                "UPDATE trial SET intermediates = ?, last_value = ? WHERE sequence = ?", (*value, trial)
            )


def set_state(connection: sqlite3.Connection, **values: Any) -> None:
    """Update rows of the table `state`."""
    connection.executemany(
        "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [(key, dump_json(value)) for key, value in values.items()],
    )


def _no_view(connection: sqlite3.Connection, event: Event) -> None:
    pass


def _created(connection: sqlite3.Connection, event: Event) -> None:
    set_state(connection, created=event.time, status="INITIALIZED", reason="", **event.data)


def _manager_started(connection: sqlite3.Connection, event: Event) -> None:
    set_state(connection, manager=event.data)


def _manager_ended(connection: sqlite3.Connection, event: Event) -> None:
    set_state(connection, manager=None, ended=event.time)


def _keep_in_state(connection: sqlite3.Connection, event: Event) -> None:
    set_state(connection, **event.data)


def _space(connection: sqlite3.Connection, event: Event) -> None:
    set_state(connection, search_space=event.data["search_space"])


def _proposed(connection: sqlite3.Connection, event: Event) -> None:
    data = event.data
    connection.execute(
        "INSERT INTO trial (sequence, id, state, source, parameters, created)"
        " VALUES (?, ?, 'WAITING', ?, ?, ?)",
        (event.trial, data["id"], data["source"], dump_json(data["parameters"]), event.time),
    )


def _started(connection: sqlite3.Connection, event: Event) -> None:
    connection.execute(
        "UPDATE trial SET state = 'RUNNING', attempt = ?, identity = ?, started = ?, reason = ''"
        " WHERE sequence = ?",
        (event.data["attempt"], dump_json(event.data["identity"]), event.time, event.trial),
    )


def _attempt_ended(connection: sqlite3.Connection, event: Event) -> None:
    connection.execute(
        "UPDATE trial SET state = 'WAITING', attempt = ?, identity = NULL, started = NULL,"
        " intermediates = 0, last_value = NULL, reason = ? WHERE sequence = ?",
        (event.data["attempt"] + 1, storable(event.data["reason"]), event.trial),
    )


def _ended(connection: sqlite3.Connection, event: Event) -> None:
    data = event.data
    metric = None if data.get("metric") is None else dump_json(data["metric"])
    connection.execute(
        "UPDATE trial SET state = ?, identity = NULL, ended = ?, value = ?, metric = ?, reason = ?"
        " WHERE sequence = ?",
        (data["state"], event.time, data.get("value"), metric, storable(data["reason"]), event.trial),
    )


_VIEWS = {
    "created": _created,
    "manager_started": _manager_started,
    "manager_ended": _manager_ended,
    "status": _keep_in_state,
    "limits": _keep_in_state,
    "space": _space,
    "proposed": _proposed,
    "started": _started,
    "attempt_ended": _attempt_ended,
    "ended": _ended,
}
