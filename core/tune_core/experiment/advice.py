"""Calling the algorithm: outside the event loop, one call after the other, in the order of the record.

`heard` is the number of the last event that the algorithm was told. It is noted with each proposal
and is what replay needs to repeat the calls in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tune_core.algorithms.base import Advisor
from tune_core.json import dump_json
from tune_core.trial import AttemptKey, Parameters

__all__ = ["Advice"]

T = TypeVar("T")

_Call = tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any] | None]

_BACKLOG = 20_000  # intermediate results that may wait for the algorithm's judgement


class Advice:
    """The algorithm, as the engine deals with it.

    A daemon thread, not an executor: an algorithm that never returns must not keep the manager from
    ending when the user stops the experiment.

    Args:
        heard: Number of the last event in the record by now.
        on_failure: Told of an exception from a call that nobody awaits. After the first one the
            algorithm is not called again: it may be in any state.
        condemned: Attempts that the algorithm wanted stopped before a resume.
    """

    def __init__(
        self,
        advisor: Advisor,
        heard: int,
        on_failure: Callable[[BaseException], None],
        condemned: set[AttemptKey],
    ) -> None:
        self.advisor = advisor
        self.heard = heard
        self.declined = False
        """It said "not now", and has heard nothing since."""
        self._on_failure = on_failure
        self._failed = False
        self._condemned = condemned  # touched only in the thread
        self._backlog = 0
        self._room = asyncio.Event()
        self._room.set()
        self._since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._ended = asyncio.Event()
        threading.Thread(target=self._run, name="tune-algorithm", daemon=True).start()

    @property
    def listens(self) -> bool:
        """Whether it wants to hear intermediate results."""
        return self.advisor.listens and not self._failed

    @property
    def name(self) -> str:
        return self.advisor.algorithm_name

    @property
    def busy_s(self) -> float:
        """How long the present call has been running; 0 when there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    async def propose(self, parameter_id: int) -> tuple[Parameters | None, int]:
        """Ask for a configuration; with it, what the algorithm had heard when it was asked.

        Raises:
            NoMoreTrial: There will be no more.
            Exception: Whatever else the algorithm raises.
        """
        heard = self.heard
        parameters = await self.call(self._propose, parameter_id)
        # Anything heard while it was thinking may have changed its mind.
        self.declined = parameters is None and heard == self.heard
        return parameters, heard

    def tell(self, event_id: int, call: Callable[..., None], *arguments: Any) -> None:
        """Let the algorithm hear of an event that is durable."""
        self.heard = event_id
        self.declined = False
        if not self._failed:
            self._unattended(call, *arguments)

    def assess(
        self, event_id: int, key: AttemptKey, sequence: int, values: Sequence[float]
    ) -> asyncio.Future[bool]:
        """Let the algorithm hear intermediate results; the future is False to stop the trial."""
        self.heard = event_id
        self.declined = False
        self._backlog += len(values)
        if self._backlog > _BACKLOG:
            self._room.clear()
        verdict = self.call(self._assess, key, sequence, values)
        verdict.add_done_callback(lambda done: self._assessed(done, len(values)))
        return verdict

    async def room(self) -> None:
        """Wait until the algorithm has kept up with the intermediate results."""
        await self._room.wait()

    def call(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Queue a call; the future has its result or its exception."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((function, arguments, future))
        return future

    async def end(self, within_s: float) -> None:
        """Let the thread end after the calls that are queued, and wait so long for it."""
        self._queue.put(None)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), within_s)

    def fail(self, error: BaseException) -> None:
        """Note that a call failed; only the first failure is passed on."""
        if not self._failed:
            self._failed = True
            self._on_failure(error)

    def _unattended(self, function: Callable[..., None], *arguments: Any) -> None:
        """Queue a call of whose end nobody needs to hear, unless it fails."""
        self._queue.put((function, arguments, None))

    def _propose(self, parameter_id: int) -> Parameters | None:
        # In one go, so that nothing else is heard between the two, as in a replay.
        proposed = self.advisor.propose(parameter_id)
        if proposed is None:
            return None
        parameters: Parameters = json.loads(dump_json(proposed))  # as a replay gives it back
        self.advisor.register_pending(parameter_id, parameters)
        return copy.deepcopy(parameters)

    def _assess(self, key: AttemptKey, sequence: int, values: Sequence[float]) -> bool:
        # Once condemned it is not heard any more, so that replay makes the same calls however the
        # results had come in batches.
        for value in values:
            if key in self._condemned:
                break
            if not self.advisor.report_intermediate(sequence, value):
                self._condemned.add(key)
        return key not in self._condemned

    def _assessed(self, done: asyncio.Future[bool], count: int) -> None:
        error = done.exception()
        if error is not None:
            self.fail(error)
        self._backlog -= count
        if self._backlog <= _BACKLOG // 2:
            self._room.set()

    # Below runs in the thread.

    def _run(self) -> None:
        broken = False
        while (item := self._queue.get()) is not None:
            function, arguments, future = item
            if future is None and (broken or self._failed):
                continue  # it may be in any state
            self._since = time.monotonic()
            try:
                result = function(*arguments)
            except BaseException as err:  # noqa: BLE001 (handed to whoever awaits the call)
                broken = broken or future is None
                self._answer(_fail, future, err) if future else self._answer(self.fail, err)
            else:
                if future is not None:
                    self._answer(_succeed, future, result)
            finally:
                self._since = None
        self._answer(self._ended.set)

    def _answer(self, how: Callable[..., None], *content: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(how, *content)
        except RuntimeError:
            return  # the loop is closed: the manager ended while the algorithm was computing


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        # A StopIteration cannot be raised into a coroutine.
        future.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
