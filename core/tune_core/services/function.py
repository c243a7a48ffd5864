"""A Python function as the trial: what `tune_core.minimize` runs, in threads of this process.

No platform: there is nothing to configure and nothing that outlives the process. It is the loop's
shortest way to a result, and the smallest example of a training service.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tune.channel import check_metric
from tune_core.services.base import ServiceContext, TrainingService
from tune_core.space.signature import TRIAL
from tune_core.trial import Attempt, AttemptKey, Ending, Message

__all__ = ["FunctionService", "FunctionTrial", "TrialStopped"]


class TrialStopped(BaseException):
    """Raised by `FunctionTrial.report` in a trial that was stopped."""


class FunctionTrial:
    """What a function with a second argument gets there.

    Attributes:
        sequence: The trial's place in the order of submission, from 0.
    """

    def __init__(self, key: AttemptKey, sequence: int, report: Callable[[Any, str], None]) -> None:
        self.id = key.trial_id
        self.sequence = sequence
        self._report = report
        self._stopped = threading.Event()

    def report(self, value: Any) -> None:
        """Report an intermediate result; returns when the experiment has taken it.

        Raises:
            TypeError, ValueError: It is no metric.
            TrialStopped: The assessor or the user ended the trial. Let it pass.
        """
        if not self._stopped.is_set():
            self._report(value, "intermediate")
        if self._stopped.is_set():
            raise TrialStopped

    def stop(self) -> None:
        """Make the next `report` raise. A thread cannot be ended from outside."""
        self._stopped.set()


class FunctionService(TrainingService):
    """Runs `function(parameters)`, or `function(parameters, trial)`, once for each trial.

    Args:
        by_name: Call `function(**parameters)` instead, with `trial=` if it has such a parameter.

    A thread that does not report cannot be stopped: its trial ends when the function returns. When
    the function raises, the attempt's `stderr` has the traceback.
    """

    class Config(BaseModel):
        """Nothing to configure."""

    sees_folders = True

    def __init__(self, function: Callable[..., Any], *, by_name: bool = False) -> None:
        self._function = _by_name(function) if by_name else function
        self._wants_trial = by_name or _positional_arguments(function) >= 2
        self._trials: dict[AttemptKey, FunctionTrial] = {}

    async def open(self, context: ServiceContext) -> None:
        self._events = context.events
        self._loop = asyncio.get_running_loop()

    async def submit(self, attempt: Attempt) -> None:
        sequences = iter(range(2**62))

        def report(value: Any, kind: str) -> None:
            message = Message(next(sequences), kind, check_metric(value), time.time())
            delivery = self._events.messages(attempt.key, [message])
            asyncio.run_coroutine_threadsafe(delivery, self._loop).result()

        trial = FunctionTrial(attempt.key, attempt.sequence, report)
        self._trials[attempt.key] = trial
        if not await self._events.started(attempt.key, {"thread": attempt.sequence}):
            self._ended(attempt.key, Ending(None, reason="cancelled before it started"))
            return
        name = f"tune-trial-{attempt.key.trial_id}"
        threading.Thread(target=self._run, args=(attempt, trial), name=name, daemon=True).start()

    async def adopt(self, attempt: Attempt, identity: Mapping[str, Any], last_sequence: int) -> None:
        self._ended(attempt.key, Ending(None, lost=True, reason="its process ended with the manager"))

    async def cancel(self, key: AttemptKey) -> None:
        if key in self._trials:
            self._trials[key].stop()

    async def close(self) -> None:
        for trial in self._trials.values():
            trial.stop()

    def _run(self, attempt: Attempt, trial: FunctionTrial) -> None:
        parameters = copy.deepcopy(dict(attempt.parameters))
        ending = Ending(0)
        try:
            value = self._function(parameters, trial) if self._wants_trial else self._function(parameters)
            trial._report(value, "final")
        except TrialStopped:
            ending = Ending(None, reason="stopped")
        except BaseException as err:  # noqa: BLE001 (the user's code; its trial fails with it)
            last = traceback.extract_tb(err.__traceback__)[-1]
            where = f"{last.filename}:{last.lineno}"
            ending = Ending(1, reason=f"{type(err).__name__}: {err} ({where})")
            with contextlib.suppress(OSError):  # a full disk; the reason says the most of it
                _write_traceback(attempt.directory, err)
        try:
            self._loop.call_soon_threadsafe(self._ended, attempt.key, ending)
        except RuntimeError:
            return  # the manager ended before the function did

    def _ended(self, key: AttemptKey, ending: Ending) -> None:
        self._trials.pop(key, None)
        self._events.ended(key, ending)


def _by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    wants_trial = TRIAL in inspect.signature(function).parameters

    def call(parameters: Mapping[str, Any], trial: FunctionTrial) -> Any:
        return function(**parameters, **({TRIAL: trial} if wants_trial else {}))

    return call


def _write_traceback(directory: Path, error: BaseException) -> None:
    """Leave the traceback from the user's function on in `stderr`, as a trial's own process would."""
    own = error.__traceback__
    assert own is not None, "it was caught"
    lines = traceback.format_exception(type(error), error, own.tb_next or own)
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    with open(directory / "stderr", "wb", opener=_private) as file:
        file.write("".join(lines).encode("utf-8", "backslashreplace"))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _positional_arguments(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1  # a builtin that does not tell
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(item.kind in kinds and item.default is inspect.Parameter.empty for item in parameters)
