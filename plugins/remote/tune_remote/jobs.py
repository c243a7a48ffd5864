"""The attempts of one machine: what the kernel asks for, sent there, and what comes back.

They outlive the connection. What runs is adopted when it is back; what was only about to start is
handed back, to be started elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tune_core import Attempt, AttemptKey, Ending, Message
from tune_core.services.gpus import GpuAccount
from tune_core.services.hints import explain
from tune_remote.link import Link

__all__ = ["Employer", "Jobs"]

_log = logging.getLogger(__name__)

_FOLLOW_S = 5.0  # for what a trial has printed to be here; the rest comes when it comes
_CANCEL_S = 15.0  # after which a trial on a machine that is away is given up rather than waited for


class Employer(Protocol):
    """The service, as it is told of attempts."""

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        """As `ServiceEvents.started`."""

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        """As `ServiceEvents.messages`."""

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        """As `ServiceEvents.ended`."""

    def returned(self, key: AttemptKey) -> None:
        """It could not be started there, and can be anywhere."""

    def changed(self) -> None:
        """The machine may take more trials now."""

    def run(self, work: Coroutine[Any, Any, None], *, opens_gate: bool = False) -> None:
        """Do something beside; a failure of it is the platform's.

        `opens_gate`: it lets a trial run, which the end of this manager waits for.
        """


@dataclass(eq=False)
class _Job:
    """An attempt that the machine has.

    Attributes:
        identity: Once it is at its gate.
        running: Its gate was opened, or it was adopted.
        after: The sequence number of its last message that the kernel was given.
        caught_up: Its output is followed, and what it had printed then is here once this is done.
    """

    attempt: Attempt
    gpus: Sequence[int] | None
    identity: Mapping[str, Any] | None = None
    running: bool = False
    after: int = -1
    cancelled: bool = False
    caught_up: asyncio.Future[None] | None = None

    @property
    def key(self) -> AttemptKey:
        return self.attempt.key


class Jobs:
    """What one machine runs, or is about to run.

    Args:
        name: The machine's, for people.
        label: The machine's, for identities.
        grace_s: Between SIGTERM and SIGKILL.
        gpus: The machine's; what an attempt holds is given back with its end.
        gate: Called when the machine has brought something to its gate, so is in order.
        unstarted: Called with the reason when it could not.

    Attributes:
        away: Why the machine is not connected; empty when it is.
    """

    def __init__(
        self,
        name: str,
        label: str,
        grace_s: float,
        owner: Employer,
        gpus: GpuAccount,
        gate: Callable[[], None],
        unstarted: Callable[[str], None],
    ) -> None:
        self.away = "is not connected"
        self._name = name
        self._label = label
        self._grace_s = grace_s
        self._owner = owner
        self._gpus = gpus
        self._gate = gate
        self._unstarted = unstarted
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._clock_ahead_s = 0.0
        self._jobs: dict[AttemptKey, _Job] = {}
        self.receive: Mapping[str, Callable[[Mapping[str, Any], bytes], None]] = {
            "gate": self._receive_gate,
            "unstarted": self._receive_unstarted,
            "records": self._receive_records,
            "problem": self._receive_problem,
            "output": self._receive_output,
            "following": self._receive_following,
            "ended": self._receive_ended,
        }

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def n_running(self) -> int:
        return sum(job.running for job in self._jobs.values())

    # What the service asks.

    def start(self, attempt: Attempt, gpus: Sequence[int] | None, code: str) -> None:
        """Bring an attempt to its gate and, once the kernel has its identity, let it run.

        Raises:
            OSError: Its folder here cannot be made; nothing was asked for.
        """
        _prepare(attempt)
        self._jobs[attempt.key] = _Job(attempt, gpus)
        self._send(
            "start",
            key=attempt.key,
            sequence=attempt.sequence,
            command=attempt.command,
            code=code,
            parameters=attempt.parameters,
            environment=attempt.environment,
            gpus=gpus,
        )

    def adopt(self, attempt: Attempt, identity: Mapping[str, Any], after: int) -> None:
        """Watch an attempt that an earlier manager started here."""
        with contextlib.suppress(OSError):  # what it prints is then not kept, which is said
            _prepare(attempt)
        gpus = identity.get("gpus")
        job = _Job(attempt, gpus, identity, running=True, after=after)
        self._jobs[job.key] = job
        self._gpus.occupy(job.key, gpus or ())
        self._adopt(job)

    def cancel(self, key: AttemptKey) -> None:
        """End an attempt with all its processes; `ended` follows."""
        job = self._jobs[key]
        job.cancelled = True
        if self._link is not None:
            self._send("kill", key=key, grace_s=self._grace_s)
        else:
            self._loop.call_later(_CANCEL_S, self._abandon, job)

    async def follow(self, key: AttemptKey) -> None:
        """Bring what an attempt prints here as it comes; returns when what it has printed is here."""
        job = self._jobs[key]
        if not job.running or self._link is None:
            return
        if job.caught_up is None:
            job.caught_up = self._loop.create_future()
            self._follow(job)
        await asyncio.wait({job.caught_up}, timeout=_FOLLOW_S)

    # What the machine tells.

    def connect(self, link: Link, clock_ahead_s: float, expected: Collection[AttemptKey]) -> None:
        """The machine is there. What runs on it beside these jobs and `expected` is ended."""
        self._link, self._clock_ahead_s = link, clock_ahead_s
        self.away = ""
        for job in self._jobs.values():
            if job.running:
                self._adopt(job)
        self._send("keep", keys=[*self._jobs, *expected])

    def disconnect(self, why: str) -> None:
        """The machine is not there, or still is not."""
        self._link = None
        self.away = why
        for job in list(self._jobs.values()):
            if job.identity is None:
                self._hand_back(job)
            elif job.cancelled:
                self._loop.call_later(_CANCEL_S, self._abandon, job)

    def lose(self, why: str) -> None:
        """The machine has been away for too long."""
        for job in list(self._jobs.values()):
            if job.running:
                self._finish(job, Ending(None, lost=True, reason=f"{self._name} {why}"))

    def _abandon(self, job: _Job) -> None:
        """It is to end, and its machine is not there to be told."""
        if self._jobs.get(job.key) is job and self._link is None:
            why = "it is ended when the machine is back, or by its lease"
            self._finish(job, Ending(None, lost=True, reason=f"{self._name} {self.away}; {why}"))

    def _adopt(self, job: _Job) -> None:
        attempt = job.attempt
        self._send(
            "adopt",
            key=job.key,
            identity=job.identity,
            after=job.after,
            command=attempt.command,
            environment=attempt.environment,
        )
        if job.cancelled:
            self._send("kill", key=job.key, grace_s=self._grace_s)
        if job.caught_up is not None:
            self._follow(job)

    def _follow(self, job: _Job) -> None:
        self._send("follow", key=job.key, stdout=_size(job, "stdout"), stderr=_size(job, "stderr"))

    def _hand_back(self, job: _Job) -> None:
        """It was not started, and never will be there: its gate closes with the connection."""
        if job.cancelled:
            self._finish(job, Ending(None, reason="cancelled before it started"))
        else:
            del self._jobs[job.key]
            self._gpus.release(job.key)
            self._owner.returned(job.key)

    def _finish(self, job: _Job, ending: Ending) -> None:
        del self._jobs[job.key]
        _resolve(job.caught_up)
        self._gpus.release(job.key)
        self._owner.ended(job.key, ending)

    async def _open_gate(self, job: _Job, link: Link, identity: Mapping[str, Any]) -> None:
        may_run = await self._owner.started(job.key, identity)
        if self._jobs.get(job.key) is not job:
            return  # it died at the gate
        if link is not self._link:
            why = "" if not may_run else f"the connection to {self._name} was lost before it began to run"
            self._finish(job, Ending(None, lost=may_run, reason=why))
        elif may_run:
            job.running = True
            link.send("go", key=job.key)
        else:
            job.cancelled = True
            link.send("kill", key=job.key, grace_s=0)

    async def _deliver(self, job: _Job, link: Link | None, messages: Sequence[Message]) -> None:
        try:
            await self._owner.messages(job.key, messages)
        finally:  # or the trial would never end
            if link is not None and link is self._link:
                link.send("more", key=job.key)

    # What comes from there.

    def _receive_gate(self, message: Mapping[str, Any], _: bytes) -> None:
        job = self._job(message)
        if job is None or self._link is None:
            self._send("kill", key=message["key"], grace_s=0)
            return
        self._gate()
        gpus = None if job.gpus is None else list(job.gpus)
        job.identity = {**message["identity"], "machine": self._label, "gpus": gpus}
        if not job.cancelled:  # else its end is on the way
            self._owner.run(self._open_gate(job, self._link, job.identity), opens_gate=True)

    def _receive_unstarted(self, message: Mapping[str, Any], _: bytes) -> None:
        job = self._job(message)
        if job is not None:
            self._unstarted(str(message["reason"]))
            self._hand_back(job)

    def _receive_records(self, message: Mapping[str, Any], _: bytes) -> None:
        job = self._job(message)
        if job is None:
            return
        messages = [
            Message(sequence, kind, value, moment - self._clock_ahead_s)
            for sequence, kind, value, moment in message["records"]
        ]
        job.after = messages[-1].sequence
        self._owner.run(self._deliver(job, self._link, messages))

    def _receive_problem(self, message: Mapping[str, Any], _: bytes) -> None:
        trial, line, text = message["key"][0], message["line"], message["text"]
        _log.warning("trial %s: line %d of its messages is ignored: %s", trial, line, text)

    def _receive_output(self, message: Mapping[str, Any], body: bytes) -> None:
        job, name = self._job(message), message["name"]
        if job is None or name not in ("stdout", "stderr"):
            return
        path = job.attempt.directory / name
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if message.get("whole"):
                    os.ftruncate(fd, 0)
                os.pwrite(fd, body, int(message["offset"]))
            finally:
                os.close(fd)
        except OSError as error:
            _log.warning("%s: what the trial printed cannot be kept: %s", path, error.strerror)

    def _receive_following(self, message: Mapping[str, Any], _: bytes) -> None:
        job = self._job(message)
        if job is not None:
            _resolve(job.caught_up)

    def _receive_ended(self, message: Mapping[str, Any], _: bytes) -> None:
        job = self._job(message)
        if job is None:
            return
        status, reason = message["exit_status"], str(message["reason"])
        if not reason and not job.cancelled:  # what a killed trial last said explains nothing
            reason = explain(status, str(message.get("words", "")), str(message.get("python", "")))
        self._finish(job, Ending(status, bool(message["lost"]), reason))
        self._owner.changed()

    # Small things.

    def _send(self, kind: str, **fields: Any) -> None:
        if self._link is not None:
            self._link.send(kind, **fields)

    def _job(self, message: Mapping[str, Any]) -> _Job | None:
        trial, number = message["key"]
        return self._jobs.get(AttemptKey(trial, number))


def _prepare(attempt: Attempt) -> None:
    """Make the attempt's folder here, with what it prints, which is nothing yet."""
    attempt.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    attempt.directory.mkdir(mode=0o700, exist_ok=True)
    for name in ("stdout", "stderr"):
        os.close(os.open(attempt.directory / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _resolve(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _size(job: _Job, name: str) -> int:
    with contextlib.suppress(OSError):
        return (job.attempt.directory / name).stat().st_size
    return 0
