"""What a host server has to say, until the pipe takes it.

Two queues: what belongs to bulk data goes in order behind it, everything else before it. Bulk data
is made only while there is room, so a manager that reads slowly, or not at all, costs no memory.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

from tune.host.wire import encode

__all__ = ["Outbox"]

_ROOM = 1 << 20
_CHUNK = 1 << 16


class Outbox:
    """Frames on their way to a descriptor that does not block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._first: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self._current = memoryview(b"")  # being written
        self._size = 0

    def __len__(self) -> int:
        """Bytes that wait."""
        return self._size

    @property
    def has_room(self) -> bool:
        return self._size < _ROOM

    def put(self, kind: str, body: bytes = b"", /, *, bulk: bool = False, **fields: Any) -> None:
        """Send a frame; `bulk` puts it behind all bulk data that was put before.

        Raises:
            WireError: It is too large, or holds what JSON cannot.
        """
        frame = encode({"type": kind, **fields}, body)
        self._size += len(frame)
        (self._bulk if bulk else self._first).append(frame)

    def write(self) -> None:
        """Write what the pipe takes now.

        Raises:
            OSError: Nobody will read it any more.
        """
        while self._size:
            if not self._current:
                self._current = memoryview(self._next())
            try:
                written = os.write(self._descriptor, self._current)
            except BlockingIOError:
                return
            self._current = self._current[written:]
            self._size -= written

    def clear(self) -> None:
        self._first.clear()
        self._bulk.clear()
        self._current = memoryview(b"")
        self._size = 0

    def _next(self) -> bytes:
        """Some whole frames, in their order: one write for many small ones."""
        frames: list[bytes] = []
        size = 0
        for queue in (self._first, self._bulk):
            while queue and size < _CHUNK:
                frames.append(queue.popleft())
                size += len(frames[-1])
        return b"".join(frames)
