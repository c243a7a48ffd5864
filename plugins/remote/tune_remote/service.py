"""The remote training service: trials are processes of other machines, reached over SSH.

Each machine has one connection and one host server (`tune.host.server`), which starts, follows and
ends its trials as `tune-local` does here. This places attempts on machines and carries between
them and the kernel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from tune_core import (
    Attempt,
    AttemptKey,
    Ending,
    Leftover,
    Message,
    ServiceContext,
    TrainingService,
    TrainingServiceError,
)
from tune_remote.code import CodeTree, scan
from tune_remote.config import MachineConfig, RemoteConfig, check_machines, label_of, upgraded
from tune_remote.link import in_thread
from tune_remote.machine import Machine
from tune_remote.visit import visit

if TYPE_CHECKING:
    from tune_core.config.version1 import Old, Section

__all__ = ["RemoteService"]

_log = logging.getLogger(__name__)

_LOOK_S = 5.0  # between looks at GPUs that other programs may have let go
_CLOSE_S = 5.0
_OTHERS_S = 3.0  # between machines that are connected to, once one is there


class RemoteService(TrainingService):
    """Runs trials on the machines of `machineList`, in a copy of the code directory.

    The copy is of the code as it was when this manager submitted its first trial. A trial goes to
    the machine that has the fewest of them and can take it; machines with as few take turns.
    """

    Config: ClassVar[type[BaseModel]] = RemoteConfig

    @classmethod
    def upgrade(cls, old: Old) -> Section:
        return upgraded(old)

    def __init__(self, config: RemoteConfig) -> None:
        self._config = config
        self._machines: dict[str, Machine] = {}  # by label
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._waiting: dict[AttemptKey, str] = {}  # and why; in the order of submission
        self._expected: set[AttemptKey] = set()
        self._places: dict[AttemptKey, Machine] = {}
        self._code: asyncio.Task[CodeTree] | None = None
        self._seen_code: CodeTree | None = None
        self._turn = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._gates: set[asyncio.Task[Any]] = set()  # those of them that let a trial run
        self._placing = False
        self._retry: asyncio.TimerHandle | None = None
        self._trouble = ""
        self._failures: set[str] = set()  # that were told
        self._closed = False

    # What the kernel asks.

    def check(self, gpu_number: int | None) -> None:
        check_machines(self._config)

    async def open(self, context: ServiceContext) -> None:
        if self._config.reuse_mode is not None:
            _log.info("reuseMode has no effect on the remote platform: one connection carries all trials")
        self._context = context
        self._events = context.events
        self._loop = asyncio.get_running_loop()
        self._expected = set(context.adoptable)
        for config in self._config.machine_list:
            machine = Machine(config, self._config, context.experiment_id, self)
            self._machines[machine.label] = machine
            self.run(machine.run())
        try:
            await self._first_machine()
        except BaseException:
            await self.close()
            raise

    async def submit(self, attempt: Attempt) -> None:
        if attempt.key in self._attempts:
            return
        self._attempts[attempt.key] = attempt
        self._waiting[attempt.key] = ""
        code = self._code or self._look_at_code(attempt.code_directory)
        try:
            await asyncio.shield(code)
        except TrainingServiceError:
            self._attempts.pop(attempt.key, None)
            self._waiting.pop(attempt.key, None)
            raise
        self.changed()

    async def adopt(self, attempt: Attempt, identity: Mapping[str, Any], last_sequence: int) -> None:
        self._expected.discard(attempt.key)
        if attempt.key in self._attempts:
            return
        self._attempts[attempt.key] = attempt
        machine = self._machines.get(str(identity["machine"]))
        if machine is None:
            reason = f"machine {identity['machine']}, which ran it, is not in machineList any more"
            self._loop.call_soon(self.ended, attempt.key, Ending(None, lost=True, reason=reason))
        else:
            self._places[attempt.key] = machine
            machine.adopt(attempt, identity, last_sequence)

    async def cancel(self, key: AttemptKey) -> None:
        if key in self._places:
            self._places[key].cancel(key)
        elif key in self._waiting:
            self.ended(key, Ending(None, reason="cancelled before it started"))

    async def follow(self, key: AttemptKey) -> None:
        if key in self._places:
            await self._places[key].follow(key)

    async def close(self) -> None:
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        if self._gates:  # what the kernel is recording now should run
            await asyncio.wait(self._gates, timeout=_CLOSE_S)
        for machine in self._machines.values():
            machine.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What needs no manager.

    async def fetch(self, attempt: Attempt, identity: Mapping[str, Any], target: Path) -> None:
        label = str(identity["machine"])
        machine = next((each for each in self._config.machine_list if label_of(each) == label), None)
        if machine is None:
            raise TrainingServiceError(f"machine {label}, which ran the trial, is not in machineList")
        trial, number = attempt.key
        folders = {"output": f"trials/{trial}/{number}/output", "checkpoint": f"trials/{trial}/checkpoint"}
        async with visit(machine) as stay:
            for name, folder in folders.items():
                await stay.fetch(attempt.experiment_id, folder, target / name)

    async def survey(self) -> Sequence[Leftover]:
        async def look(machine: MachineConfig) -> list[Leftover]:
            async with visit(machine) as stay:
                answer = await stay.ask("list", "listed")
            return [
                Leftover(str(machine), each["experiment"], each["bytes"], each["alive"], each["managed"])
                for each in answer["experiments"]
            ]

        return await self._everywhere(look)

    async def clean(
        self, experiments: Collection[str] | None = None, *, force: bool = False
    ) -> Sequence[Leftover]:
        async def remove(machine: MachineConfig) -> list[Leftover]:
            names = None if experiments is None else list(experiments)
            async with visit(machine) as stay:
                answer = await stay.ask("remove", "removed", experiments=names, force=force)
            return [
                Leftover(str(machine), each["experiment"], problem=each["reason"])
                for each in answer["skipped"]
            ]

        return await self._everywhere(remove)

    async def _everywhere(
        self, work: Callable[[MachineConfig], Coroutine[Any, Any, list[Leftover]]]
    ) -> list[Leftover]:
        """Do something on all machines at once; one that cannot be reached is told as such."""

        async def here(machine: MachineConfig) -> list[Leftover]:
            try:
                return await work(machine)
            except TrainingServiceError as error:
                return [Leftover(str(machine), "", problem=str(error).removeprefix(f"{machine}: "))]

        found = await asyncio.gather(*map(here, self._config.machine_list))
        return [leftover for each in found for leftover in each]

    # What the machines tell.

    def changed(self) -> None:
        """Place what waits, in a moment: several things may have changed."""
        if not self._placing and not self._closed:
            self._placing = True
            self._loop.call_soon(self._place_waiting)

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        return await self._events.started(key, identity)

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        await self._events.messages(key, messages)

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        self._waiting.pop(key, None)
        self._places.pop(key, None)
        if self._attempts.pop(key, None) is not None and not self._closed:
            self._events.ended(key, ending)

    def returned(self, key: AttemptKey) -> None:
        del self._places[key]
        self._waiting[key] = ""
        self.changed()

    def code_changed(self) -> None:
        if self._code is not None and self._code.done():
            # Nobody may be waiting for it to hear of a failure.
            self._look_at_code(self._code.result().root).add_done_callback(self._done)

    def is_alone(self) -> bool:
        return not any(machine.is_open for machine in self._machines.values())

    def expected(self) -> Collection[AttemptKey]:
        return self._expected

    def run(self, work: Coroutine[Any, Any, None], *, opens_gate: bool = False) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        if opens_gate:
            self._gates.add(task)
        task.add_done_callback(self._done)

    # Placing.

    def _place_waiting(self) -> None:
        self._placing = False
        if self._closed:
            return
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._tell_trouble()
        reason = ""
        for key in list(self._waiting):
            # All trials need the same, so what keeps one waiting keeps those behind it.
            reason = reason or self._place(self._attempts[key])
            if reason and self._waiting[key] != reason:
                self._waiting[key] = reason
                self._events.waiting(key, reason)
        if self._waiting:  # other programs' use of GPUs, and of the disk here, changes without telling
            self._retry = self._loop.call_later(_LOOK_S, self._look_again)

    def _place(self, attempt: Attempt) -> str:
        """Start an attempt on some machine, or say why it must wait."""
        obstacles = []
        for machine in sorted(self._machines.values(), key=lambda each: (len(each), each.last_chosen)):
            obstacle = machine.obstacle()
            gpus: Sequence[int] = ()
            if not obstacle:
                try:
                    granted = machine.gpus.place(attempt.key, attempt.gpu_number)
                except TrainingServiceError as error:
                    granted = str(error)
                obstacle, gpus = (granted, ()) if isinstance(granted, str) else ("", granted)
            if not obstacle:
                try:
                    machine.start(attempt, None if attempt.gpu_number is None else gpus)
                except OSError as error:
                    machine.gpus.release(attempt.key)
                    return f"trials cannot be started: {error}"
                self._turn += 1
                machine.last_chosen = self._turn
                del self._waiting[attempt.key]
                self._places[attempt.key] = machine
                return ""
            obstacles.append(f"{machine.name} {obstacle}")
            if machine.is_coming():
                break  # rather than all on the machine that was there first
        return "; ".join(sorted(obstacles))

    def _look_again(self) -> None:
        if any(self._attempts[key].gpu_number for key in self._waiting):
            for machine in self._machines.values():
                machine.look_again()
        self.changed()

    # Small things.

    async def _first_machine(self) -> None:
        """Wait until one machine is there, and a moment longer for the others.

        Raises:
            TrainingServiceError: None can be used; says why for each.
        """
        trying = [machine.first_try for machine in self._machines.values()]
        waiting = set(trying)
        patience_s: float | None = None
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                return
            if not all(future.result() for future in done):
                patience_s = _OTHERS_S
        failures = [future.result() for future in trying if future.result()]
        if len(failures) == len(trying):
            lines = "\n".join(failures)
            raise TrainingServiceError(lines if len(failures) == 1 else f"no machine can be used\n{lines}")

    def _look_at_code(self, folder: Path) -> asyncio.Task[CodeTree]:
        self._code = self._loop.create_task(self._scan(folder))
        return self._code

    async def _scan(self, folder: Path) -> CodeTree:
        limit = self._config.code_size_limit << 20
        code = await in_thread(scan, folder, limit, self._context.directory, self._seen_code)
        self._seen_code = code
        for remark in code.remarks:
            _log.warning("%s", remark)
        for machine in self._machines.values():
            machine.provide(code)
        return code

    def _tell_trouble(self) -> None:
        trouble = "; ".join(machine.trouble for machine in self._machines.values() if machine.trouble)
        if trouble != self._trouble:
            self._trouble = trouble
            self._events.trouble(trouble)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._gates.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and repr(error) not in self._failures:
            self._failures.add(repr(error))
            self._events.trouble(f"the remote platform failed: {error!r}")
            _log.error("the remote platform failed", exc_info=error)
