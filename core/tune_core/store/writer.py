"""The one writer of a record: a thread that commits in groups.

Events get their number when they are appended, in the manager's event loop, so their order is the
order of the calls. They are committed in that order; the future that `append` returns is resolved
when the event is on disk, again in that order.

A disk that is full or fails does not end the experiment: the group is rolled back, the file is
closed and opened anew (after a failed fsync the kernel may have dropped the pages, so the old
connection is not trusted again), and the same group is tried until it goes through.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tune_core.errors import StoreError
from tune_core.store.events import Event, MetricRow, Row, set_state, write_rows
from tune_core.store.schema import last_id, open_writer

__all__ = ["Writer"]

_GROUP_WAIT_S = 0.02  # how long intermediate metrics wait for company before they are committed
_GROUP_ROWS = 5_000
_RETRY_S = (0.2, 0.5, 1.0, 2.0)
_FATAL = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# Rows that no disk would take: trying again is of no use. The low byte is SQLite's primary code.
_UNFIT = frozenset(
    {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISUSE}
)


class _Append:
    __slots__ = ("future", "rows", "state", "urgent")

    def __init__(
        self, rows: Sequence[Row], urgent: bool, future: asyncio.Future[None], state: dict[str, Any] | None
    ) -> None:
        self.rows = rows
        self.urgent = urgent
        self.future = future
        self.state = state


class Writer:
    """Appends to one record. All methods are called from the event loop that made it.

    Args:
        on_trouble: Called in the event loop with a sentence when the record cannot be written, and
            with an empty one when it can again.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str], None] = lambda _: None) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._on_trouble = on_trouble
        self._connection: sqlite3.Connection | None = open_writer(path)
        self._next_id = 1 + last_id(self._connection)
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._backlog = 0  # rows appended and not yet on disk
        self._room = asyncio.Event()
        self._room.set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tune-record", daemon=True)
        self._thread.start()

    @property
    def last_id(self) -> int:
        return self._next_id - 1

    def append(self, *rows: Row, urgent: bool = True, **state: Any) -> asyncio.Future[None]:
        """Append events; the future is done when they are on disk.

        Args:
            rows: Events without an id, metric rows made with `number`, or notes.
            urgent: Commit at once. Otherwise the rows wait up to 20 ms for others.
            state: Values to put into the table `state` in the same transaction.

        The future fails with StoreError only if the record is closed or damaged beyond writing.
        """
        now = time.time()
        for row in rows:
            if isinstance(row, Event):
                row.id = self.number()
                row.time = row.time or now
        future = self._loop.create_future()
        future.add_done_callback(_retrieve)
        self._backlog += len(rows)
        if self._backlog > _GROUP_ROWS * 4:
            self._room.clear()
        self._queue.put(_Append(rows, urgent, future, state or None))
        return future

    def number(self) -> int:
        """Take the next number of the record."""
        number = self._next_id
        self._next_id += 1
        return number

    async def room(self) -> None:
        """Wait until the backlog is small: what keeps a flood of metrics out of memory."""
        await self._room.wait()

    async def close(self) -> None:
        """Commit what was appended and close the file. Tries for five seconds if the disk fails."""
        self._closing.set()
        self._queue.put(None)
        while self._thread.is_alive():
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join, 0.5)

    # Below runs in the thread, except for _confirm.

    def _run(self) -> None:
        open_for_more = True
        while open_for_more:
            group, open_for_more = self._collect()
            if not group:
                continue
            self._loop.call_soon_threadsafe(self._confirm, group, self._write(group))
        if self._connection is not None:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                pass  # the write-ahead log stays beside the file and readers take it into account
            self._connection.close()

    def _collect(self) -> tuple[list[_Append], bool]:
        first = self._queue.get()
        if first is None:
            return [], False
        group, rows = [first], len(first.rows)
        deadline = time.monotonic() + _GROUP_WAIT_S
        urgent = first.urgent
        while rows < _GROUP_ROWS:
            try:
                wait_s = 0.0 if urgent else max(0.0, deadline - time.monotonic())
                item = self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return group, False
            group.append(item)
            rows += len(item.rows)
            urgent = urgent or item.urgent
        return group, True

    def _write(self, group: list[_Append]) -> list[Exception | None]:
        """Commit a group, for as long as it takes; returns what became of each append."""
        error = self._commit_patiently(group)
        if error is None or isinstance(error, StoreError) or len(group) == 1:
            return [error] * len(group)
        # One of them cannot be written by anybody; the others must not suffer for it.
        return [self._commit_patiently([item]) for item in group]

    def _commit_patiently(self, group: list[_Append]) -> Exception | None:
        rows = [row for item in group for row in item.rows]
        state = {key: value for item in group if item.state for key, value in item.state.items()}
        in_trouble = False
        attempt = 0
        give_up = None
        while True:
            try:
                self._commit(rows, state)
            except sqlite3.Error as err:
                code = getattr(err, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
                self._drop_connection()
                if code in _FATAL:
                    return StoreError(f"{self.path}: the experiment's record is damaged: {err}")
                if code & 0xFF in _UNFIT:
                    return err
                if self._closing.is_set():
                    give_up = give_up or time.monotonic() + 5.0
                    if time.monotonic() > give_up:
                        return StoreError(f"{self.path}: could not be written before closing: {err}")
                in_trouble = True
                self._tell(
                    f"the record cannot be written ({err}); nothing is lost, trying again: {self.path}"
                )
                self._closing.wait(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                if self._closing.is_set():
                    time.sleep(0.1)
                attempt += 1
            except Exception as err:  # noqa: BLE001 (a bug; whoever waits for these rows must hear of it)
                self._drop_connection()
                return err
            else:
                if in_trouble:
                    self._tell("")
                return None

    def _commit(self, rows: list[Row], state: dict[str, Any]) -> None:
        if self._connection is None:
            self._connection = open_writer(self.path)
            # The commit that failed may have reached the disk all the same.
            last = last_id(self._connection)
            rows = [row for row in rows if not isinstance(row, (Event, MetricRow)) or row.id > last]
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        write_rows(connection, rows)
        if state:
            set_state(connection, **state)
        connection.execute("COMMIT")

    def _drop_connection(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except sqlite3.Error:
                pass  # it is being given up because it does not work
            self._connection = None

    def _tell(self, trouble: str) -> None:
        self._loop.call_soon_threadsafe(self._on_trouble, trouble)

    def _confirm(self, group: list[_Append], errors: list[Exception | None]) -> None:
        for item, error in zip(group, errors, strict=True):
            self._backlog -= len(item.rows)
            if item.future.done():
                continue
            if error is None:
                item.future.set_result(None)
            else:
                item.future.set_exception(error)
        if self._backlog <= _GROUP_ROWS * 2:
            self._room.set()


def _retrieve(future: asyncio.Future[None]) -> None:
    # Not every caller awaits durability; one that does sees the exception all the same.
    if not future.cancelled():
        future.exception()
