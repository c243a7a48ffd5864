"""One machine: its connection, the attempts it has, and whether it can take more.

The connection may come and go. What runs on the machine goes on without it and is adopted when it
is back; what was only about to start is handed back, to be started elsewhere; and when the machine
stays away for longer than `lostAfter`, what ran there is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tune_core import Attempt, AttemptKey, Ending, Message, TrainingServiceError
from tune_core.services.gpus import Gpu, GpuAccount
from tune_core.services.hints import explain
from tune_remote.code import CodeChangedError, CodeTree
from tune_remote.config import MachineConfig, RemoteConfig, label_of
from tune_remote.link import Link, in_thread
from tune_remote.opening import Opened, reach
from tune_remote.ssh import ConnectError

__all__ = ["Machine", "Owner"]

_log = logging.getLogger(__name__)

_LASTING_S = 30.0  # a connection that is lost sooner counts as one more failure
_OPEN_S = 30.0  # for the host server to take charge
_RETRY_S = (0.5, 60.0)  # first and longest pause before it is connected to again
_REST_S = (5.0, 300.0)  # the same after it could not start a trial
_LOSE_AGAIN_S = 5.0
_PATIENCE_S = 20.0  # for which trials rather wait for a machine than crowd on another
_FOLLOW_S = 5.0  # for what a trial has printed to be here; the rest comes when it comes
_CANCEL_S = 15.0  # after which a trial on a machine that is away is given up rather than waited for
_REFUSES = "cannot take the code"
_REFUSED_S = 60.0  # a password does not become right by trying again soon


class Owner(Protocol):
    """The service, as its machines see it."""

    def changed(self) -> None:
        """A machine may take more trials now, or something is wrong with it."""

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        """As `ServiceEvents.started`."""

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        """As `ServiceEvents.messages`."""

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        """As `ServiceEvents.ended`."""

    def returned(self, key: AttemptKey) -> None:
        """It could not be started there, and can be anywhere."""

    def code_changed(self) -> None:
        """The code is not any more what it was when it was looked at."""

    def is_alone(self) -> bool:
        """No machine is connected to."""

    def expected(self) -> Collection[AttemptKey]:
        """Attempts that the kernel will still have adopted, on whatever machine."""

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


class Machine:
    """Keeps a connection to one machine, and carries between it and the service."""

    def __init__(
        self, config: MachineConfig, service: RemoteConfig, experiment_id: str, owner: Owner
    ) -> None:
        self.config = config
        self.label = label_of(config)  # on disk and in identities
        self.name = str(config)  # for people
        self.last_chosen = 0  # for the service, which takes turns
        self.first_try: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.gpus = GpuAccount(
            self._inventory,
            place=self.name,
            indices=config.gpu_indices,
            per_gpu=config.max_trial_number_per_gpu,
            use_active=bool(config.use_active_gpu),
        )
        self._service = service
        self._experiment_id = experiment_id
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._jobs: dict[AttemptKey, _Job] = {}
        self._link: Link | None = None
        self._is_open = False  # the host server has taken charge
        self._lost: asyncio.Future[str] | None = None
        self._answer: asyncio.Future[Mapping[str, Any]] | None = None
        self._away_since = time.time()
        self._away_at = 0.0  # the same by the loop's clock
        self._away_why = "is being connected to"  # for when it is
        self._came_back = 0.0
        self._give_up: asyncio.TimerHandle | None = None
        self._given_up = False
        self._failures = 0
        self._rests = 0
        self._rest_until = 0.0
        self._rest_why = ""
        self._code: CodeTree | None = None
        self._code_state = "waits for the code"  # empty once it has the code
        self._is_offered = False  # and neither taken nor refused yet
        self._offered = 0.0
        self._code_pause_s = _RETRY_S[0]
        self._seen_gpus: list[Gpu] | str = "has not been asked for its GPUs yet"
        self._clock_ahead_s = 0.0
        self._receive: Mapping[str, Callable[[Mapping[str, Any], bytes], None]] = {
            "opened": self._receive_opened,
            "error": self._receive_error,
            "failed": self._receive_error,  # it could not unpack the runtime
            "gate": self._receive_gate,
            "unstarted": self._receive_unstarted,
            "records": self._receive_records,
            "problem": self._receive_problem,
            "output": self._receive_output,
            "following": self._receive_following,
            "ended": self._receive_ended,
            "code": self._receive_code,
            "ready": self._receive_ready,
            "code_failed": self._receive_code_failed,
            "gpus": self._receive_gpus,
        }

    # What the service asks.

    def __len__(self) -> int:
        """How many attempts it has."""
        return len(self._jobs)

    def __contains__(self, key: AttemptKey) -> bool:
        return key in self._jobs

    @property
    def is_open(self) -> bool:
        """It is connected to, and has a host server of ours."""
        return self._is_open

    @property
    def trouble(self) -> str:
        """What is wrong with it; empty when all is well."""
        what = ""
        if not self._is_open and self.first_try.done():
            going_on = sum(job.running for job in self._jobs.values())
            what = self._away_why + (f"; its {going_on} trials go on if it is up" if going_on else "")
        elif time.monotonic() < self._rest_until:
            what = self._rest_why
        elif self._code_state.startswith(_REFUSES):
            what = self._code_state
        return f"{self.name} {what}" if what else ""

    def obstacle(self) -> str:
        """Why it cannot take another trial now; empty when it can."""
        if not self._is_open:
            return self._away_why
        if time.monotonic() < self._rest_until:
            return self._rest_why
        if self._code_state:
            return self._code_state
        limit = self.config.trial_concurrency
        if limit is not None and len(self._jobs) >= limit:
            return f"has {len(self._jobs)} of {limit} trials"
        return ""

    def is_coming(self) -> bool:
        """It has been receiving the code for a moment, and will soon take trials."""
        return self._is_open and self._is_offered and time.monotonic() - self._offered < _PATIENCE_S

    def provide(self, code: CodeTree) -> None:
        """Trials will run this code."""
        self._code = code
        self._code_state = "receives the code"
        self._is_offered = False
        self._announce_code()

    def start(self, attempt: Attempt, gpus: Sequence[int] | None) -> None:
        """Bring an attempt to its gate and, once the kernel has its identity, let it run."""
        assert self._code is not None
        _prepare(attempt)
        self._jobs[attempt.key] = _Job(attempt, gpus)
        self._send(
            "start",
            key=attempt.key,
            sequence=attempt.sequence,
            command=attempt.command,
            code=self._code.digest,
            parameters=attempt.parameters,
            environment=attempt.environment,
            gpus=gpus,
        )

    def adopt(self, attempt: Attempt, identity: Mapping[str, Any], after: int) -> None:
        """Watch an attempt that an earlier manager started here."""
        _prepare(attempt)
        gpus = identity.get("gpus")
        job = _Job(attempt, gpus, identity, running=True, after=after)
        self._jobs[job.key] = job
        self.gpus.occupy(job.key, gpus or ())
        if self._is_open:
            self._adopt(job)
        elif self._given_up:
            self._loop.call_soon(self._lose, job, self._away_why)

    def cancel(self, key: AttemptKey) -> None:
        """End an attempt with all its processes; `ended` follows."""
        job = self._jobs[key]
        job.cancelled = True
        if self._is_open:
            self._send("kill", key=key, grace_s=self._service.kill_grace)
        else:
            self._loop.call_later(_CANCEL_S, self._abandon, job)

    async def follow(self, key: AttemptKey) -> None:
        """Bring what an attempt prints here as it comes; returns when what it has printed is here."""
        job = self._jobs[key]
        if not job.running or not self._is_open:
            return
        if job.caught_up is None:
            job.caught_up = self._loop.create_future()
            self._follow(job)
        await asyncio.wait({job.caught_up}, timeout=_FOLLOW_S)

    def look_again(self) -> None:
        """Ask what its GPUs do now."""
        self.gpus.look_again()
        self._send("gpus")

    async def run(self) -> None:
        """Stay connected, whatever happens, until this is cancelled."""
        self._expect_back()
        try:
            while True:
                fatal = False
                try:
                    reason = await self._stay()
                    if time.monotonic() - self._came_back > _LASTING_S:
                        self._failures = 0
                except ConnectError as error:
                    reason, fatal = str(error), error.fatal
                except Exception as error:  # noqa: BLE001 (or nobody would ever connect again)
                    _log.exception("%s: the connection failed", self.name)
                    reason = f"{type(error).__name__}: {error}"
                self._go_away(reason)
                await asyncio.sleep(_REFUSED_S if fatal else _pause_s(self._failures, *_RETRY_S))
                self._failures += 1
        finally:
            if self._give_up is not None:
                self._give_up.cancel()

    def close(self) -> None:
        """Let go of the machine; what runs there goes on."""
        if self._link is not None:
            self._send("leave")
            self._link.close(flush_s=1.0)
            self._link = None
            self._is_open = False

    # The connection.

    async def _stay(self) -> str:
        """Connect, take charge, and return the reason when the connection is lost.

        Raises:
            ConnectError: There was none.
        """
        opened = await self._reach()
        self._lost, self._answer = self._loop.create_future(), self._loop.create_future()
        link = Link(opened.pipe, opened.rest, self._received, self._lost_link)
        self._link = link
        try:
            self._send(
                "open",
                experiment=self._experiment_id,
                host=self.label,
                platform="remote",
                lease_s=self._service.lease,
                grace_s=self._service.kill_grace,
                output_limit=self._service.output_limit << 20,
            )
            either: set[asyncio.Future[Any]] = {self._lost, self._answer}
            await asyncio.wait(either, timeout=_OPEN_S, return_when=asyncio.FIRST_COMPLETED)
            if not self._answer.done():
                why = self._lost.result() if self._lost.done() else f"no answer for {_OPEN_S:.0f} s"
                raise ConnectError(f"{self.name}: trials cannot be started there: {why}")
            self._come_back(opened, self._answer.result())
            return await self._lost
        finally:
            if self._link is link:
                link.close()
                self._link = None
                self._is_open = False

    async def _reach(self) -> Opened:
        """`reach` in a thread of its own, which nobody has to wait for."""
        work = asyncio.ensure_future(in_thread(reach, self.config))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_close_opened)
            raise

    def _come_back(self, opened: Opened, answer: Mapping[str, Any]) -> None:
        self._clock_ahead_s = float(answer["time"]) - time.time()
        self._is_open = True
        self._came_back = time.monotonic()
        self._given_up = False
        if self._give_up is not None:
            self._give_up.cancel()
        for job in self._jobs.values():
            if job.running:
                self._adopt(job)
        self._send("keep", keys=[*self._jobs, *self._owner.expected()])
        self._is_offered = False
        self._announce_code()
        self._send("gpus")
        _log.info("%s: connected; Python %s at %s", self.name, opened.python, opened.executable)
        self._tried("")
        self._owner.changed()

    def _go_away(self, reason: str) -> None:
        """It is not connected, and why."""
        since = time.strftime("%H:%M", time.localtime(self._away_since))
        in_a_line = "; ".join(line.strip() for line in reason.removeprefix(f"{self.name}: ").splitlines())
        self._away_why = f"cannot be reached since {since}: {in_a_line}"
        self._tried(reason)
        for job in list(self._jobs.values()):
            if job.identity is None:
                self._hand_back(job)
            elif job.cancelled:
                self._loop.call_later(_CANCEL_S, self._abandon, job)
        self._owner.changed()

    def _lost_link(self, reason: str) -> None:
        if self._is_open:
            self._is_open = False
            self._away_since = time.time()
            self._away_why = "has just lost its connection"
            self._expect_back()
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)

    def _expect_back(self) -> None:
        self._away_at = self._loop.time()
        self._give_up = self._loop.call_later(self._service.lost_after, self._lose_all)

    def _lose_all(self) -> None:
        """It has been away for too long."""
        certainly_s = self._service.lease + self._service.kill_grace
        if self._owner.is_alone() and self._loop.time() - self._away_at < certainly_s:
            # No machine is there: more likely it is the network here, and nowhere else could they run.
            self._give_up = self._loop.call_later(_LOSE_AGAIN_S, self._lose_all)
            return
        self._given_up = True
        for job in list(self._jobs.values()):
            if job.running:
                self._lose(job, f"{self._away_why}, which is longer than lostAfter allows")

    def _lose(self, job: _Job, why: str) -> None:
        if self._jobs.get(job.key) is job:
            self._finish(job, Ending(None, lost=True, reason=f"{self.name} {why}"))

    def _abandon(self, job: _Job) -> None:
        """It is to end, and its machine is not there to be told."""
        if self._jobs.get(job.key) is job and not self._is_open:
            why = "it is ended when the machine is back, or by its lease"
            self._finish(job, Ending(None, lost=True, reason=f"{self.name} {self._away_why}; {why}"))

    def _tried(self, failure: str) -> None:
        if not self.first_try.done():
            self.first_try.set_result(failure)

    # Jobs.

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
            self._send("kill", key=job.key, grace_s=self._service.kill_grace)
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
            self.gpus.release(job.key)
            self._owner.returned(job.key)

    def _finish(self, job: _Job, ending: Ending) -> None:
        del self._jobs[job.key]
        _resolve(job.caught_up)
        self.gpus.release(job.key)
        self._owner.ended(job.key, ending)

    async def _open_gate(self, job: _Job, link: Link, identity: Mapping[str, Any]) -> None:
        may_run = await self._owner.started(job.key, identity)
        if self._jobs.get(job.key) is not job:
            return  # it died at the gate
        if link is not self._link:
            why = "" if not may_run else f"the connection to {self.name} was lost before it began to run"
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

    # Code.

    def _announce_code(self) -> None:
        """Offer the code; what of it is missing is asked for."""
        if self._code is None or not self._is_open or self._is_offered:
            return
        self._is_offered = True
        self._offered = time.monotonic()
        self._loop.call_later(_PATIENCE_S, self._owner.changed)
        self._code_state = self._code_state or "receives the code"
        pieces = self._code.manifest_pieces()
        for number, piece in enumerate(pieces, start=1):
            self._send("code", piece, digest=self._code.digest, last=number == len(pieces))

    async def _send_files(self, link: Link, code: CodeTree, missing: Sequence[int]) -> None:
        total = sum(code.size_of(index) for index in missing)
        sent = 0
        try:
            for index in missing:
                pieces = code.read_pieces(index)
                is_last = False
                while not is_last:
                    piece, is_last = await in_thread(next, pieces)
                    await link.room()
                    if link is not self._link or code is not self._code:
                        return
                    link.send("file", piece, digest=code.digest, index=index, last=is_last)
                    sent += len(piece)
                    self._code_state = f"receives the code ({sent >> 20} of {total >> 20} MiB)"
        except CodeChangedError as error:
            _log.info("the code is looked at again: %s", error)
            self._owner.code_changed()

    # What comes from there.

    def _received(self, message: Mapping[str, Any], body: bytes) -> None:
        receive = self._receive.get(message["type"])
        if receive is not None:  # a ping has said all by coming
            receive(message, body)

    def _receive_opened(self, message: Mapping[str, Any], _: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    def _receive_error(self, message: Mapping[str, Any], _: bytes) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost_link(str(message["reason"]))

    def _receive_gate(self, message: Mapping[str, Any], _: bytes) -> None:
        job = self._job(message)
        if job is None or self._link is None:
            self._send("kill", key=message["key"], grace_s=0)
            return
        self._rests = 0
        gpus = None if job.gpus is None else list(job.gpus)
        job.identity = {**message["identity"], "machine": self.label, "gpus": gpus}
        if not job.cancelled:  # else its end is on the way
            self._owner.run(self._open_gate(job, self._link, job.identity), opens_gate=True)

    def _receive_unstarted(self, message: Mapping[str, Any], _: bytes) -> None:
        job = self._job(message)
        if job is not None:
            self._rest(str(message["reason"]))
            self._hand_back(job)
            self._announce_code()  # which may be what is missing there
            self._owner.changed()

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

    def _receive_code(self, message: Mapping[str, Any], _: bytes) -> None:
        if self._is_this_code(message) and message["missing"] and self._link is not None:
            assert self._code is not None
            self._owner.run(self._send_files(self._link, self._code, message["missing"]))

    def _receive_ready(self, message: Mapping[str, Any], _: bytes) -> None:
        if self._is_this_code(message):
            self._code_state = ""
            self._is_offered = False
            self._code_pause_s = _RETRY_S[0]
            self._owner.changed()

    def _receive_code_failed(self, message: Mapping[str, Any], _: bytes) -> None:
        if not self._is_this_code(message):
            return
        if message["fault"] == "code":
            self._owner.code_changed()
            return
        self._is_offered = False
        self._code_state = f"{_REFUSES}: {message['reason']}"
        self._code_pause_s = min(2 * self._code_pause_s, _RETRY_S[1])
        self._loop.call_later(self._code_pause_s, self._announce_code)
        self._owner.changed()

    def _receive_gpus(self, message: Mapping[str, Any], _: bytes) -> None:
        if "gpus" in message:
            self._seen_gpus = [
                Gpu(each["index"], tuple(each["pids"]), each["uuid"]) for each in message["gpus"]
            ]
        else:
            self._seen_gpus = str(message["reason"])
        self.gpus.look_again()
        self._owner.changed()

    # Small things.

    def _send(self, kind: str, body: bytes = b"", **fields: Any) -> None:
        if self._link is not None:
            self._link.send(kind, body, **fields)

    def _job(self, message: Mapping[str, Any]) -> _Job | None:
        trial, number = message["key"]
        return self._jobs.get(AttemptKey(trial, number))

    def _is_this_code(self, message: Mapping[str, Any]) -> bool:
        return self._code is not None and message["digest"] == self._code.digest

    def _rest(self, why: str) -> None:
        """Start nothing there for a while."""
        pause_s = _pause_s(self._rests, *_REST_S)
        self._rests += 1
        self._rest_until = time.monotonic() + pause_s
        self._rest_why = f"cannot start trials: {why}"
        self._loop.call_later(pause_s + 0.01, self._rested)

    def _rested(self) -> None:
        if time.monotonic() >= self._rest_until:
            self._owner.changed()

    def _inventory(self) -> Sequence[Gpu]:
        if isinstance(self._seen_gpus, str):
            raise TrainingServiceError(self._seen_gpus)
        return self._seen_gpus


def _pause_s(failures: int, first_s: float, longest_s: float) -> float:
    """How long to wait after so many failures; a little by chance, so that machines take turns."""
    pause_s = min(first_s * 2.0 ** min(failures, 16), longest_s)
    return pause_s * random.uniform(0.8, 1.2)  # noqa: S311 (no secret)


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


def _close_opened(work: asyncio.Future[Opened]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().pipe.close()
