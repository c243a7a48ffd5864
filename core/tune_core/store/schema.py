"""The tables, and how a connection is opened.

`event` and `metric` together are the truth: everything that happened, in the order of one shared
numbering. `trial` and `state` are views on them, kept up to date in the same transaction.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from tune_core.errors import ExperimentNotFoundError, StoreError
from tune_core.store.filesystem import network_filesystem

__all__ = ["SCHEMA_VERSION", "last_id", "open_reader", "open_writer"]

APPLICATION_ID = 0x74756E65  # "tune"
SCHEMA_VERSION = 1

# One entry for each version; a change of the schema appends one and never edits another.
MIGRATIONS = (
    """
    CREATE TABLE event (
        id    INTEGER PRIMARY KEY,  -- the order of the record, shared with metric.id
        time  REAL NOT NULL,        -- seconds since the epoch, for display only
        kind  TEXT NOT NULL,        -- see tune_core.store.events
        trial INTEGER,              -- trial.sequence, where the event is about one
        data  TEXT NOT NULL         -- JSON
    ) STRICT;

    CREATE TABLE metric (
        id       INTEGER PRIMARY KEY,
        time     REAL NOT NULL,
        trial    INTEGER NOT NULL,
        attempt  INTEGER NOT NULL,
        sequence INTEGER NOT NULL,  -- of the message within the attempt
        final    INTEGER NOT NULL,  -- 0 intermediate, 1 final
        value    REAL,              -- the default metric; NULL when it is not finite
        data     TEXT               -- JSON of the whole, where it is more than a finite number
    ) STRICT;
    CREATE UNIQUE INDEX metric_of_trial ON metric (trial, attempt, sequence);

    CREATE TABLE trial (
        sequence      INTEGER PRIMARY KEY,
        id            TEXT NOT NULL UNIQUE,
        state         TEXT NOT NULL,
        source        TEXT NOT NULL,     -- algorithm, user, initial
        parameters    TEXT NOT NULL,     -- JSON
        created       REAL NOT NULL,
        attempt       INTEGER NOT NULL DEFAULT 0,
        identity      TEXT,              -- JSON, while an attempt is running
        started       REAL,
        ended         REAL,
        intermediates INTEGER NOT NULL DEFAULT 0,
        last_value    REAL,              -- newest intermediate default metric
        value         REAL,              -- final default metric, once SUCCEEDED
        metric        TEXT,              -- JSON of the final metric, once SUCCEEDED
        reason        TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX trial_state ON trial (state);
    CREATE INDEX trial_value ON trial (value) WHERE value IS NOT NULL;

    CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE command (
        id        INTEGER PRIMARY KEY,
        time      REAL NOT NULL,
        verb      TEXT NOT NULL,
        arguments TEXT NOT NULL,             -- JSON
        answer    TEXT                       -- JSON; NULL until the manager has acted
    ) STRICT;
    CREATE INDEX command_open ON command (id) WHERE answer IS NULL;
    """,
)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the record to write, creating or migrating it.

    Raises:
        StoreError: Written by a newer version of tune, not ours, or damaged.
    """
    is_new = not path.exists()
    if is_new:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
    try:
        if is_new or _is_blank(connection):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        # WAL's shared memory does not work between machines (sqlite.org/wal.html, "all processes
        # must be on the same host"), so on a network file system the slow journal is the safe one.
        journal = "DELETE" if network_filesystem(path.parent) else "WAL"
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path)
    except sqlite3.DatabaseError as err:
        connection.close()
        if getattr(err, "sqlite_errorcode", None) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise StoreError(_damaged(path, err)) from err
        raise
    except StoreError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the record to read only, also while a manager writes it, and after it crashed.

    Raises:
        ExperimentNotFoundError: There is no such file.
        StoreError: It cannot be read.
    """
    if not path.exists():
        raise ExperimentNotFoundError(f"{path}: there is no experiment record here")
    if path.with_name(f"{path.name}-journal").exists():
        _roll_back(path)
    base = path.resolve().as_uri()
    # A copy on a read-only medium has nowhere to put the shared memory of WAL; immutable needs none.
    modes = ("mode=ro", "immutable=1") if not os.access(path.parent, os.W_OK) else ("mode=ro",)
    for mode in modes:
        connection = sqlite3.connect(
            f"{base}?{mode}", uri=True, isolation_level=None, timeout=10.0, check_same_thread=False
        )
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            _check_ours(connection, path, version)
        except sqlite3.DatabaseError as err:
            connection.close()
            if mode != modes[-1]:
                continue
            raise StoreError(_damaged(path, err)) from err
        except StoreError:
            connection.close()
            raise
        return connection
    raise AssertionError("the last mode either returned or raised")


def _roll_back(path: Path) -> None:
    """Undo what a writer that was killed has half written, which who only reads may not do.

    Leaves a writer that lives alone. There is such a journal on network file systems, and in the first
    moments of an experiment.
    """
    # Another's file, a writer that takes its time; what is damaged is said by whoever reads it then.
    with contextlib.suppress(sqlite3.DatabaseError):
        rescue = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=10.0)
        with contextlib.closing(rescue):
            rescue.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _damaged(path: Path, err: Exception) -> str:
    return (
        f"{path}: the experiment's record cannot be read: {err}\n"
        "  nothing was changed. If the file was copied, copy it again together with the files beside\n"
        "  it that end in -wal and -shm; a damaged one may give up its content to `sqlite3 FILE .recover`"
    )


def _is_blank(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])


def _check_ours(connection: sqlite3.Connection, path: Path, version: int) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreError(f"{path}: this is not the record of a tune experiment")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: written by a newer tune (record version {version}, this one reads up to "
            f"{SCHEMA_VERSION})\n  upgrade it: pip install --upgrade tune-core"
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    _check_ours(connection, path, version)
    if version == SCHEMA_VERSION:
        return
    if version > 0:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy2(path, path.with_suffix(f".version{version}.backup"))
    for number in range(version, SCHEMA_VERSION):
        # executescript commits first, so the transaction is part of the script.
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
        )


def last_id(connection: sqlite3.Connection) -> int:
    """The newest number of the record, 0 if it is empty."""
    row = connection.execute(
        "SELECT max(coalesce((SELECT max(id) FROM event), 0), coalesce((SELECT max(id) FROM metric), 0))"
    ).fetchone()
    return int(row[0])
