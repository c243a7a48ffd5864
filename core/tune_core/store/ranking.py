"""Which trials of a record are the best: by the primary objective, or as the front of several."""

from __future__ import annotations

import json
import sqlite3
from itertools import islice

from tune_core.objectives import Objectives
from tune_core.store.rows import TRIAL_COLUMNS, TrialRecord, trial_of

__all__ = ["best", "front", "least_infeasible"]


def best(connection: sqlite3.Connection, objectives: Objectives, count: int) -> list[TrialRecord]:
    """The best feasible results by the primary objective, best first; of equal ones the older first."""
    order = "DESC" if objectives.mode == "maximize" else "ASC"
    rows = connection.execute(
        "SELECT sequence, metric FROM trial WHERE value IS NOT NULL"  # noqa: S608 (no user text)
        f" ORDER BY value {order}, sequence"
    )
    feasible = (
        sequence
        for sequence, metric in rows
        if not objectives.constraints or objectives.score_of(json.loads(metric)).is_feasible
    )
    return [_trial(connection, sequence) for sequence in list(islice(feasible, count))]


def front(connection: sqlite3.Connection, objectives: Objectives) -> list[TrialRecord]:
    """The feasible results that no other one is better than, the best by the primary objective first."""
    from tune_core.front import non_dominated  # brings NumPy, which `tune best` mostly does without

    rows = connection.execute("SELECT sequence, metric FROM trial WHERE value IS NOT NULL").fetchall()
    scored = [(objectives.score_of(json.loads(metric)), sequence) for sequence, metric in rows]
    feasible = [(score.values, sequence) for score, sequence in scored if score.is_feasible]
    keep = non_dominated([values for values, _ in feasible])
    members = sorted(member for member, stays in zip(feasible, keep, strict=True) if stays)
    return [_trial(connection, sequence) for _, sequence in members]


def least_infeasible(connection: sqlite3.Connection, objectives: Objectives) -> TrialRecord | None:
    """The result that breaks the constraints least; of equal ones the older."""
    rows = connection.execute("SELECT sequence, metric FROM trial WHERE value IS NOT NULL")
    scored = ((objectives.score_of(json.loads(metric)).violation, sequence) for sequence, metric in rows)
    least = min((each for each in scored if each[0] > 0), default=None)
    return None if least is None else _trial(connection, least[1])


def _trial(connection: sqlite3.Connection, sequence: int) -> TrialRecord:
    row = connection.execute(f"SELECT {TRIAL_COLUMNS} FROM trial WHERE sequence = ?", (sequence,))  # noqa: S608
    return trial_of(row.fetchone())
