"""The record: what is appended is there, in order, whatever happens to the disk or to the manager."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tune_core.errors import (
    ConfigError,
    ExperimentBusyError,
    ExperimentNotFoundError,
    StoreError,
    TuneError,
)
from tune_core.store import directory as places
from tune_core.store import schema
from tune_core.store.commands import open_commands, request
from tune_core.store.directory import (
    ExperimentDirectory,
    create_experiment,
    find_experiment,
    list_experiments,
)
from tune_core.store.events import Event, MetricRow, TrialNote
from tune_core.store.lock import ManagerLock
from tune_core.store.reader import Record
from tune_core.store.writer import Writer
from tune_core.trial import TrialState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentDirectory:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    return create_experiment()


def write(folder: ExperimentDirectory, work: Callable[[Writer], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        writer = Writer(folder.record)
        try:
            await work(writer)
        finally:
            await writer.close()

    asyncio.run(run())


def proposed(sequence: int) -> Event:
    data = {"id": f"t{sequence}", "parameters": {"x": sequence}, "source": "algorithm", "after": 0}
    return Event("proposed", data, sequence)


def ended(sequence: int, value: float) -> Event:
    data = {"state": "SUCCEEDED", "value": value, "metric": value, "reason": "", "advised": value}
    return Event("ended", data, sequence)


def metric(writer: Writer, trial: int, sequence: int, value: float) -> MetricRow:
    return MetricRow(writer.number(), 0.0, trial, 0, sequence, 0, value, None)


def test_appended_events_are_read_back_in_order(folder: ExperimentDirectory) -> None:
    async def work(writer: Writer) -> None:
        for number in range(10):
            writer.append(proposed(number))
        writer.append(metric(writer, 3, 0, 0.25), TrialNote(3, "progress", (1, 0.25)), urgent=False)
        await writer.append(Event("started", {"attempt": 0, "identity": {"pid": 1}}, 3))

    write(folder, work)
    with Record(folder) as record:
        assert [trial for _, _, _, trial, _ in record.events(kinds=("proposed",))] == list(range(10))
        trial = record.trial("t3")
        assert (trial.state, trial.intermediates, trial.last_value) == (TrialState.RUNNING, 1, 0.25)
        assert [each.value for each in record.metrics(3)] == [0.25]
        assert record.counts() == {TrialState.WAITING: 9, TrialState.RUNNING: 1}


def test_best_follows_the_orientation(folder: ExperimentDirectory) -> None:
    async def work(writer: Writer) -> None:
        writer.append(mode="minimize")
        for number, value in enumerate([3.0, 1.0, 2.0]):
            writer.append(proposed(number))
            await writer.append(ended(number, value))

    write(folder, work)
    with Record(folder) as record:
        assert [trial.value for trial in record.best(2)] == [1.0, 2.0]

    async def turn(writer: Writer) -> None:
        await writer.append(mode="maximize")

    write(folder, turn)
    with Record(folder) as record:
        assert [trial.value for trial in record.best(2)] == [3.0, 2.0]


def test_trials_are_paged_by_key(folder: ExperimentDirectory) -> None:
    async def work(writer: Writer) -> None:
        await writer.append(*(proposed(number) for number in range(25)))

    write(folder, work)
    with Record(folder) as record:
        assert [trial.sequence for trial in record.trials(after=9, limit=3)] == [10, 11, 12]
        newest = record.trials(newest_first=True, before=20, limit=2)
        assert [trial.sequence for trial in newest] == [19, 18]


def test_numbering_goes_on_where_the_last_manager_stopped(folder: ExperimentDirectory) -> None:
    async def first(writer: Writer) -> None:
        await writer.append(proposed(0), metric(writer, 0, 0, 1.0))

    async def second(writer: Writer) -> None:
        await writer.append(proposed(1))

    write(folder, first)
    write(folder, second)
    with Record(folder) as record:
        numbers = [number for number, *_ in record.events()]
    assert len(set(numbers)) == 2
    assert max(numbers) == 3  # the metric took one of the shared numbers


def test_durability_is_confirmed_in_order(folder: ExperimentDirectory) -> None:
    order: list[int] = []

    async def work(writer: Writer) -> None:
        futures = []
        for number in range(200):
            future = writer.append(proposed(number), urgent=number % 3 == 0)
            future.add_done_callback(lambda _, number=number: order.append(number))
            futures.append(future)
        await asyncio.gather(*futures)

    write(folder, work)
    assert order == list(range(200))


def test_flood_of_metrics_is_held_back(folder: ExperimentDirectory) -> None:
    waited = 0

    async def work(writer: Writer) -> None:
        nonlocal waited
        await writer.append(proposed(0))
        for number in range(30_000):
            writer.append(metric(writer, 0, number, float(number)), urgent=False)
            if writer._backlog > 20_000:
                waited += 1
                await writer.room()
                assert writer._backlog <= 10_000

    write(folder, work)
    assert waited
    with Record(folder) as record:
        assert sum(1 for _ in record.metrics(0)) == 30_000


def test_killed_writer_leaves_what_it_confirmed(folder: ExperimentDirectory) -> None:
    script = f"""
import asyncio, os, signal, sys
from pathlib import Path
from tune_core.store.events import Event
from tune_core.store.writer import Writer
async def main():
    writer = Writer(Path({str(folder.record)!r}))
    for number in range(10_000):
        data = {{"id": f"t{{number}}", "parameters": {{}}, "source": "algorithm", "after": 0}}
        await writer.append(Event("proposed", data, number))
        print(number, flush=True)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    confirmed = -1
    while confirmed < 50:
        confirmed = int(process.stdout.readline())
    process.kill()
    rest = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    confirmed = int(rest[-1]) if rest else confirmed
    with Record(folder) as record:
        assert [trial.sequence for trial in record.trials()][: confirmed + 1] == list(range(confirmed + 1))


@pytest.mark.skipif(os.getuid() != 0, reason="platform: mounting a small disk needs root")
def test_full_disk_loses_nothing_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        monkeypatch.setenv("TUNE_HOME", str(disk / "home"))
        folder = create_experiment()
        troubles: list[str] = []

        async def run() -> None:
            in_trouble = asyncio.Event()
            writer = Writer(folder.record, lambda trouble: (troubles.append(trouble), in_trouble.set()))
            ballast = disk / "ballast"
            ballast.write_bytes(b"x" * 3_700_000)
            last = None
            for number in range(400):
                event = proposed(number)
                event.data["parameters"] = {"text": "y" * 1000}
                last = writer.append(event)
            assert last is not None
            await asyncio.wait_for(in_trouble.wait(), 60)
            assert not last.done()
            ballast.unlink()
            await asyncio.wait_for(last, 60)
            await writer.close()

        asyncio.run(run())
        assert "cannot be written" in troubles[0]
        assert troubles[-1] == ""
        with Record(folder) as record:
            assert [trial.sequence for trial in record.trials()] == list(range(400))
            assert record._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_damaged_record_is_refused_untouched(folder: ExperimentDirectory) -> None:
    folder.record.write_bytes(b"this is no database" * 500)
    before = folder.record.read_bytes()
    with pytest.raises(StoreError, match="cannot be read"):
        Record(folder)
    with pytest.raises(StoreError, match="cannot be read"):
        schema.open_writer(folder.record)
    assert folder.record.read_bytes() == before


def test_newer_record_is_refused_with_both_versions(folder: ExperimentDirectory) -> None:
    connection = schema.open_writer(folder.record)
    connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    connection.close()
    message = f"record version {schema.SCHEMA_VERSION + 1}, this one reads up to {schema.SCHEMA_VERSION}"
    with pytest.raises(StoreError, match=message):
        Record(folder)
    with pytest.raises(StoreError, match=message):
        schema.open_writer(folder.record)


def test_foreign_database_is_refused(folder: ExperimentDirectory) -> None:
    with sqlite3.connect(folder.record) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="not the record of a tune experiment"):
        Record(folder)


def test_copied_file_opens_anywhere(folder: ExperimentDirectory, tmp_path: Path) -> None:
    async def work(writer: Writer) -> None:
        await writer.append(proposed(0), ended(0, 0.5))

    write(folder, work)
    copy = tmp_path / "elsewhere" / "copy.sqlite"
    copy.parent.mkdir()
    shutil.copy(folder.record, copy)
    with Record(copy) as record:
        assert record.trial(0).value == 0.5


def test_network_file_systems_get_the_safe_journal(
    folder: ExperimentDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "network_filesystem", lambda _: "nfs4")
    connection = schema.open_writer(folder.record)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    connection.close()


def test_killed_writer_on_a_network_file_system_leaves_what_can_be_read(
    folder: ExperimentDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "network_filesystem", lambda _: "nfs4")

    async def work(writer: Writer) -> None:
        await writer.append(proposed(0), ended(0, 0.5))

    write(folder, work)
    script = f"""
import os, signal, sqlite3
connection = sqlite3.connect({str(folder.record)!r}, isolation_level=None)
connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the end
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE trial SET value = 9")
for number in range(100, 200):
    connection.execute("INSERT INTO event VALUES (?, 0, 'x', NULL, ?)", (number, "x" * 5000))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False, timeout=120)
    assert folder.record.with_name(f"{folder.record.name}-journal").stat().st_size > 0
    with Record(folder) as record:
        assert record.trial(0).value == 0.5
    assert not folder.record.with_name(f"{folder.record.name}-journal").exists()


def test_second_manager_is_refused_and_told_who_has_it(folder: ExperimentDirectory) -> None:
    lock = ManagerLock(folder.lock)
    try:
        with pytest.raises(ExperimentBusyError, match=f"managed by process {os.getpid()}"):
            ManagerLock(folder.lock, patience_s=0.0)
        assert ManagerLock.is_held(folder.lock)
    finally:
        lock.release()
    assert not ManagerLock.is_held(folder.lock)


def test_lock_is_free_once_its_process_was_killed(folder: ExperimentDirectory) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tune_core.store.lock import ManagerLock;"
        "lock = ManagerLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(110)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder.lock)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert ManagerLock.is_held(folder.lock)
    process.kill()
    process.wait()
    process.stdout.close()
    ManagerLock(folder.lock).release()


def test_request_without_a_manager_says_how_to_go_on(folder: ExperimentDirectory) -> None:
    schema.open_writer(folder.record).close()
    with pytest.raises(ExperimentBusyError, match=f"tune resume {folder.id}"):
        request(folder, "stop")


def test_requests_are_left_over_only_from_before(folder: ExperimentDirectory) -> None:
    connection = schema.open_writer(folder.record)
    for moment in (1.0, 2.0):
        connection.execute("INSERT INTO command (time, verb, arguments) VALUES (?, 'stop', '{}')", (moment,))
    assert [command.id for command in open_commands(connection)] == [1, 2]
    assert [command.id for command in open_commands(connection, before=2.0)] == [1]
    connection.close()


def test_folders_are_closed_to_others_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    before = os.umask(0)
    try:
        folder = create_experiment()
        schema.open_writer(folder.record).close()
        ManagerLock(folder.lock).release()
    finally:
        os.umask(before)
    for path in (folder.path, folder.log, folder.trials):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (folder.record, folder.lock, folder.doorbell):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_home_that_others_may_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setenv("TUNE_HOME", str(home))
    with pytest.raises(StoreError, match="chmod go-w"):
        create_experiment()


def test_experiments_are_found_by_start_of_id_and_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    for name, parent in (("apple1", None), ("apple2", None), ("pear", tmp_path / "elsewhere")):
        schema.open_writer(create_experiment(parent, name).record).close()
    assert {folder.id for folder in list_experiments()} == {"apple1", "apple2", "pear"}
    assert find_experiment("pe").path == (tmp_path / "elsewhere" / "pear").resolve()
    with pytest.raises(TuneError, match="could be apple1, apple2"):
        find_experiment("app")
    with pytest.raises(ExperimentNotFoundError, match="no experiment 'plum'"):
        find_experiment("plum")
    places.delete_experiment(find_experiment("pear"))
    assert {folder.id for folder in list_experiments()} == {"apple1", "apple2"}


def test_experiments_are_listed_by_creation_whatever_was_written_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    folders = [create_experiment(None, name) for name in ("middle", "older", "newest")]
    for folder, age_s in zip(folders, (20, 30, 10), strict=True):
        os.utime(folder.created, (0, 1e9 - age_s))
        schema.open_writer(folder.record).close()

    async def work(writer: Writer) -> None:
        await writer.append(proposed(0))

    write(folders[1], work)
    folders[1].doorbell.write_text("x")
    assert [folder.id for folder in list_experiments()] == ["newest", "middle", "older"]
    assert find_experiment().id == "newest"


@pytest.mark.parametrize("name", ["", "a b", "../evil", "x" * 33, "ü", "-x"])
def test_odd_experiment_ids_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="1 to 32 letters"):
        create_experiment(None, name)


def test_home_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="file: the experiments there cannot be listed: Not a directory"):
        find_experiment()
    monkeypatch.setenv("TUNE_HOME", "~no-such-user/x")
    with pytest.raises(StoreError, match="~no-such-user/x: no such user's home folder"):
        create_experiment()


def test_id_that_is_taken_is_a_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path))
    create_experiment(None, "mine")
    with pytest.raises(ExperimentBusyError, match="already\n  go on with it: tune resume mine"):
        create_experiment(None, "mine")
