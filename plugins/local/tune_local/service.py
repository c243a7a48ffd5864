"""The local training service: trials are processes on this machine.

`tune.host` starts, follows and ends them; this hands it attempts, gives them GPUs, and carries
what it tells to the kernel.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from tune.host import End, Identity, Launch, Listener, Problem, Record, Runtime, trial_environment
from tune.host.last_words import python_of
from tune.host.launch import Started
from tune.host.output import last_lines
from tune_core import (
    Attempt,
    AttemptKey,
    Ending,
    Message,
    ServiceContext,
    TrainingService,
    TrainingServiceError,
)
from tune_core.services.gpus import GpuAccount
from tune_core.services.hints import explain
from tune_local.config import LocalConfig
from tune_local.gpus import list_gpus, visible_gpus
from tune_local.warm import WarmStarts

__all__ = ["LocalService"]

_log = logging.getLogger(__name__)

_RETRY_S = 5.0  # between looks at what changes without telling
_CLOSE_S = 5.0
_STDERR_LINES = 20
_STDERR_BYTES = 8192


class LocalService(TrainingService, Listener):
    """Runs trials as processes of this machine, in the code directory itself.

    They run in the order of submission, except that a trial which waits for GPUs lets those pass
    that need fewer and can start now; see `tune_core.services.gpus`.
    """

    Config: ClassVar[type[BaseModel]] = LocalConfig

    def __init__(self, config: LocalConfig) -> None:
        self._config = config
        self._environment: Mapping[str, str] = os.environ
        self._gpus = GpuAccount(
            lambda: visible_gpus(list_gpus(), self._environment),
            indices=config.gpu_indices,
            per_gpu=config.max_trial_number_per_gpu,
            use_active=bool(config.use_active_gpu),
        )
        self._warm: WarmStarts | None = None
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._waiting: dict[AttemptKey, str] = {}  # and why; in the order of submission
        self._forking: dict[AttemptKey, Launch] = {}  # asked for, not there yet
        self._cancelled: set[AttemptKey] = set()
        self._gates: set[asyncio.Task[None]] = set()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._short = False  # of memory, processes, disk space or GPUs
        self._failures: set[str] = set()  # that were told
        self._closed = False

    # What the kernel asks

    def check(self, gpu_number: int | None) -> None:
        self._gpus.check(gpu_number)

    async def open(self, context: ServiceContext) -> None:
        if self._config.reuse_mode:
            _log.info("reuseMode has no effect on the local platform; `warm: true` saves start-up time")
        self._events = context.events
        self._environment = context.environment
        self._loop = asyncio.get_running_loop()
        self._runtime = Runtime(
            self,
            grace_s=self._config.kill_grace,
            output_limit=self._config.output_limit << 20,
        )
        self._loop.add_reader(self._runtime.fileno(), self._poll)
        if self._config.warm:
            log = context.directory / "service" / "warm.log"
            self._warm = WarmStarts(log, self._runtime.open_files, self._forked, self._start_cold)

    async def submit(self, attempt: Attempt) -> None:
        if attempt.key in self._attempts:
            return
        self._attempts[attempt.key] = attempt
        self._waiting[attempt.key] = ""
        self._start_waiting()

    async def adopt(self, attempt: Attempt, identity: Mapping[str, Any], last_sequence: int) -> None:
        if attempt.key in self._attempts:
            return
        self._attempts[attempt.key] = attempt
        self._gpus.occupy(attempt.key, identity.get("gpus", ()))
        launch = self._launch(attempt, str(identity["mark"]), {})
        self._runtime.adopt(attempt.key, launch, Identity.from_json(identity), last_sequence)
        self._schedule()

    async def cancel(self, key: AttemptKey) -> None:
        if key in self._waiting or key in self._forking:  # a fork finds its gate closed when it comes
            self._finish(key, Ending(None, reason="cancelled before it started"))
        elif key in self._attempts:
            self._cancelled.add(key)
            self._runtime.kill(key, self._config.kill_grace)
            self._schedule()

    async def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(self._runtime.fileno())
        for timer in filter(None, (self._timer, self._retry)):
            timer.cancel()
        if self._gates:  # what the kernel is recording now should run
            await asyncio.wait(self._gates, timeout=_CLOSE_S)
        for task in self._gates | self._deliveries:
            task.cancel()
        self._forking.clear()
        if self._warm is not None:
            self._warm.close()
        self._runtime.close()

    # Starting

    def _start_waiting(self) -> None:
        """Start whatever can start now, and tell the rest why they wait."""
        if self._retry is not None:
            self._retry.cancel()
        self._gpus.look_again()
        shortage = ""
        for key in list(self._waiting):
            attempt = self._attempts[key]
            try:
                gpus = shortage or self._gpus.place(key, attempt.gpu_number)
                if isinstance(gpus, str):
                    self._wait(key, gpus)
                else:
                    self._start(attempt, gpus)
            # The machine is short of something, or has lost a GPU: nothing is lost by waiting.
            except (OSError, TrainingServiceError) as error:
                self._gpus.release(key)
                shortage = f"trials cannot be started: {error}"
                self._wait(key, shortage)
        if shortage or self._short:
            self._events.trouble(shortage)
            self._short = bool(shortage)
        # Other programs' use of GPUs, and of the disk, changes without telling.
        self._retry = self._loop.call_later(_RETRY_S, self._start_waiting) if self._waiting else None
        self._schedule()

    def _wait(self, key: AttemptKey, reason: str) -> None:
        if self._waiting[key] != reason:
            self._waiting[key] = reason
            self._events.waiting(key, reason)

    def _start(self, attempt: Attempt, gpus: Sequence[int]) -> None:
        """Bring an attempt to its gate; it runs once the kernel has recorded its identity."""
        key = attempt.key
        if not attempt.code_directory.is_dir():
            self._finish(
                key, Ending(None, reason=f"the code directory {attempt.code_directory} does not exist")
            )
            return
        _prepare(attempt)
        visible = {} if attempt.gpu_number is None else _visible(gpus)
        launch = self._launch(attempt, secrets.token_hex(8), visible)
        if self._fork(key, launch):
            self._forking[key] = launch
        else:
            self._at_gate(key, launch, self._runtime.spawn(key, launch))
        del self._waiting[key]

    def _fork(self, key: AttemptKey, launch: Launch) -> bool:
        """Ask for a warm start, if there can be one."""
        if self._warm is None:
            return False
        self._runtime.create_files(launch)  # here, where a full disk only delays the trial
        return self._warm.fork(key, launch)

    def _forked(self, key: AttemptKey, started: Started) -> None:
        """A warm start was answered."""
        launch = self._forking.pop(key, None)
        if launch is None:  # cancelled meanwhile
            started.close()
        else:
            self._runtime.take(key, launch, started)
            self._at_gate(key, launch, started.identity)

    def _start_cold(self, key: AttemptKey) -> None:
        """A warm start will not be answered."""
        if self._forking.pop(key, None) is not None:
            self._gpus.release(key)
            self._waiting[key] = ""
            self._start_waiting()

    def _at_gate(self, key: AttemptKey, launch: Launch, identity: Identity) -> None:
        gpus = list(self._gpus.held_by(key))
        stored = {**identity.to_json(), "mark": launch.mark, "gpus": gpus}
        self._run(self._open_gate(key, stored), self._gates)

    async def _open_gate(self, key: AttemptKey, identity: Mapping[str, Any]) -> None:
        if await self._events.started(key, identity):
            if key in self._attempts:  # it may have died at the gate
                self._runtime.go(key)
        else:
            self._runtime.kill(key, 0)
        self._schedule()

    def _launch(self, attempt: Attempt, mark: str, extra: Mapping[str, str]) -> Launch:
        directory = attempt.directory
        variables = trial_environment(
            platform="local",
            experiment_id=attempt.experiment_id,
            trial_id=attempt.key.trial_id,
            attempt=attempt.key.number,
            sequence=attempt.sequence,
            channel=f"file:{directory / 'messages.jsonl'}",
            parameter_file=str(directory / "parameter.json"),
            output_dir=str(directory / "output"),
            checkpoint_dir=str(_checkpoints(attempt)),
            code_dir=str(attempt.code_directory),
        )
        return Launch(
            trial=attempt.key.trial_id,
            attempt=attempt.key.number,
            command=attempt.command,
            code_directory=str(attempt.code_directory),
            environment={**self._environment, **extra, **attempt.environment, **variables},
            directory=str(directory),
            mark=mark,
        )

    # What the runtime tells

    def records(self, key: Any, records: list[Record]) -> None:
        self._runtime.pause(key)
        self._run(self._deliver(key, records), self._deliveries)

    async def _deliver(self, key: AttemptKey, records: list[Record]) -> None:
        try:
            await self._events.messages(key, [Message(*record) for record in records])
        finally:  # or the trial would never end
            if not self._closed:
                self._runtime.resume(key)
                self._schedule()

    def problem(self, key: Any, problem: Problem) -> None:
        _log.warning(
            "trial %s: line %d of its messages is ignored: %s", key.trial_id, problem.line, problem.text
        )

    def ended(self, key: Any, end: End) -> None:
        reason = end.reason
        if not reason and key not in self._cancelled:  # what a killed trial last said explains nothing
            reason = self._reason(self._attempts[key], end.exit_status)
        self._cancelled.discard(key)
        self._finish(key, Ending(end.exit_status, end.lost, reason))
        self._start_waiting()

    def _reason(self, attempt: Attempt, status: int | None) -> str:
        tail = last_lines(str(attempt.directory / "stderr"), _STDERR_LINES, _STDERR_BYTES)
        python = python_of(attempt.command, {**self._environment, **attempt.environment})
        return explain(status, tail, python)

    def _finish(self, key: AttemptKey, ending: Ending) -> None:
        self._waiting.pop(key, None)
        del self._attempts[key]
        self._gpus.release(key)
        self._events.ended(key, ending)

    # Being driven

    def _poll(self) -> None:
        self._runtime.poll()
        self._schedule()

    def _schedule(self) -> None:
        """Look again when the runtime wants it, though nothing happens."""
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        due = self._runtime.timeout()
        self._timer = None if due is None else self._loop.call_later(due, self._poll)

    def _run(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._report_failure)

    def _report_failure(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and repr(error) not in self._failures:
            self._failures.add(repr(error))
            self._events.trouble(f"the local platform failed: {error!r}")
            _log.error("the local platform failed", exc_info=error)


def _visible(gpus: Sequence[int]) -> dict[str, str]:
    """Makes CUDA see these GPUs alone, by the numbers that the driver gives them."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}


def _checkpoints(attempt: Attempt) -> Path:
    """A folder of the trial's own, which its attempts share."""
    return attempt.directory.parent / "checkpoint"


def _prepare(attempt: Attempt) -> None:
    """Make the attempt's folder, over whatever a manager that was killed left of it.

    Nothing there is of value: had the attempt run, its identity would be on record and it would
    have been adopted.
    """
    directory = attempt.directory
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _make(directory):
        for name in ("stdout", "stderr", "messages.jsonl", "exit_status"):
            (directory / name).unlink(missing_ok=True)
    _make(directory / "output")
    _make(_checkpoints(attempt))
    with open(directory / "parameter.json", "wb", opener=_private) as file:
        file.write(json.dumps(attempt.parameters).encode())


def _make(folder: Path) -> bool:
    """Make a folder that is closed to others; False if it was there."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
