"""`ProcessService`: a base for services whose trials are processes of the manager's own machine.

`tune.host` starts, follows and ends them; this hands it attempts, and carries what it tells to the
kernel. When a trial may start, and how, is for the subclass to say: `place`, `occupy`, `release`,
`command`, `environment`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tune.host import End, Identity, Launch, Listener, Problem, Record, Runtime, trial_environment
from tune.host.last_words import python_of
from tune.host.output import last_lines
from tune_core.errors import TrainingServiceError
from tune_core.services.base import ServiceContext, TrainingService
from tune_core.services.hints import explain
from tune_core.trial import Attempt, AttemptKey, Ending, Message

__all__ = ["Grant", "ProcessService"]

_log = logging.getLogger(__name__)

_RETRY_S = 5.0  # between looks at what changes without telling
_CLOSE_S = 5.0
_STDERR_LINES = 20
_STDERR_BYTES = 8192

Grant = Mapping[str, Any]
"""What an attempt got from `place`: JSON values, which are kept in its identity."""


class ProcessService(TrainingService, Listener):
    """Runs trials as processes of this machine, in the code directory itself.

    They start in the order of submission, except that one which `place` has wait lets those pass
    that can start now.

    Args:
        grace_s: Between SIGTERM and SIGKILL when a trial is ended.
        output_limit: Bytes kept of a trial's standard output, and of its standard error.
    """

    platform: ClassVar[str] = "local"
    """What trials find as TUNE_PLATFORM, and messages call the service."""

    sees_folders: ClassVar[bool] = True

    def __init__(self, *, grace_s: float = 10.0, output_limit: int = 50 << 20) -> None:
        self._grace_s = grace_s
        self._output_limit = output_limit
        self.environ: Mapping[str, str] = os.environ  # the manager's, once opened as it was started with
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._waiting: dict[AttemptKey, str] = {}  # and why; in the order of submission
        self._grants: dict[AttemptKey, Grant] = {}
        self._launched: set[AttemptKey] = set()  # the runtime has them
        self._cancelled: set[AttemptKey] = set()
        self._gates: set[asyncio.Task[None]] = set()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._short = False  # of memory, processes, disk space or what `place` gives
        self._failures: set[str] = set()  # that were told
        self._closed = False

    # What a subclass may say

    def place(self, attempt: Attempt) -> Grant | str:
        """Give an attempt what it needs, or say why it must wait.

        Those that wait are asked again whenever another one ends, and every few seconds.

        Raises:
            TrainingServiceError: Something is wrong with the machine; all wait, and it is shown.
        """
        return {}

    def occupy(self, key: AttemptKey, grant: Grant) -> None:
        """`key` holds this already: an earlier manager's `place` gave it."""

    def release(self, key: AttemptKey) -> None:
        """`key` needs nothing any more. Also called for one that was given nothing."""

    def command(self, attempt: Attempt, grant: Grant) -> str:
        """The shell line that is run."""
        return attempt.command

    def environment(self, attempt: Attempt, grant: Grant) -> Mapping[str, str]:
        """Variables to add to the trial's; those of the configuration come after them."""
        return {}

    def bring_to_gate(self, key: AttemptKey, launch: Launch) -> None:
        """Start the attempt's first process, and call `at_gate`, now or later.

        Raises:
            OSError: Not now; nothing is left of it, and it is tried again.
        """
        self.at_gate(key, launch, self.runtime.spawn(key, launch))

    # What the kernel asks

    async def open(self, context: ServiceContext) -> None:
        self._events = context.events
        self.environ = context.environment
        self._loop = asyncio.get_running_loop()
        self.runtime = Runtime(self, grace_s=self._grace_s, output_limit=self._output_limit)
        self._loop.add_reader(self.runtime.fileno(), self._poll)

    async def submit(self, attempt: Attempt) -> None:
        if attempt.key not in self._attempts:
            self._attempts[attempt.key] = attempt
            self.wait(attempt.key)

    async def adopt(self, attempt: Attempt, identity: Mapping[str, Any], last_sequence: int) -> None:
        if attempt.key in self._attempts:
            return
        self._attempts[attempt.key] = attempt
        self.occupy(attempt.key, identity)
        launch = self._launch(attempt, str(identity["mark"]), {})
        self._launched.add(attempt.key)
        self.runtime.adopt(attempt.key, launch, Identity.from_json(identity), last_sequence)
        self._schedule()

    async def cancel(self, key: AttemptKey) -> None:
        if key in self._launched:
            self._cancelled.add(key)
            self.runtime.kill(key, self._grace_s)
            self._schedule()
        elif key in self._attempts:
            self._finish(key, Ending(None, reason="cancelled before it started"))

    async def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(self.runtime.fileno())
        for timer in filter(None, (self._timer, self._retry)):
            timer.cancel()
        if self._gates:  # what the kernel is recording now should run
            await asyncio.wait(self._gates, timeout=_CLOSE_S)
        for task in self._gates | self._deliveries:
            task.cancel()
        self.runtime.close()

    # Starting

    def wait(self, key: AttemptKey) -> None:
        """Start `key` when it can be."""
        self.release(key)
        self._waiting[key] = ""
        self.start_waiting()

    def start_waiting(self) -> None:
        """Start whatever can start now, and tell the rest why they wait."""
        if self._closed:
            return
        if self._retry is not None:
            self._retry.cancel()
        shortage = ""
        for key in list(self._waiting):
            attempt = self._attempts[key]
            try:
                grant = shortage or self.place(attempt)
                if isinstance(grant, str):
                    self._tell(key, grant)
                else:
                    self._start(attempt, grant)
            # The machine is short of something: nothing is lost by waiting.
            except (OSError, TrainingServiceError) as error:
                self.release(key)
                shortage = f"trials cannot be started: {error}"
                self._tell(key, shortage)
        if shortage or self._short:
            self._events.trouble(shortage)
            self._short = bool(shortage)
        # Other programs' use of the machine changes without telling.
        self._retry = self._loop.call_later(_RETRY_S, self.start_waiting) if self._waiting else None
        self._schedule()

    def _tell(self, key: AttemptKey, reason: str) -> None:
        if self._waiting[key] != reason:
            self._waiting[key] = reason
            self._events.waiting(key, reason)

    def _start(self, attempt: Attempt, grant: Grant) -> None:
        """Bring an attempt to its gate; it runs once the kernel has recorded its identity."""
        key = attempt.key
        if not attempt.code_directory.is_dir():
            reason = f"the code directory {attempt.code_directory} does not exist"
            self._finish(key, Ending(None, reason=reason))
            return
        _prepare(attempt)
        self._grants[key] = grant
        self.bring_to_gate(key, self._launch(attempt, secrets.token_hex(8), grant))
        self._waiting.pop(key, None)

    def at_gate(self, key: AttemptKey, launch: Launch, identity: Identity) -> None:
        """The attempt's first process is there, in the runtime, and waits for the kernel's word."""
        self._launched.add(key)
        stored = {**self._grants.pop(key), **identity.to_json(), "mark": launch.mark}
        self._run(self._open_gate(key, stored), self._gates)

    async def _open_gate(self, key: AttemptKey, identity: Mapping[str, Any]) -> None:
        if await self._events.started(key, identity):
            if key in self._attempts:  # it may have died at the gate
                self.runtime.go(key)
        else:
            self.runtime.kill(key, 0)
        self._schedule()

    def _launch(self, attempt: Attempt, mark: str, grant: Grant) -> Launch:
        directory = attempt.directory
        variables = trial_environment(
            platform=self.platform,
            experiment_id=attempt.experiment_id,
            trial_id=attempt.key.trial_id,
            attempt=attempt.key.number,
            sequence=attempt.sequence,
            channel=f"file:{directory / 'messages.jsonl'}",
            parameter_file=str(directory / "parameter.json"),
            output_dir=str(directory / "output"),
            checkpoint_dir=str(_checkpoints(attempt)),
            code_dir=str(attempt.code_directory),
            here=True,
        )
        added = {**self.environment(attempt, grant), **attempt.environment}
        return Launch(
            trial=attempt.key.trial_id,
            attempt=attempt.key.number,
            command=self.command(attempt, grant),
            code_directory=str(attempt.code_directory),
            environment={**self.environ, **added, **variables},
            directory=str(directory),
            mark=mark,
        )

    # What the runtime tells

    def records(self, key: Any, records: list[Record]) -> None:
        self.runtime.pause(key)
        self._run(self._deliver(key, records), self._deliveries)

    async def _deliver(self, key: AttemptKey, records: list[Record]) -> None:
        try:
            await self._events.messages(key, [Message(*record) for record in records])
        finally:  # or the trial would never end
            if not self._closed:
                self.runtime.resume(key)
                self._schedule()

    def problem(self, key: Any, problem: Problem) -> None:
        _log.warning(
            "trial %s: line %d of its messages is ignored: %s", key.trial_id, problem.line, problem.text
        )

    def ended(self, key: Any, end: End) -> None:
        reason = end.reason
        if not reason and key not in self._cancelled:  # what a killed trial last said explains nothing
            reason = self._reason(self._attempts[key], end.exit_status)
        self._finish(key, Ending(end.exit_status, end.lost, reason))
        self.start_waiting()

    def _reason(self, attempt: Attempt, status: int | None) -> str:
        if status == 0:
            return ""
        tail = last_lines(str(attempt.directory / "stderr"), _STDERR_LINES, _STDERR_BYTES)
        python = python_of(attempt.command, {**self.environ, **attempt.environment})
        return explain(status, tail, python)

    def _finish(self, key: AttemptKey, ending: Ending) -> None:
        self._waiting.pop(key, None)
        self._grants.pop(key, None)
        self._launched.discard(key)
        self._cancelled.discard(key)
        del self._attempts[key]
        self.release(key)
        self._events.ended(key, ending)

    # Being driven

    def _poll(self) -> None:
        self.runtime.poll()
        self._schedule()

    def _schedule(self) -> None:
        """Look again when the runtime wants it, though nothing happens."""
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        due = self.runtime.timeout()
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
            self._events.trouble(f"the {self.platform} platform failed: {error!r}")
            _log.error("the %s platform failed", self.platform, exc_info=error)


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
