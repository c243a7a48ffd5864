"""From a record to a running engine and back: what one manager does between its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from tune_core.algorithms.base import Advisor
from tune_core.errors import AlgorithmError, TuneError
from tune_core.experiment.engine import Engine, Notify
from tune_core.experiment.replay import rebuild, restore
from tune_core.experiment.requests import Requests
from tune_core.experiment.settings import Limits, Settings
from tune_core.services.base import ServiceContext, TrainingService
from tune_core.space import SearchSpace
from tune_core.store.commands import open_commands
from tune_core.store.directory import ExperimentDirectory, delete_experiment
from tune_core.store.events import Answer, Event, write_rows
from tune_core.store.lock import ManagerLock, manager_identity
from tune_core.store.reader import Record
from tune_core.store.schema import open_reader, open_writer
from tune_core.store.writer import Writer
from tune_core.version import __version__

__all__ = ["Parts", "create_record", "log_to_folder", "manage"]

_log = logging.getLogger(__name__)


@dataclass
class Parts:
    """What an experiment is put together from.

    Attributes:
        search_space: The one it was created with.
        advisor: New, without a seed or a search space yet.
        check_space: Raises SearchSpaceError for a later search space that the advisor does not take,
            beyond what it refuses by itself.
        algorithm_gpus: CUDA_VISIBLE_DEVICES for the algorithm: none unless asked for, so that it
            takes no memory from the trials'. None leaves the variable alone.
    """

    settings: Settings
    search_space: SearchSpace
    advisor: Advisor
    service: TrainingService
    notify: Notify | None = None
    algorithm_gpus: str | None = ""
    check_space: Callable[[SearchSpace], None] = lambda _: None


def create_record(directory: ExperimentDirectory, parts: Parts, config: dict[str, Any] | None) -> None:
    """Write the first event of a new experiment; if that fails, its folder is removed again.

    The record has its name only then: whoever lists experiments meanwhile sees none that is half there.

    Args:
        config: What `tune resume` builds the parts from again; None if only code can.
    """
    settings = parts.settings
    data = {
        "config": config,
        "name": settings.name,
        **settings.objectives.to_state(),
        "seed": settings.seed,
        "search_space": parts.search_space.raw,
        "first_search_space": parts.search_space.raw,
        "limits": asdict(settings.limits),
        "version": __version__,
    }
    unborn = directory.record.with_suffix(".new")
    try:
        with contextlib.closing(open_writer(unborn)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # or a part of it might be in another file
            connection.execute("BEGIN IMMEDIATE")
            write_rows(connection, [Event("created", data, time=time.time(), id=1)])
            connection.execute("COMMIT")
        unborn.rename(directory.record)
        _sync(directory.path)
    except BaseException:
        delete_experiment(directory)
        raise


def _sync(folder: Path) -> None:
    """Make the names of what is in it durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def manage(
    directory: ExperimentDirectory, parts: Parts, on_engine: Callable[[Engine], None] = lambda _: None
) -> str:
    """Run an experiment from wherever its record stands; returns its status at the end.

    Args:
        on_engine: Given the engine before it starts: for a live view, signals, notebooks.

    Raises:
        ExperimentBusyError: Another manager has it.
        StoreError: The record cannot be opened.
        TuneError: The platform cannot be used, or the algorithm failed when its calls were repeated.
    """
    environment = dict(os.environ)
    async with contextlib.AsyncExitStack() as cleanup:
        if parts.algorithm_gpus is not None:
            cleanup.enter_context(_variable("CUDA_VISIBLE_DEVICES", parts.algorithm_gpus))
        lock = ManagerLock(directory.lock)
        taken = time.time()
        cleanup.callback(lock.release)
        engine: Engine | None = None

        def on_trouble(trouble: str) -> None:
            if engine is not None:
                engine.set_trouble("record", trouble)

        writer = Writer(directory.record, on_trouble)
        cleanup.push_async_callback(writer.close)
        cleanup.push(_record_failure(writer))
        _refuse_leftovers(directory, writer, taken)
        engine = await _prepare(directory, parts, writer, lock)
        cleanup.push_async_callback(engine.advice.end, within_s=0.0)  # where it does not come to run
        started = {**manager_identity(), "version": __version__, "run_seconds": engine.elapsed_s()}
        writer.append(Event("manager_started", started))
        cleanup.callback(lambda: writer.append(Event("manager_ended", {"status": engine.status})))
        requests = Requests(directory, engine.wake)
        cleanup.callback(requests.close)
        await parts.service.open(
            ServiceContext(
                directory.id,
                directory.path,
                engine.limits.concurrency,
                engine.reception,
                environment,
                engine.adoptable,
            )
        )
        cleanup.push_async_callback(parts.service.close)
        on_engine(engine)
        return await engine.run(requests)


def _record_failure(
    writer: Writer,
) -> Callable[[type[BaseException] | None, BaseException | None, TracebackType | None], bool]:
    """For an exit stack: whoever reads the record is to know why this manager could not go on."""

    def note(_: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, Exception):
            summary = f"{type(error).__name__}: {error}"
            _log.error("the manager cannot go on: %s", summary, exc_info=error)
            lines = "".join(traceback.format_exception(error))
            writer.append(Event("failed", {"summary": summary, "traceback": lines}))
            writer.append(Event("status", {"status": "ERROR", "reason": str(error)}))
        return False

    return note


async def _prepare(directory: ExperimentDirectory, parts: Parts, writer: Writer, lock: ManagerLock) -> Engine:
    """Rebuild the algorithm and the state in memory from the record."""
    connection = open_reader(directory.record)
    try:
        restored = restore(connection)
        seed = int(restored.state["seed"])
        settings = replace(parts.settings, seed=seed, limits=Limits(**restored.state["limits"]))

        if restored.next_sequence:
            _log.info("replaying the record of %d trials", restored.next_sequence)
        try:
            await asyncio.get_running_loop().run_in_executor(
                None, rebuild, directory, connection, parts.advisor, parts.search_space, restored
            )
        except TuneError:
            raise
        except Exception as err:
            raise AlgorithmError(
                f"{parts.advisor.algorithm_name} failed while its recorded calls were repeated:"
                f" {type(err).__name__}: {err}\n"
                f"  nothing is lost. The traceback is in {directory.log / 'manager.log'}; when the cause is"
                f" mended: tune resume {directory.id}"
            ) from err
    finally:
        connection.close()
    space = SearchSpace.parse(restored.state["search_space"], allow_empty=True)
    return Engine(
        directory,
        settings,
        space,
        parts.advisor,
        parts.service,
        writer,
        restored,
        lock,
        parts.notify,
        parts.check_space,
    )


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _refuse_leftovers(directory: ExperimentDirectory, writer: Writer, taken: float) -> None:
    """Requests that an earlier manager did not answer: carrying them out twice would be worse."""
    connection = open_reader(directory.record)
    try:
        for command in open_commands(connection, before=taken):
            writer.append(Answer(command.id, {"error": "the manager ended before it answered; ask again"}))
    finally:
        connection.close()


def log_to_folder(directory: ExperimentDirectory) -> logging.Handler:
    """Send the log of this process to `log/manager.log`, ten files of 10 MiB at most.

    It holds what is of `logLevel` in the experiment's configuration, or above.
    """
    path = directory.log / "manager.log"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=10 * 2**20, backupCount=9, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(_log_level(directory))
    return handler


_LOG_LEVELS = {"trace": 1, "fatal": logging.CRITICAL}


def _log_level(directory: ExperimentDirectory) -> int:
    with Record(directory) as record:
        config = record.state().get("config") or {}
    name = "debug" if config.get("debug") else config.get("logLevel", "info")
    known = logging.getLevelNamesMapping()
    return _LOG_LEVELS.get(name) or known[name.upper()]
