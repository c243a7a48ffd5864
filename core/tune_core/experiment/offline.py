"""Changing an experiment that nobody manages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from tune_core.errors import AlgorithmError, TuneError
from tune_core.experiment.assemble import reopen
from tune_core.experiment.replay import rebuild, restore
from tune_core.experiment.requests import check_limits
from tune_core.experiment.settings import Limits
from tune_core.space import SearchSpace
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.events import Event
from tune_core.store.lock import ManagerLock
from tune_core.store.reader import Record
from tune_core.store.schema import open_reader
from tune_core.store.writer import Writer

__all__ = ["change_limits", "change_search_space"]


def change_limits(directory: ExperimentDirectory, changes: dict[str, Any]) -> Limits:
    """Record other limits, which hold from the next resume.

    Raises:
        ExperimentBusyError: A manager has the experiment; ask it by `request`.
        TuneError: A value that no limit can have.
    """
    with _held(directory):
        with Record(directory) as record:
            limits = check_limits(Limits(**record.state()["limits"]), changes)
        asyncio.run(_append(directory, Event("limits", {"limits": asdict(limits)})))
    return limits


def change_search_space(directory: ExperimentDirectory, space: SearchSpace) -> None:
    """Record another search space, which is searched from the next resume.

    The algorithm is rebuilt as a resume would, and asked: one that refused the space then could not
    be resumed at all.

    Raises:
        ExperimentBusyError: A manager has the experiment; ask it by `request`.
        SearchSpaceError: The algorithm cannot take the space.
        AlgorithmError: It fails on it.
    """
    with _held(directory):
        _ask_algorithm(directory, space)
        asyncio.run(_append(directory, Event("space", {"search_space": space.raw})))


def _ask_algorithm(directory: ExperimentDirectory, space: SearchSpace) -> None:
    parts = reopen(directory, runs_trials=False)
    parts.check_space(space)
    connection = open_reader(directory.record)
    try:
        restored = restore(connection)
        rebuild(directory, connection, parts.advisor, parts.search_space, restored)
        parts.advisor.update_search_space(space)
    except TuneError:
        raise
    except Exception as err:
        name = parts.advisor.algorithm_name
        raise AlgorithmError(f"{name} fails on this search space: {type(err).__name__}: {err}") from err
    finally:
        connection.close()


@contextmanager
def _held(directory: ExperimentDirectory) -> Iterator[None]:
    """As its manager, for a moment."""
    lock = ManagerLock(directory.lock, patience_s=0)
    try:
        yield
    finally:
        lock.release()


async def _append(directory: ExperimentDirectory, event: Event) -> None:
    writer = Writer(directory.record)
    try:
        await writer.append(event)
    finally:
        await writer.close()
