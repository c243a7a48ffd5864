"""One machine: its connection, the attempts it has, and whether it can take more.

The connection may come and go. What runs on the machine goes on without it and is adopted when it
is back; what was only about to start is handed back, to be started elsewhere; and when the machine
stays away for longer than `lostAfter`, what ran there is lost.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from tune_core import Attempt, AttemptKey, TrainingServiceError
from tune_core.services.gpus import Gpu, GpuAccount, visible_gpus
from tune_remote.code import CodeTree
from tune_remote.config import MachineConfig, RemoteConfig, label_of
from tune_remote.jobs import Employer, Jobs
from tune_remote.link import Link, in_thread
from tune_remote.opening import Opened, reach
from tune_remote.ssh import ConnectError
from tune_remote.supply import CodeSupply, Customer

__all__ = ["Machine", "Owner"]

_log = logging.getLogger(__name__)

_LASTING_S = 30.0  # a connection that is lost sooner counts as one more failure
_OPEN_S = 30.0  # for the host server to take charge
_RETRY_S = (0.5, 60.0)  # first and longest pause before it is connected to again
_REST_S = (5.0, 300.0)  # the same after it could not start a trial
_ABSENCE_S = 5.0  # between looks at a machine that is away
_REFUSED_S = 60.0  # a password does not become right by trying again soon


class Owner(Customer, Employer, Protocol):
    """The service, as its machines see it."""

    def is_alone(self) -> bool:
        """No machine is connected to."""

    def expected(self) -> Collection[AttemptKey]:
        """Attempts that the kernel will still have adopted, on whatever machine."""


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
        self._jobs = Jobs(
            self.name, self.label, service.kill_grace, owner, self.gpus, self._started_one, self._rest
        )
        self._link: Link | None = None
        self._is_open = False  # the host server has taken charge
        self._lost: asyncio.Future[str] | None = None
        self._answer: asyncio.Future[Mapping[str, Any]] | None = None
        self._away_since = time.time()
        self._away_at = 0.0  # the same by the loop's clock
        self._missed_at = 0.0  # since when other machines were there and this one was not
        self._away_why = "is being connected to"  # for when it is
        self._came_back = 0.0
        self._give_up: asyncio.TimerHandle | None = None
        self._given_up = False
        self._failures = 0
        self._rests = 0
        self._rest_until = 0.0
        self._rest_why = ""
        self._supply = CodeSupply(owner)
        self._seen_gpus: list[Gpu] | str = "has not been asked for its GPUs yet"
        self._receive: Mapping[str, Callable[[Mapping[str, Any], bytes], None]] = {
            "opened": self._receive_opened,
            "error": self._receive_error,
            "failed": self._receive_error,  # it could not unpack the runtime
            "gpus": self._receive_gpus,
            **self._jobs.receive,
            **self._supply.receive,
        }

    # What the service asks.

    def __len__(self) -> int:
        """How many attempts it has."""
        return len(self._jobs)

    @property
    def is_open(self) -> bool:
        """It is connected to, and has a host server of ours."""
        return self._is_open

    @property
    def trouble(self) -> str:
        """What is wrong with it; empty when all is well."""
        what = ""
        if not self._is_open and self.first_try.done():
            going_on = self._jobs.n_running
            what = self._away_why + (f"; its {going_on} trials go on if it is up" if going_on else "")
        elif time.monotonic() < self._rest_until:
            what = self._rest_why
        elif self._supply.is_refused:
            what = self._supply.obstacle
        return f"{self.name} {what}" if what else ""

    def obstacle(self) -> str:
        """Why it cannot take another trial now; empty when it can."""
        if not self._is_open:
            return self._away_why
        if time.monotonic() < self._rest_until:
            return self._rest_why
        if self._supply.obstacle:
            return self._supply.obstacle
        limit = self.config.trial_concurrency
        if limit is not None and len(self._jobs) >= limit:
            return f"has {len(self._jobs)} of {limit} trials"
        return ""

    def is_coming(self) -> bool:
        """It has been receiving the code for a moment, and will soon take trials."""
        return self._is_open and self._supply.is_coming()

    def provide(self, code: CodeTree) -> None:
        """Trials will run this code."""
        self._supply.provide(code)

    def start(self, attempt: Attempt, gpus: Sequence[int] | None) -> None:
        """As `Jobs.start`."""
        self._jobs.start(attempt, gpus, self._supply.digest)

    def adopt(self, attempt: Attempt, identity: Mapping[str, Any], after: int) -> None:
        """As `Jobs.adopt`."""
        self._jobs.adopt(attempt, identity, after)
        if self._given_up:
            self._loop.call_soon(self._look_at_absence)

    def cancel(self, key: AttemptKey) -> None:
        """As `Jobs.cancel`."""
        self._jobs.cancel(key)

    async def follow(self, key: AttemptKey) -> None:
        """As `Jobs.follow`."""
        await self._jobs.follow(key)

    def look_again(self) -> None:
        """Ask what its GPUs do now; until it answers, what was known counts."""
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
        assert self._link is not None
        self._is_open = True
        self._came_back = time.monotonic()
        self._given_up = False
        if self._give_up is not None:
            self._give_up.cancel()
        self._jobs.connect(self._link, float(answer["time"]) - time.time(), self._owner.expected())
        self._supply.connect(self._link)
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
        self._jobs.disconnect(self._away_why)
        self._owner.changed()

    def _lost_link(self, reason: str) -> None:
        if self._is_open:
            self._is_open = False
            self._away_since = time.time()
            self._away_why = "has just lost its connection"
            self._jobs.disconnect(self._away_why)
            self._supply.connect(None)
            self._expect_back()
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)

    def _expect_back(self) -> None:
        self._away_at = self._missed_at = self._loop.time()
        self._look_at_absence()

    def _look_at_absence(self) -> None:
        """Lose what runs there once it has been away for too long.

        Time in which no machine is there does not count: more likely it is the network here, and
        nowhere else could the trials run. When the lease is over they are lost for certain.
        """
        now = self._loop.time()
        if self._owner.is_alone():
            self._missed_at = now
        certainly_s = max(self._service.lost_after, self._service.lease + self._service.kill_grace)
        if now - self._missed_at < self._service.lost_after and now - self._away_at < certainly_s:
            pause_s = min(_ABSENCE_S, self._service.lost_after / 4)
            self._give_up = self._loop.call_later(pause_s, self._look_at_absence)
            return
        self._given_up = True
        self._jobs.lose(f"{self._away_why}, which is longer than lostAfter allows")

    def _tried(self, failure: str) -> None:
        if not self.first_try.done():
            self.first_try.set_result(failure)

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

    def _receive_gpus(self, message: Mapping[str, Any], _: bytes) -> None:
        if "gpus" in message:
            gpus = [Gpu(each["index"], tuple(each["pids"]), each["uuid"]) for each in message["gpus"]]
            self._seen_gpus = visible_gpus(gpus, message.get("visible"))
        else:
            self._seen_gpus = str(message["reason"])
        self.gpus.look_again()
        self._owner.changed()

    # Small things.

    def _send(self, kind: str, body: bytes = b"", **fields: Any) -> None:
        if self._link is not None:
            self._link.send(kind, body, **fields)

    def _started_one(self) -> None:
        self._rests = 0

    def _rest(self, why: str) -> None:
        """It could not start a trial: start nothing there for a while."""
        pause_s = _pause_s(self._rests, *_REST_S)
        self._rests += 1
        self._rest_until = time.monotonic() + pause_s
        self._rest_why = f"cannot start trials: {why}"
        self._loop.call_later(pause_s + 0.01, self._rested)
        self._supply.offer()  # it may be the code that is missing there

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


def _close_opened(work: asyncio.Future[Opened]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().pipe.close()
