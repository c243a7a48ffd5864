"""A kernel in miniature: drives a LocalService and records what it tells."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tune_local.config import LocalConfig
from tune_local.service import LocalService

from tune_core import Attempt, AttemptKey, Ending, Message, ServiceContext


class Recorder:
    """ServiceEvents that remember."""

    def __init__(self) -> None:
        self.identities: dict[AttemptKey, Mapping[str, Any]] = {}
        self.received: dict[AttemptKey, list[Message]] = {}
        self.endings: dict[AttemptKey, Ending] = {}
        self.reasons: dict[AttemptKey, str] = {}
        self.troubles: list[str] = []
        self.refused: set[AttemptKey] = set()
        self.changed = asyncio.Event()

    def waiting(self, key: AttemptKey, reason: str) -> None:
        self.reasons[key] = reason
        self.changed.set()

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        self.identities[key] = json.loads(json.dumps(identity))  # JSON values, as the contract says
        self.changed.set()
        return key not in self.refused

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        assert key not in self.endings, "a message after the end"
        self.received.setdefault(key, []).extend(messages)
        self.changed.set()

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        assert key not in self.endings, "a second end"
        self.endings[key] = ending
        self.changed.set()

    def trouble(self, summary: str) -> None:
        self.troubles.append(summary)
        self.changed.set()

    async def until(self, condition: Callable[[], Any], timeout_s: float = 30) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                try:
                    await asyncio.wait_for(self.changed.wait(), 0.02)
                except TimeoutError:
                    continue

    async def end_of(self, *keys: AttemptKey) -> list[Ending]:
        await self.until(lambda: all(key in self.endings for key in keys))
        return [self.endings[key] for key in keys]


@asynccontextmanager
async def local_service(
    directory: Path, recorder: Recorder | None = None, **options: Any
) -> AsyncIterator[tuple[LocalService, Recorder]]:
    """An opened service; what still runs when the block ends is cancelled."""
    recorder = recorder or Recorder()
    service = LocalService(LocalConfig(**{"kill_grace": 1, **options}))
    await service.open(ServiceContext("exp", directory, 100, recorder))
    try:
        yield service, recorder
    finally:
        running = [key for key in recorder.identities if key not in recorder.endings]
        for key in running:
            await service.cancel(key)
        await recorder.end_of(*running)
        await service.close()


def attempt(directory: Path, command: str, trial_id: str = "t", number: int = 0, **fields: Any) -> Attempt:
    code = directory / "code"
    code.mkdir(exist_ok=True)
    given: dict[str, Any] = {
        "experiment_id": "exp",
        "sequence": 0,
        "parameters": {"x": 1},
        "command": command,
        "code_directory": code,
        "directory": directory / "trials" / trial_id / str(number),
    }
    return Attempt(AttemptKey(trial_id, number), **{**given, **fields})


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def read_pid(path: Path) -> int | None:
    return int(path.read_text()) if path.exists() and path.read_text().endswith("\n") else None


PYTHON = f"'{sys.executable}'"
ENVIRONMENT = os.environ
