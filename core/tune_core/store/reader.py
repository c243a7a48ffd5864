"""Reading the record of an experiment: while it runs, after it ended, after it crashed.

Nothing here needs the manager. Lists are paged by key, so a page of 100,000 trials costs what a
page of a hundred does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tune_core.errors import ExperimentNotFoundError
from tune_core.objectives import Objectives
from tune_core.store import ranking
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.lock import ManagerLock
from tune_core.store.rows import TRIAL_COLUMNS, TrialRecord, trial_of
from tune_core.store.schema import open_reader
from tune_core.trial import TrialState

__all__ = ["MetricRecord", "Record", "TrialRecord"]


@dataclass(frozen=True)
class MetricRecord:
    """One reported metric. `value` is a number, or the dictionary or non-finite float reported."""

    attempt: int
    sequence: int
    final: bool
    value: Any
    time: float


class Record:
    """Read-only access to one experiment's record. Use as a context manager.

    Raises:
        ExperimentNotFoundError: On construction, if there is none.
        StoreError: It cannot be read.
    """

    def __init__(self, path: Path | ExperimentDirectory) -> None:
        self.directory = path if isinstance(path, ExperimentDirectory) else ExperimentDirectory(path.parent)
        self._path = path.record if isinstance(path, ExperimentDirectory) else path
        self._connection = open_reader(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def state(self) -> dict[str, Any]:
        """What the experiment is by now: config, mode, seed, status, reason, limits, times."""
        rows = self._connection.execute("SELECT key, value FROM state")
        return {key: json.loads(value) for key, value in rows}

    def is_managed(self) -> bool:
        """Whether a manager on this machine is alive."""
        return ManagerLock.is_held(self.directory.lock)

    def status(self) -> str:
        """The experiment's status; CRASHED when it says RUNNING and nobody runs it."""
        rows = self._connection.execute("SELECT key, value FROM state WHERE key IN ('status', 'manager')")
        found = dict(rows.fetchall())
        status = str(json.loads(found.get("status", '"INITIALIZED"')))
        was_managed = "manager" in found
        if status in _LIVE and was_managed and not self.is_managed():
            return "CRASHED"
        return status

    def elapsed_s(self) -> float:
        """How long it has been managed, over all its managers, up to now if one is at it."""
        row = self._connection.execute("SELECT value FROM state WHERE key = 'run_seconds'").fetchone()
        noted = float(json.loads(row[0])) if row else 0.0
        holder = ManagerLock.holder(self.directory.lock) if self.is_managed() else None
        # A manager notes both at the same moment, every few seconds.
        return noted + max(0.0, time.time() - holder["time"]) if holder else noted

    def left_running(self) -> int:
        """How many trials a manager that died may have left running on their platform."""
        if self.is_managed() or "trialCommand" not in (self.state().get("config") or {}):
            return 0  # a trial that is a Python function dies with the manager's process
        return self.counts().get(TrialState.RUNNING, 0)

    def counts(self) -> dict[TrialState, int]:
        """How many trials are in each state; states without a trial are left out."""
        rows = self._connection.execute("SELECT state, count(*) FROM trial GROUP BY state")
        return {TrialState(state): count for state, count in rows}

    def trials(
        self,
        *,
        after: int = -1,
        limit: int | None = None,
        states: tuple[TrialState, ...] = (),
        newest_first: bool = False,
        before: int | None = None,
    ) -> Iterator[TrialRecord]:
        """Trials in the order of submission, from the one after sequence `after`."""
        where, arguments = ["sequence > ?"], [after]
        if before is not None:
            where.append("sequence < ?")
            arguments.append(before)
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            arguments += [state.value for state in states]  # type: ignore[misc]
        sql = (
            f"SELECT {TRIAL_COLUMNS} FROM trial WHERE {' AND '.join(where)}"  # noqa: S608 (no user text)
            f" ORDER BY sequence {'DESC' if newest_first else 'ASC'} LIMIT ?"
        )
        for row in self._connection.execute(sql, (*arguments, -1 if limit is None else limit)):
            yield trial_of(row)

    def trial(self, name: str | int) -> TrialRecord:
        """The trial with this id or sequence number.

        Raises:
            ExperimentNotFoundError: There is none.
        """
        column = "sequence" if isinstance(name, int) else "id"
        row = self._connection.execute(
            f"SELECT {TRIAL_COLUMNS} FROM trial WHERE {column} = ?",  # noqa: S608 (no user text)
            (name,),
        ).fetchone()
        if row is None and isinstance(name, str) and name.isdecimal() and len(name) < 19:  # SQLite's integers
            return self.trial(int(name))
        if row is None:
            raise ExperimentNotFoundError(
                f"experiment {self.directory.id} has no trial {name!r}\n  `tune trial ls` shows them"
            )
        return trial_of(row)

    def best(self, count: int = 1) -> list[TrialRecord]:
        """The best results that keep the constraints, by the primary objective, best first."""
        return ranking.best(self._connection, self.objectives(), count)

    def has_results(self) -> bool:
        """Whether any trial had a final result, feasible or not."""
        found = self._connection.execute("SELECT 1 FROM trial WHERE value IS NOT NULL LIMIT 1")
        return found.fetchone() is not None

    def front(self) -> list[TrialRecord]:
        """The Pareto front: of the results that keep the constraints, those that no other one is at least
        as good as in all objectives and better in one. The best by the primary objective first."""
        return ranking.front(self._connection, self.objectives())

    def least_infeasible(self) -> TrialRecord | None:
        """The result that breaks the constraints least; None if none does."""
        return ranking.least_infeasible(self._connection, self.objectives())

    def objectives(self) -> Objectives:
        """What is asked of final results."""
        return Objectives.of_state(self.state())

    def metrics(self, trial: int, *, attempt: int | None = None, after: int = -1) -> Iterator[MetricRecord]:
        """What trial number `trial` reported, in order; of one attempt or all."""
        rows = self._connection.execute(
            "SELECT attempt, sequence, final, value, data, time FROM metric"
            " WHERE trial = ? AND (?2 IS NULL OR attempt = ?2) AND sequence > ?3"
            " ORDER BY attempt, sequence",
            (trial, attempt, after),
        )
        for number, sequence, final, value, data, moment in rows:
            yield MetricRecord(
                number, sequence, bool(final), value if data is None else json.loads(data), moment
            )

    def events(
        self, *, after: int = 0, kinds: tuple[str, ...] = ()
    ) -> Iterator[tuple[int, float, str, Any, Any]]:
        """(id, time, kind, trial, data) of events after number `after`, in order."""
        where = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        rows = self._connection.execute(
            f"SELECT id, time, kind, trial, data FROM event WHERE id > ?{where} ORDER BY id",  # noqa: S608
            (after, *kinds),
        )
        for number, moment, kind, trial, data in rows:
            yield number, moment, kind, trial, json.loads(data)

    def revision(self) -> int:
        """Changes whenever something was written since the last call on this connection."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])


_LIVE = frozenset({"INITIALIZED", "RUNNING", "NO_MORE_TRIAL", "TUNER_NO_MORE_TRIAL", "STOPPING"})
