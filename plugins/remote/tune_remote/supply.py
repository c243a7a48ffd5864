"""Getting the code to one machine: it is offered, and what is missing there is sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from tune_remote.code import CodeChangedError, CodeTree
from tune_remote.link import Link, in_thread

__all__ = ["CodeSupply", "Customer"]

_log = logging.getLogger(__name__)

_PATIENCE_S = 20.0  # for which trials rather wait for a machine than crowd on another
_RETRY_S = (1.0, 60.0)  # first and longest pause after it could not take the code
_REFUSES = "cannot take the code"


class Customer(Protocol):
    """The service, as it is told of code."""

    def changed(self) -> None:
        """A machine may take more trials now, or something is wrong with it."""

    def code_changed(self) -> None:
        """The code is not any more what it was when it was looked at."""

    def run(self, work: Coroutine[Any, Any, None], *, opens_gate: bool = False) -> None:
        """Do something beside; a failure of it is the platform's."""


class CodeSupply:
    """The code of one machine.

    Attributes:
        obstacle: Why the machine has not the code; empty once it has.
    """

    def __init__(self, customer: Customer) -> None:
        self.obstacle = "waits for the code"
        self._customer = customer
        self._loop = asyncio.get_running_loop()
        self._code: CodeTree | None = None
        self._link: Link | None = None
        self._is_offered = False  # and neither taken nor refused yet
        self._offered = 0.0
        self._pause_s = _RETRY_S[0]
        self.receive: Mapping[str, Callable[[Mapping[str, Any], bytes], None]] = {
            "code": self._receive_missing,
            "ready": self._receive_ready,
            "code_failed": self._receive_failed,
        }

    @property
    def digest(self) -> str:
        """Names the code there is."""
        assert self._code is not None
        return self._code.digest

    @property
    def is_refused(self) -> bool:
        """The machine cannot take it: its disk is full, say."""
        return self.obstacle.startswith(_REFUSES)

    def is_coming(self) -> bool:
        """It has been on its way for a moment, and will soon be there."""
        return self._is_offered and time.monotonic() - self._offered < _PATIENCE_S

    def provide(self, code: CodeTree) -> None:
        """Trials will run this code."""
        self._code = code
        self.obstacle = "receives the code"
        self._is_offered = False
        self.offer()

    def connect(self, link: Link | None) -> None:
        """The machine is there, or not any more."""
        self._link = link
        self._is_offered = False
        self.offer()

    def offer(self) -> None:
        """Say what the code is; what of it is missing is asked for. Does nothing while that goes on."""
        if self._code is None or self._link is None or self._is_offered:
            return
        self._is_offered = True
        self._offered = time.monotonic()
        self._loop.call_later(_PATIENCE_S, self._customer.changed)
        self.obstacle = self.obstacle or "receives the code"
        pieces = self._code.manifest_pieces()
        for number, piece in enumerate(pieces, start=1):
            self._link.send("code", piece, digest=self._code.digest, last=number == len(pieces))

    async def _send(self, link: Link, code: CodeTree, missing: Sequence[int]) -> None:
        total = sum(code.size_of(index) for index in missing)
        sent = 0
        try:
            for index in missing:
                pieces = code.read_pieces(index)
                is_last = False
                while not is_last:
                    piece, is_last = await in_thread(next, pieces)
                    await link.room()
                    if link is not self._link or code is not self._code or not self._is_offered:
                        return  # or a host that shares the disk was quicker
                    link.send("file", piece, digest=code.digest, index=index, last=is_last)
                    sent += len(piece)
                    self.obstacle = f"receives the code ({sent >> 20} of {total >> 20} MiB)"
        except CodeChangedError as error:
            _log.info("the code is looked at again: %s", error)
            self._customer.code_changed()

    def _receive_missing(self, message: Mapping[str, Any], _: bytes) -> None:
        code = self._named(message)
        if code is not None and message["missing"] and self._link is not None:
            self._customer.run(self._send(self._link, code, message["missing"]))

    def _receive_ready(self, message: Mapping[str, Any], _: bytes) -> None:
        if self._named(message) is not None:
            self.obstacle = ""
            self._is_offered = False
            self._pause_s = _RETRY_S[0]
            self._customer.changed()

    def _receive_failed(self, message: Mapping[str, Any], _: bytes) -> None:
        if self._named(message) is None:
            return
        if message["fault"] == "code":
            self._customer.code_changed()
            return
        self._is_offered = False
        self.obstacle = f"{_REFUSES}: {message['reason']}"
        self._loop.call_later(self._pause_s, self.offer)
        self._pause_s = min(2 * self._pause_s, _RETRY_S[1])
        self._customer.changed()

    def _named(self, message: Mapping[str, Any]) -> CodeTree | None:
        """The code, if the message is about that and not about an earlier one."""
        is_this = self._code is not None and message["digest"] == self._code.digest
        return self._code if is_this else None
