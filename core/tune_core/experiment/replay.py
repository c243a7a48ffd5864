"""Resuming: the algorithm is rebuilt by making its recorded calls again, in their recorded order.

Results, proposals, imports and changes of the search space are events; each proposal also says
after which event it was made. With randomness that depends on the seed and the number of the
proposal alone, the rebuilt algorithm is where the old one was.
"""

from __future__ import annotations

import heapq
import json
import logging
import math
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tune_core.algorithms.base import Advisor, Observation
from tune_core.errors import MetricError, NoMoreTrial
from tune_core.experiment.trials import LiveTrial
from tune_core.experiment.view import TrialView
from tune_core.metric import Metric, orient
from tune_core.objectives import Objectives, Score
from tune_core.space import SearchSpace
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.ranking import best, front
from tune_core.trial import Parameters, TrialState

__all__ = ["Restored", "rebuild", "replay", "restore"]

_log = logging.getLogger(__name__)


@dataclass
class Restored:
    """What the record says about an experiment that goes on.

    Attributes:
        running: The trials that an earlier manager left running, with their identities.
        best: The best feasible result.
        front: The results that no other one is better than, where there are several objectives.
        initial_points: How many of the configuration's own were submitted.
    """

    state: dict[str, Any]
    objectives: Objectives
    live: dict[int, LiveTrial] = field(default_factory=dict)
    running: dict[int, dict[str, Any]] = field(default_factory=dict)
    next_sequence: int = 0
    counts: Counter[TrialState] = field(default_factory=Counter)
    trial_ids: set[str] = field(default_factory=set)
    exhausted: bool = False
    best: TrialView | None = None
    front: Sequence[TrialView] = ()
    initial_points: int = 0


def restore(connection: sqlite3.Connection) -> Restored:
    """Read everything but the algorithm."""
    state = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM state")}
    restored = Restored(state, Objectives.of_state(state))
    (count,) = connection.execute("SELECT coalesce(max(sequence), -1) + 1 FROM trial").fetchone()
    restored.next_sequence = count
    for name, number in connection.execute("SELECT state, count(*) FROM trial GROUP BY state"):
        restored.counts[TrialState(name)] = number
    (restored.initial_points,) = connection.execute(
        "SELECT count(*) FROM trial WHERE source = 'initial'"
    ).fetchone()
    restored.trial_ids = {row[0] for row in connection.execute("SELECT id FROM trial")}
    rows = connection.execute(
        "SELECT sequence, id, parameters, source, attempt, state, identity, started, intermediates,"
        " last_value, reason FROM trial WHERE state IN ('WAITING', 'RUNNING') ORDER BY sequence"
    ).fetchall()
    for sequence, name, parameters, source, attempt, status, identity, started, count, last, reason in rows:
        trial = LiveTrial(sequence, name, json.loads(parameters), source, attempt, reason=reason)
        trial.intermediates, trial.last_value = count, last
        if status == "RUNNING":
            trial.state = TrialState.RUNNING
            trial.submitted = True
            trial.started = time.monotonic() - max(0.0, time.time() - started)
            restored.running[sequence] = json.loads(identity)
        _read_attempts(connection, trial, restored.objectives)
        restored.live[sequence] = trial
    state["run_seconds"] = max(state.get("run_seconds", 0.0), _managed_seconds(connection))
    restored.best = next(map(TrialView.of, best(connection, restored.objectives, 1)), None)
    if restored.objectives.are_many:
        restored.front = [TrialView.of(trial) for trial in front(connection, restored.objectives)]
    return restored


def _managed_seconds(connection: sqlite3.Connection) -> float:
    """How long the experiment was managed, as far as its events tell.

    The running total is written every few seconds; a manager that was killed did more than that.
    """
    row = connection.execute(
        "SELECT id, time, coalesce(json_extract(data, '$.run_seconds'), 0) FROM event"
        " WHERE kind = 'manager_started' ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return 0.0
    number, began, before = row
    (last,) = connection.execute(
        "SELECT time FROM event WHERE id >= ? AND kind IN"
        " ('manager_started', 'proposed', 'started', 'ended', 'attempt_ended') ORDER BY id DESC LIMIT 1",
        (number,),
    ).fetchone()
    return float(before + max(0.0, last - began))


def _read_attempts(connection: sqlite3.Connection, trial: LiveTrial, objectives: Objectives) -> None:
    """Fill in what an unfinished trial's events and metrics say."""
    rows = connection.execute(
        "SELECT kind, data FROM event WHERE trial = ? AND kind IN ('attempt_ended', 'stop_requested')"
        " ORDER BY id",
        (trial.sequence,),
    )
    for kind, text in rows:
        data = json.loads(text)
        if kind == "attempt_ended":
            trial.losses += data["lost"] and not data["interrupted"]
            trial.failures += not data["lost"]
        elif data["attempt"] == trial.attempt and (trial.submitted or data["state"] != TrialState.WAITING):
            trial.cancel, trial.cancel_reason = TrialState(data["state"]), data["reason"]
    sequence, count = connection.execute(
        "SELECT coalesce(max(sequence), -1), coalesce(sum(final = 0), 0) FROM metric"
        " WHERE trial = ? AND attempt = ?",
        (trial.sequence, trial.attempt),
    ).fetchone()
    trial.last_sequence, trial.intermediates = sequence, count
    row = connection.execute(
        "SELECT value, data FROM metric WHERE trial = ? AND attempt = ? AND final = 1"
        " ORDER BY sequence LIMIT 1",
        (trial.sequence, trial.attempt),
    ).fetchone()
    if row is not None:
        try:
            trial.final = objectives.read_final(row[0] if row[1] is None else json.loads(row[1]))
        except MetricError as err:
            trial.refused = str(err)


def rebuild(
    directory: ExperimentDirectory,
    connection: sqlite3.Connection,
    advisor: Advisor,
    first_space: SearchSpace,
    restored: Restored,
) -> None:
    """Bring a new advisor to where the record ends; marks the live trials that it wants stopped.

    Raises:
        Exception: Whatever the algorithm raises.
    """
    advisor.set_seed(int(restored.state["seed"]))
    advisor.set_directory(directory.algorithm.resolve())  # an experiment is also reached through a link
    advisor.update_search_space(first_space)
    replay(connection, advisor, restored)


# One call of the algorithm: what happened, which trial, and its data.
_Call = tuple[str, int, Any]


def replay(connection: sqlite3.Connection, advisor: Advisor, restored: Restored) -> int:
    """Make the recorded calls again, on an advisor that has its seed and its first search space.

    Marks the live trials that the algorithm wants stopped. Returns how many recorded proposals
    differ from what the algorithm proposes now; the record is followed.

    Raises:
        Exception: Whatever the algorithm raises, as it did or would have done the first time.
    """
    differing = 0
    condemned: set[int] = set()
    for kind, sequence, data in _calls(connection, advisor.listens):
        if kind == "metric":
            value, whole = data
            if sequence not in condemned and not _report(
                advisor, sequence, value, whole, restored.objectives
            ):
                condemned.add(sequence)
        elif kind == "proposed":
            differing += not _propose(advisor, sequence, data)
        elif kind == "ended":
            advised = None if data["advised"] is None else Score.from_json(data["advised"], data["metric"])
            advisor.trial_end(sequence, TrialState(data["state"]), advised)
        elif kind == "attempt_ended":
            condemned.discard(sequence)
            advisor.trial_restart(sequence)
        elif kind == "imported":
            advisor.import_data([Observation.from_json(item) for item in data["observations"]])
            restored.exhausted = False
        elif kind == "space":
            advisor.update_search_space(SearchSpace.parse(data["search_space"]))
            restored.exhausted = False
        elif kind == "exhausted":
            restored.exhausted = True
    for sequence in condemned & restored.live.keys():
        restored.live[sequence].condemned = True
    if differing:
        _log.warning(
            "%d of the recorded proposals are not what the algorithm proposes today; the record is"
            " followed. Another version of the plugin, or randomness that does not come from"
            " self.rng, does this",
            differing,
        )
    return differing


def _report(advisor: Advisor, sequence: int, value: float, whole: str | None, objectives: Objectives) -> bool:
    if not math.isfinite(value):
        return True
    if not advisor.wants_reports:
        return advisor.report_intermediate(sequence, orient(value, objectives.mode))
    metric = Metric({objectives.primary: value}, value if whole is None else json.loads(whole))
    return advisor.report_intermediate(sequence, objectives.intermediate_score(metric))


def _propose(advisor: Advisor, sequence: int, data: dict[str, Any]) -> bool:
    """Repeat a proposal; False if it comes out differently now."""
    recorded: Parameters = data["parameters"]
    agrees = True
    if data["source"] == "algorithm" and advisor.replays_proposals:
        try:
            proposed = advisor.propose(sequence)
        except NoMoreTrial:
            proposed = None
        agrees = proposed == recorded
    advisor.register_pending(sequence, recorded)
    return agrees


def _calls(connection: sqlite3.Connection, with_metrics: bool) -> Iterator[_Call]:
    streams = [_events(connection), _proposals(connection)]
    if with_metrics:
        streams.append(_metrics(connection))
    for _, kind, sequence, data in heapq.merge(*streams, key=lambda item: item[0]):
        yield kind, sequence, data


# Place in the order: (number of an event, 0 for the event and 1 for what was made after it, number).
_Placed = tuple[tuple[int, int, int], str, int, Any]

_HEARD = "('ended', 'attempt_ended', 'imported', 'exhausted')"


def _events(connection: sqlite3.Connection) -> Iterator[_Placed]:
    rows = connection.execute(
        f"SELECT id, kind, trial, data FROM event WHERE kind IN {_HEARD}"  # noqa: S608 (no user text)
        " OR kind = 'proposed' AND json_extract(data, '$.source') != 'algorithm' ORDER BY id"
    )
    for number, kind, trial, data in rows:
        yield (number, 0, number), kind, trial if trial is not None else -1, json.loads(data)


def _proposals(connection: sqlite3.Connection) -> Iterator[_Placed]:
    rows = connection.execute(
        "SELECT id, kind, trial, data FROM event WHERE kind = 'space' OR kind = 'proposed'"
        " AND json_extract(data, '$.source') = 'algorithm' ORDER BY id"
    )
    for number, kind, trial, text in rows:
        data = json.loads(text)
        yield (data.get("after", number), 1, number), kind, -1 if trial is None else trial, data


def _metrics(connection: sqlite3.Connection) -> Iterator[_Placed]:
    rows = connection.execute(
        "SELECT id, trial, value, data FROM metric WHERE final = 0 AND value IS NOT NULL ORDER BY id"
    )
    for number, trial, value, whole in rows:
        yield (number, 0, number), "metric", trial, (value, whole)
