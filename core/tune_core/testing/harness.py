"""A kernel in miniature, which drives one training service for one experiment of a test."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shlex
import signal
import textwrap
import time
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tune_core.services.base import ServiceContext, TrainingService
from tune_core.trial import Attempt, AttemptKey, Ending, Message

__all__ = ["DEADLINE_S", "ServiceHarness", "kill_manager"]

DEADLINE_S = 60.0


class ServiceHarness:
    """The kernel's side of a service: opens it, hands it attempts, records what it tells.

    Implements `ServiceEvents`. What a service must not do is noted in `faults` as well as raised,
    since a service may swallow what is raised.

    Args:
        directory: The experiment's folder. Its code directory is `code` in there.
        python: A Python on the platform that can import tune.

    Attributes:
        go: What `started` answers.
        record_s: How long it takes over that.
    """

    def __init__(self, service: TrainingService, directory: Path, experiment_id: str, python: str) -> None:
        self.service = service
        self.directory = directory
        self.experiment_id = experiment_id
        self.go = True
        self.record_s = 0.0
        self.waits: dict[AttemptKey, list[str]] = defaultdict(list)
        self.identities: dict[AttemptKey, dict[str, Any]] = {}
        self.received: dict[AttemptKey, list[Message]] = defaultdict(list)
        self.endings: dict[AttemptKey, list[Ending]] = defaultdict(list)
        self.troubles: list[str] = []
        self.faults: list[str] = []
        self._python = python
        self._last: dict[AttemptKey, int] = defaultdict(lambda: -1)
        self._changed = asyncio.Event()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.code.mkdir(exist_ok=True)

    @property
    def code(self) -> Path:
        return self.directory / "code"

    # What the service tells.

    def waiting(self, key: AttemptKey, reason: str) -> None:
        self._must(not self.endings[key], f"{key} waits after its end")
        self.waits[key].append(reason)
        self._changed.set()

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        self._must(key not in self.identities, f"{key} was started twice")
        self._must(not self.endings[key], f"{key} started after its end")
        await asyncio.sleep(self.record_s)  # others run meanwhile
        if self.go:
            self.identities[key] = json.loads(json.dumps(identity))  # JSON values, as it is stored
        self._changed.set()
        return self.go

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        self._must(not self.endings[key], f"{key} reported after its end")
        for message in messages:
            if message.sequence > self._last[key]:  # a repeat is dropped, as the kernel does
                self._must(
                    message.sequence == self._last[key] + 1, f"{key}: messages before {message} are missing"
                )
                self._last[key] = message.sequence
                self.received[key].append(message)
        self._changed.set()

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        self._must(not self.endings[key], f"{key} ended twice")
        self.endings[key].append(ending)
        self._changed.set()

    def trouble(self, summary: str) -> None:
        self.troubles.append(summary)

    def _must(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)
            raise AssertionError(fault)

    # What a test asks for.

    async def open(self, *, adoptable: Collection[AttemptKey] = (), concurrency: int = 60) -> None:
        """Open the service, as for a manager that will have it adopt `adoptable`."""
        await self.service.open(
            ServiceContext(
                self.experiment_id, self.directory, concurrency, self, dict(os.environ), frozenset(adoptable)
            )
        )

    async def submit(self, script: str, *, name: str = "t0", **fields: Any) -> AttemptKey:
        """Submit a Python script as trial `name`.

        All trials of one manager run the same script: a service may take the code directory for
        what it was when the first trial was submitted.
        """
        path, text = self.code / "trial.py", textwrap.dedent(script)
        if not path.exists():
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, "the code directory must not change"
        return await self.submit_command(f"{shlex.quote(self._python)} trial.py", name=name, **fields)

    async def submit_command(self, command: str, *, name: str = "t0", **fields: Any) -> AttemptKey:
        attempt = self.attempt(AttemptKey(name, 0), command, **fields)
        await self.service.submit(attempt)
        return attempt.key

    async def take_over(self, earlier: ServiceHarness, key: AttemptKey) -> None:
        """Have an attempt adopted that an earlier manager started, from what that one heard last."""
        self._last[key] = earlier._last[key]
        attempt = self.attempt(key, "the command that it was started with")
        await self.service.adopt(attempt, earlier.identities[key], self._last[key])

    def attempt(self, key: AttemptKey, command: str, **fields: Any) -> Attempt:
        given: dict[str, Any] = {"parameters": {}, **fields}
        return Attempt(
            key=key,
            experiment_id=self.experiment_id,
            sequence=0,
            command=command,
            code_directory=self.code,
            directory=self.directory / "trials" / key.trial_id / str(key.number),
            **given,
        )

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something to become true.

        Raises:
            AssertionError: After a minute.
        """
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {DEADLINE_S:.0f} s for: {what}; {self._seen()}"
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 0.1)
            except TimeoutError:
                continue  # the condition may be about something else than events

    async def end(self, *keys: AttemptKey) -> list[Ending]:
        """Wait for the end of attempts."""
        await self.until(lambda: all(self.endings[key] for key in keys), f"the end of {len(keys)} attempts")
        return [self.endings[key][0] for key in keys]

    async def first_report(self, key: AttemptKey) -> Any:
        """The value of the first metric, once it is there."""
        await self.until(lambda: bool(self.received[key]), f"the first report of {key.trial_id}")
        return self.received[key][0].value

    def values(self, key: AttemptKey, kind: str = "intermediate") -> list[Any]:
        return [message.value for message in self.received[key] if message.kind == kind]

    def output(self, key: AttemptKey, name: str = "stdout") -> str:
        """What the attempt printed, as far as it is on this machine."""
        path = self.directory / "trials" / key.trial_id / str(key.number) / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _seen(self) -> str:
        return f"started {list(self.identities)}, ended {dict(self.endings)}, troubles {self.troubles}"


class _Telling(ServiceHarness):
    """In a manager that will be killed: tells another process what it hears, before it goes on."""

    pipe = -1
    holds_gates = False

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        await super().started(key, identity)
        self._tell("started", key, self.identities[key])
        if self.holds_gates:
            await asyncio.get_running_loop().create_future()  # for ever
        return True

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        await super().messages(key, messages)
        self._tell("messages", key, list(messages))

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        super().ended(key, ending)
        self._tell("ended", key, [ending.exit_status, ending.lost, ending.reason])

    def _tell(self, what: str, key: AttemptKey, value: Any) -> None:
        data = json.dumps([what, key, value]).encode() + b"\n"
        while data:
            data = data[os.write(self.pipe, data) :]


def kill_manager(
    make: Callable[[], TrainingService],
    directory: Path,
    experiment_id: str,
    python: str,
    script: str,
    when: Callable[[ServiceHarness, AttemptKey], bool],
    *,
    holds_gates: bool = False,
) -> tuple[ServiceHarness, AttemptKey]:
    """Run a manager in a process of its own, have it submit one trial, and kill it.

    Args:
        make: Makes the service, in that process.
        when: Given what was heard so far; true at the moment for SIGKILL.
        holds_gates: The manager never comes to say that a trial may run.

    Returns:
        What it had recorded when it was killed, and the key of its trial. To be called where no
        event loop runs.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of pytest-xdist: the child uses none
        pid = os.fork()
    if pid == 0:
        os.close(reader)
        _manage(make, directory, experiment_id, python, script, writer, holds_gates)
    os.close(writer)
    heard, key = ServiceHarness(make(), directory, experiment_id, python), AttemptKey("t0", 0)
    try:
        _listen(reader, heard, lambda: when(heard, key))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
    return heard, key


def _manage(
    make: Callable[[], TrainingService],
    directory: Path,
    experiment_id: str,
    python: str,
    script: str,
    pipe: int,
    holds_gates: bool,
) -> None:
    """All that the manager's process does; does not return."""

    async def run() -> None:
        harness = _Telling(make(), directory, experiment_id, python)
        harness.pipe, harness.holds_gates = pipe, holds_gates
        await harness.open()
        await harness.submit(script)
        await asyncio.get_running_loop().create_future()  # until it is killed

    try:
        asyncio.run(run())
    except BaseException:  # noqa: BLE001 (it must not come back into the test)
        traceback.print_exc()
    finally:
        os._exit(1)


def _listen(pipe: int, heard: ServiceHarness, enough: Callable[[], bool]) -> None:
    """Note what the other manager tells until it is enough."""
    deadline, rest = time.monotonic() + DEADLINE_S, b""
    while not enough():
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"waited {DEADLINE_S:.0f} s for the manager that was to be killed"
        data = os.read(pipe, 1 << 16)
        assert data, "the manager that was to be killed ended before"
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if not enough():  # what it heard later is not in the record
                _note(heard, json.loads(line))


def _note(heard: ServiceHarness, told: Any) -> None:
    what, name, value = told
    key = AttemptKey(*name)
    if what == "started":
        heard.identities[key] = value
    elif what == "messages":
        asyncio.run(heard.messages(key, [Message(*each) for each in value]))
    else:
        heard.ended(key, Ending(*value))
