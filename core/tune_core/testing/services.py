"""What every training service must hold to: started once, ended once, nothing lost, nothing left."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tune_core.services.base import ServiceContext, TrainingService
from tune_core.trial import Attempt, AttemptKey, Ending, Message

__all__ = ["ServiceHarness", "TrainingServiceContract"]

_DEADLINE_S = 60.0


class ServiceHarness:
    """The kernel's side of a service in a test: records what it tells. Implements `ServiceEvents`.

    Attributes:
        go: What `started` answers.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.go = True
        self.waits: dict[AttemptKey, list[str]] = defaultdict(list)
        self.identities: dict[AttemptKey, dict[str, Any]] = {}
        self.received: dict[AttemptKey, list[Message]] = defaultdict(list)
        self.endings: dict[AttemptKey, list[Ending]] = defaultdict(list)
        self.troubles: list[str] = []
        self._changed = asyncio.Event()

    def waiting(self, key: AttemptKey, reason: str) -> None:
        self.waits[key].append(reason)
        self._changed.set()

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        assert key not in self.identities, f"{key} was started twice"
        await asyncio.sleep(0)  # as a record does: others run meanwhile
        if self.go:
            self.identities[key] = dict(identity)
        self._changed.set()
        return self.go

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        assert not self.endings[key], f"{key} reported after its end"
        last = self.received[key][-1].sequence if self.received[key] else -1
        self.received[key] += [message for message in messages if message.sequence > last]
        self._changed.set()

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        self.endings[key].append(ending)
        self._changed.set()

    def trouble(self, summary: str) -> None:
        self.troubles.append(summary)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something to become true.

        Raises:
            AssertionError: After a minute.
        """
        deadline = time.monotonic() + _DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {_DEADLINE_S:.0f} s for: {what}; {self._seen()}"
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 0.1)
            except TimeoutError:
                continue  # the condition may be about something else than events

    async def end(self, *keys: AttemptKey) -> list[Ending]:
        """Wait for the end of attempts; each must come exactly once."""
        await self.until(lambda: all(self.endings[key] for key in keys), f"the end of {len(keys)} attempts")
        assert all(len(self.endings[key]) == 1 for key in keys), "an attempt ended twice"
        return [self.endings[key][0] for key in keys]

    def values(self, key: AttemptKey, kind: str) -> list[Any]:
        return [message.value for message in self.received[key] if message.kind == kind]

    def _seen(self) -> str:
        return f"started {list(self.identities)}, ended {dict(self.endings)}, troubles {self.troubles}"


class TrainingServiceContract:
    """Subclass it, name the class `Test...`, and define `make_service`."""

    def make_service(self) -> TrainingService:
        """A new service, as the kernel makes it; all of one test reach the same platform."""
        raise NotImplementedError("define make_service in the subclass")

    def python(self) -> str:
        """A Python on the platform that can import tune."""
        return sys.executable

    def is_alive(self, pid: int) -> bool:
        """Whether a process on the platform is alive; zombies are not."""
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state not in "ZX"

    def test_trial_gets_parameters_and_reports(self, tmp_path: Path) -> None:
        script = """
            import tune
            parameters = tune.get_next_parameter()
            for step in range(3):
                tune.report_intermediate_result(parameters["x"] * step)
            tune.report_final_result({"default": parameters["x"], "other": tune.get_sequence_id()})
        """

        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            key = await self._submit(service, tmp_path, script, parameters={"x": 7, "nested": {"_name": "ü"}})
            (ending,) = await harness.end(key)
            assert ending.exit_status == 0
            assert not ending.lost
            assert harness.values(key, "intermediate") == [0, 7, 14]
            assert harness.values(key, "final") == [{"default": 7, "other": 0}]

        self._run(tmp_path, check)

    def test_exit_status_and_last_words_are_reported(self, tmp_path: Path) -> None:
        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            key = await self._submit(service, tmp_path, "import sys; sys.exit('no such column: age')")
            (ending,) = await harness.end(key)
            assert ending.exit_status == 1
            assert "no such column: age" in ending.reason

        self._run(tmp_path, check)

    def test_command_that_does_not_exist_says_so(self, tmp_path: Path) -> None:
        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            key = await self._submit_command(service, tmp_path, "no-such-program --lr 1")
            (ending,) = await harness.end(key)
            assert ending.exit_status == 127
            assert "no-such-program" in ending.reason

        self._run(tmp_path, check)

    @pytest.mark.parametrize(
        "command", ["exit 3", "exec sh -c 'exit 3'", "set -e; false || exit 3", "(exit 3) #"]
    )
    def test_shell_lines_keep_their_exit_status(self, tmp_path: Path, command: str) -> None:
        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            key = await self._submit_command(service, tmp_path, command)
            (ending,) = await harness.end(key)
            assert ending.exit_status == 3

        self._run(tmp_path, check)

    def test_nothing_runs_without_the_word(self, tmp_path: Path) -> None:
        """`started` answered False: the attempt was cancelled before it was recorded."""
        marker = tmp_path / "it ran"

        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            harness.go = False
            key = await self._submit_command(service, tmp_path, f"touch '{marker}'")
            await harness.end(key)
            assert not marker.exists()

        self._run(tmp_path, check)

    def test_cancel_ends_the_whole_tree(self, tmp_path: Path) -> None:
        script = """
            import os, signal, subprocess, sys, tune
            stubborn = (
                "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
                "print(flush=True); time.sleep(300)"
            )
            command = [sys.executable, "-c", stubborn]
            plain = subprocess.Popen(command, stdout=subprocess.PIPE)
            session = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
            for child in (plain, session):
                child.stdout.readline()
            tune.report_intermediate_result({"default": 0, "pids": [os.getpid(), plain.pid, session.pid]})
            signal.pause()
        """

        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            key = await self._submit(service, tmp_path, script)
            await harness.until(lambda: bool(harness.received[key]), "the pids of the trial")
            pids = harness.values(key, "intermediate")[0]["pids"]
            assert all(self.is_alive(pid) for pid in pids)
            await service.cancel(key)
            await service.cancel(key)  # a repeat is ignored
            await harness.end(key)
            assert [pid for pid in pids if self.is_alive(pid)] == []

        self._run(tmp_path, check)

    def test_cancelling_what_is_unknown_is_ignored(self, tmp_path: Path) -> None:
        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            await service.cancel(AttemptKey("nobody", 0))
            assert not harness.endings

        self._run(tmp_path, check)

    def test_fifty_trials_at_once(self, tmp_path: Path) -> None:
        script = "import tune; tune.report_final_result(tune.get_next_parameter()['x'])"

        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            keys = [
                await self._submit(service, tmp_path, script, name=f"t{x}", parameters={"x": x})
                for x in range(50)
            ]
            endings = await harness.end(*keys)
            assert {ending.exit_status for ending in endings} == {0}
            assert [harness.values(key, "final") for key in keys] == [[x] for x in range(50)]

        self._run(tmp_path, check, concurrency=50)

    def test_ten_thousand_metrics_come_in_order(self, tmp_path: Path) -> None:
        script = """
            import tune
            for step in range(10_000):
                tune.report_intermediate_result(step)
            tune.report_final_result(1)
        """

        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            key = await self._submit(service, tmp_path, script)
            await harness.end(key)
            assert harness.values(key, "intermediate") == list(range(10_000))
            assert harness.values(key, "final") == [1]

        self._run(tmp_path, check)

    def test_another_manager_adopts_a_running_trial(self, tmp_path: Path) -> None:
        release = tmp_path / "release"
        script = f"""
            import os, time, tune
            tune.report_intermediate_result(os.getpid())
            while not os.path.exists({str(release)!r}):
                time.sleep(0.01)
            tune.report_intermediate_result(os.getpid())
            tune.report_final_result(0.5)
        """

        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            key = await self._submit(service, tmp_path, script)
            await harness.until(lambda: bool(harness.received[key]), "the first report")
            await service.close()
            later, second = self.make_service(), ServiceHarness(tmp_path)
            await later.open(_context(second, 1))
            attempt = self._attempt(tmp_path, "unused", "t0", {})
            await later.adopt(attempt, harness.identities[key], harness.received[key][-1].sequence)
            release.touch()
            (ending,) = await second.end(key)
            assert ending.exit_status == 0
            assert second.values(key, "intermediate") == harness.values(key, "intermediate")
            assert second.values(key, "final") == [0.5]
            await later.close()

        self._run(tmp_path, check, close=False)

    def test_trial_that_ended_unwatched_is_adopted(self, tmp_path: Path) -> None:
        done = tmp_path / "done"
        script = f"""
            import pathlib, tune
            tune.report_final_result(0.25)
            pathlib.Path({str(done)!r}).touch()
            raise SystemExit(4)
        """

        async def check(service: TrainingService, harness: ServiceHarness) -> None:
            key = await self._submit(service, tmp_path, script)
            await harness.until(lambda: key in harness.identities, "the start")
            await service.close()
            await harness.until(done.exists, "the trial to end by itself")
            later, second = self.make_service(), ServiceHarness(tmp_path)
            await later.open(_context(second, 1))
            await later.adopt(self._attempt(tmp_path, "unused", "t0", {}), harness.identities[key], -1)
            (ending,) = await second.end(key)
            assert ending.exit_status == 4
            assert second.values(key, "final") == [0.25]
            await later.close()

        self._run(tmp_path, check, close=False)

    # What the tests are made of.

    def _run(
        self,
        folder: Path,
        check: Callable[[TrainingService, ServiceHarness], Coroutine[Any, Any, None]],
        *,
        concurrency: int = 4,
        close: bool = True,
    ) -> None:
        async def run() -> None:
            service, harness = self.make_service(), ServiceHarness(folder)
            await service.open(_context(harness, concurrency))
            try:
                await check(service, harness)
            finally:
                if close:
                    await service.close()

        asyncio.run(run())

    async def _submit(
        self,
        service: TrainingService,
        folder: Path,
        script: str,
        *,
        name: str = "t0",
        parameters: Mapping[str, Any] | None = None,
    ) -> AttemptKey:
        path = folder / "code" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(script), encoding="utf-8")
        command = f"{self.python()} {name}.py"
        return await self._submit_command(service, folder, command, name=name, parameters=parameters)

    async def _submit_command(
        self,
        service: TrainingService,
        folder: Path,
        command: str,
        *,
        name: str = "t0",
        parameters: Mapping[str, Any] | None = None,
    ) -> AttemptKey:
        attempt = self._attempt(folder, command, name, parameters or {})
        await service.submit(attempt)
        return attempt.key

    @staticmethod
    def _attempt(folder: Path, command: str, name: str, parameters: Mapping[str, Any]) -> Attempt:
        code = folder / "code"
        code.mkdir(exist_ok=True)
        return Attempt(
            key=AttemptKey(name, 0),
            experiment_id="contract",
            sequence=0,
            parameters=parameters,
            command=command,
            code_directory=code,
            directory=folder / "trials" / name / "0",
        )


def _context(harness: ServiceHarness, concurrency: int) -> ServiceContext:
    return ServiceContext("contract", harness.directory, concurrency, harness, dict(os.environ))
