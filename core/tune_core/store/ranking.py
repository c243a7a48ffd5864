"""Which trials of a record are the best: by the primary objective, or as the front of several."""

from __future__ import annotations

import json
import sqlite3
from itertools import islice
from operator import itemgetter

from tune_core.metric import orient
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
    import numpy as np  # which `tune best` mostly does without

    from tune_core.front import non_dominated

    rows = connection.execute("SELECT sequence, metric FROM trial WHERE value IS NOT NULL").fetchall()
    wholes = json.loads(f"[{','.join(metric for _, metric in rows)}]")  # a tenth of the time of one by one
    keys = objectives.keys
    several = len(keys) > 1  # else a result may be a plain number
    pick = itemgetter(*keys) if several else lambda whole: objectives.numbers_of(whole)[keys[0]]
    columns = np.array([pick(whole) for whole in wholes], dtype=float).reshape(len(rows), len(keys))
    feasible = np.ones(len(rows), dtype=np.bool_)
    for key, bound in objectives.constraints.items():
        column = columns[:, keys.index(key)]
        feasible &= column >= (-np.inf if bound.min is None else bound.min)
        feasible &= column <= (np.inf if bound.max is None else bound.max)
    signs = [orient(1.0, mode) for mode in objectives.modes.values()]
    points = columns[feasible, : len(signs)] * signs
    members = np.flatnonzero(feasible)[non_dominated(points)]
    ordered = sorted(((columns[place, : len(signs)] * signs).tolist(), rows[place][0]) for place in members)
    return [_trial(connection, sequence) for _, sequence in ordered]


def least_infeasible(connection: sqlite3.Connection, objectives: Objectives) -> TrialRecord | None:
    """The result that breaks the constraints least; of equal ones the older."""
    rows = connection.execute("SELECT sequence, metric FROM trial WHERE value IS NOT NULL")
    scored = ((objectives.score_of(json.loads(metric)).violation, sequence) for sequence, metric in rows)
    least = min((each for each in scored if each[0] > 0), default=None)
    return None if least is None else _trial(connection, least[1])


def _trial(connection: sqlite3.Connection, sequence: int) -> TrialRecord:
    row = connection.execute(f"SELECT {TRIAL_COLUMNS} FROM trial WHERE sequence = ?", (sequence,))  # noqa: S608
    return trial_of(row.fetchone())
