"""A short stay on one machine, for what needs no manager: fetch, see and remove what is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from tune_core import TrainingServiceError
from tune_remote.config import MachineConfig
from tune_remote.link import Link, in_thread
from tune_remote.opening import Opened, reach

__all__ = ["Visit", "visit"]

_LEAVE_S = 5.0


@contextlib.asynccontextmanager
async def visit(machine: MachineConfig) -> AsyncIterator[Visit]:
    """Connect to a machine for a few questions.

    Raises:
        ConnectError: It cannot be reached.
    """
    stay = Visit(machine, await in_thread(reach, machine))
    try:
        yield stay
        await stay.leave()
    finally:
        stay.close()


class Visit:
    """Questions to one host server, one after the other."""

    def __init__(self, machine: MachineConfig, opened: Opened) -> None:
        self._machine = machine
        self._frames: asyncio.Queue[tuple[Mapping[str, Any], bytes]] = asyncio.Queue()
        self._link = Link(opened.pipe, opened.rest, self._received, self._lost)
        self._asked = 0

    def close(self) -> None:
        self._link.close()

    async def leave(self) -> None:
        """Let the host remove what it was sent for the visit, if nothing else is there."""
        self._link.send("leave")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                while (await self._frames.get())[0]["type"] != "lost":
                    pass

    async def ask(self, kind: str, last: str, **fields: Any) -> Mapping[str, Any]:
        """The one answer to a question."""
        async for message, _ in self._answers(kind, last, **fields):
            answer = message
        return answer

    async def fetch(self, experiment: str, path: str, target: Path) -> None:
        """Copy a folder of an experiment there to `target`; nothing if there is none.

        Whatever the other end says, nothing is written outside `target`: links are made when
        everything else is there.

        Raises:
            TrainingServiceError: It cannot be had.
        """
        links: list[tuple[Path, str]] = []
        with contextlib.ExitStack() as opened:
            file: BinaryIO | None = None
            async for message, body in self._answers("fetch", "fetched", experiment=experiment, paths=[path]):
                if message["type"] == "data" and file is not None:
                    file.write(body)
                if message["type"] != "entry":
                    continue
                opened.close()
                place = _place(target, path, str(message["path"]))
                if message["kind"] == "dir":
                    place.mkdir(mode=0o700, parents=True, exist_ok=True)
                elif message["kind"] == "link":
                    links.append((place, str(message["target"])))
                else:
                    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    file = opened.enter_context(_create(place, int(message["mode"])))
        for place, pointed in links:
            if any(folder.is_symlink() for folder in place.parents if folder.is_relative_to(target)):
                raise TrainingServiceError(f"{self._machine}: {str(place)!r} is below a link")
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.symlink_to(pointed)

    async def _answers(
        self, kind: str, last: str, **fields: Any
    ) -> AsyncIterator[tuple[Mapping[str, Any], bytes]]:
        self._asked += 1
        self._link.send(kind, id=self._asked, **fields)
        while True:
            message, body = await self._frames.get()
            if message["type"] == "lost":
                raise TrainingServiceError(f"{self._machine}: the connection was lost: {message['reason']}")
            if message["type"] in ("error", "failed") or (
                message["type"] == "refused" and message.get("id") == self._asked
            ):
                raise TrainingServiceError(f"{self._machine}: {message['reason']}")
            if message.get("id") == self._asked:
                yield message, body
                if message["type"] == last:
                    return

    def _received(self, message: Mapping[str, Any], body: bytes) -> None:
        self._frames.put_nowait((message, body))

    def _lost(self, reason: str) -> None:
        self._frames.put_nowait(({"type": "lost", "reason": reason}, b""))


def _place(target: Path, asked: str, path: str) -> Path:
    """Where to put what is called `path` there."""
    place = PurePosixPath(path)
    if not place.is_relative_to(asked) or ".." in place.parts:
        raise TrainingServiceError(f"{path!r} is not in {asked}")
    return target.joinpath(*place.relative_to(asked).parts)


def _create(place: Path, mode: int) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(place, flags, 0o600 | (mode & 0o100)), "wb")
