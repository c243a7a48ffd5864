"""Changing an experiment that nobody manages."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from tune_core.experiment.requests import check_limits
from tune_core.experiment.settings import Limits
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.events import Event
from tune_core.store.lock import ManagerLock
from tune_core.store.reader import Record
from tune_core.store.writer import Writer

__all__ = ["change_limits"]


def change_limits(directory: ExperimentDirectory, changes: dict[str, Any]) -> Limits:
    """Record other limits, which hold from the next resume.

    Raises:
        ExperimentBusyError: A manager has the experiment; ask it by `request`.
        TuneError: A value that no limit can have.
    """
    lock = ManagerLock(directory.lock, patience_s=0)
    try:
        with Record(directory) as record:
            limits = check_limits(Limits(**record.state()["limits"]), changes)
        asyncio.run(_append(directory, Event("limits", {"limits": asdict(limits)})))
    finally:
        lock.release()
    return limits


async def _append(directory: ExperimentDirectory, event: Event) -> None:
    writer = Writer(directory.record)
    try:
        await writer.append(event)
    finally:
        await writer.close()
