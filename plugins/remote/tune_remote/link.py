"""A machine's host server as the event loop sees it: frames in, frames out, and the loss of it.

The pipe below blocks, so two threads of its own read and write it. Neither waits for the other,
and neither can fill memory: what is read waits for the loop, what is written in bulk for `room`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, cast

from tune.host.wire import FrameReader, WireError, encode

__all__ = ["Link", "Pipe", "in_thread"]

PING_S = 2.0
DEAF_S = 10.0
_ROOM = 1 << 20
_CHUNK = 1 << 16
_AHEAD = 16  # chunks that were read and wait for the loop


T = TypeVar("T")


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Do what blocks in a thread of its own, which the end of the program does not wait for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(cast("T", result))
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work(*arguments)
        except BaseException as err:  # noqa: BLE001 (it is raised where it is awaited)
            error = err
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="tune-remote", daemon=True).start()
    return await done


class Pipe(Protocol):
    """Two byte streams to a program on another machine. All but `close` may block."""

    def sendall(self, data: bytes) -> None: ...

    def recv(self, size: int) -> bytes: ...

    def close(self) -> None: ...

    def last_words(self) -> str:
        """What the other end said on its standard error, once it is gone."""


class Link:
    """Speaks the host protocol over a pipe. To be made and used in the event loop.

    Args:
        pipe: Closed by the link.
        rest: What was read from the pipe already.
        received: Called with each frame.
        lost: Called once with the reason when the pipe breaks, or the other end is silent for ten
            seconds; not after `close`.
    """

    def __init__(
        self,
        pipe: Pipe,
        rest: bytes,
        received: Callable[[Mapping[str, Any], bytes], None],
        lost: Callable[[str], None],
    ) -> None:
        self._pipe = pipe
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._frames = FrameReader()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._counting = threading.Lock()
        self._unsent = 0  # bytes in `_outgoing`, under the lock
        self._wanted = False  # somebody waits for room, under the lock
        self._has_room = asyncio.Event()
        self._ahead = threading.Semaphore(_AHEAD)
        self._open = True
        self._said = self._heard = self._looked = time.monotonic()
        self._timer = self._loop.call_later(PING_S, self._look)
        if rest:
            self._ahead.acquire()
            self._loop.call_soon(self._take, rest)
        self._writer = self._start(self._write)
        self._start(self._read)

    @property
    def is_open(self) -> bool:
        return self._open

    def send(self, kind: str, body: bytes = b"", **fields: Any) -> None:
        """Send a frame; on a link that is closed it goes nowhere."""
        if not self._open:
            return
        data = encode({"type": kind, **fields}, body)
        with self._counting:
            self._unsent += len(data)
        self._said = time.monotonic()
        self._outgoing.put(data)

    async def room(self) -> None:
        """Wait until less than a megabyte is to be sent, or the link is closed."""
        while self._open:
            with self._counting:
                if self._unsent < _ROOM:
                    return
                self._wanted = True
                self._has_room.clear()
            await self._has_room.wait()

    def close(self, flush_s: float = 0.0) -> None:
        """Let go, having waited `flush_s` at most for what was to be sent."""
        if not self._open:
            return
        self._open = False
        self._timer.cancel()
        self._has_room.set()
        self._outgoing.put(None)
        if flush_s:
            self._writer.join(flush_s)
        # Not here: a pipe may take a moment to close.
        self._start(self._pipe.close)

    # In the loop.

    def _take(self, data: bytes) -> None:
        self._heard = time.monotonic()
        try:
            for message, body in self._frames.feed(data):
                if not self._open:
                    return
                self._received(message, body)
        except WireError as error:
            self._break(f"it sends what is no message: {error}")
        finally:
            self._ahead.release()

    def _look(self) -> None:
        """Say something when nothing was said for a while; notice that nothing was heard."""
        now = time.monotonic()
        if now - self._looked > DEAF_S / 2:
            self._heard = now  # this process itself was asleep, and what came waits to be read
        self._looked = now
        if now - self._heard > DEAF_S:
            self._break(f"no answer for {DEAF_S:.0f} s")
            return
        if now - self._said >= PING_S:
            self.send("ping")
        self._timer = self._loop.call_later(PING_S / 2, self._look)

    def _break(self, reason: str) -> None:
        if self._open:
            self.close()
            self._lost(reason)

    def _make_room(self) -> None:
        self._has_room.set()

    # In threads.

    def _start(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"tune-remote {work.__name__.strip('_')}", daemon=True)
        thread.start()
        return thread

    def _read(self) -> None:
        try:
            while data := self._pipe.recv(_CHUNK):
                self._ahead.acquire()
                if not self._open:
                    return
                self._tell(self._take, data)
            reason = "the other end has closed it"
        except Exception as error:  # noqa: BLE001 (whatever the pipe's library raises when it breaks)
            reason = str(error) or type(error).__name__
        words = self._pipe.last_words()
        self._tell(self._break, f"{reason}: {words}" if words else reason)

    def _write(self) -> None:
        try:
            while True:
                pieces = [self._outgoing.get()]
                while not self._outgoing.empty():
                    pieces.append(self._outgoing.get())
                data = b"".join(piece for piece in pieces if piece is not None)
                self._pipe.sendall(data)
                with self._counting:
                    self._unsent -= len(data)
                    is_wanted = self._wanted and self._unsent < _ROOM
                    self._wanted = self._wanted and not is_wanted
                if is_wanted:
                    self._tell(self._make_room)
                if None in pieces:
                    return
        except Exception as error:  # noqa: BLE001 (as above)
            self._tell(self._break, str(error) or type(error).__name__)

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(what, *arguments)
