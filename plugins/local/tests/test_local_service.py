"""The local service on real processes, driven by a kernel in miniature."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tune_local.config import LocalConfig
from tune_local.gpus import Gpu
from tune_local.service import LocalService

from tune_core import Attempt, AttemptKey, Ending, Message, ServiceContext, TrainingServiceError

PYTHON = f"'{sys.executable}'"
REPORT = """echo '{"type":"intermediate","value":1}' >> $TUNE_CHANNEL_FILE; """


class Recorder:
    """ServiceEvents that remember."""

    def __init__(self) -> None:
        self.identities: dict[AttemptKey, Mapping[str, Any]] = {}
        self.received: dict[AttemptKey, list[Message]] = {}
        self.endings: dict[AttemptKey, Ending] = {}
        self.reasons: dict[AttemptKey, str] = {}
        self.troubles: list[str] = []
        self.refuses = False
        self.has_room = asyncio.Event()
        self.has_room.set()

    def waiting(self, key: AttemptKey, reason: str) -> None:
        self.reasons[key] = reason

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        self.identities[key] = json.loads(json.dumps(identity))  # JSON values, as the contract says
        return not self.refuses

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        assert key not in self.endings, "a message after the end"
        self.received.setdefault(key, []).extend(messages)
        await self.has_room.wait()

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        assert key not in self.endings, "a second end"
        self.endings[key] = ending

    def trouble(self, summary: str) -> None:
        self.troubles.append(summary)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 90) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 (several conditions, of which some are files)
                await asyncio.sleep(0.01)

    async def end(self, key: AttemptKey) -> Ending:
        await self.until(lambda: key in self.endings)
        return self.endings[key]


@asynccontextmanager
async def local_service(
    directory: Path, recorder: Recorder | None = None, **options: Any
) -> AsyncIterator[tuple[LocalService, Recorder]]:
    """An opened service; what still runs when the block ends is cancelled."""
    recorder = recorder or Recorder()
    service = LocalService(LocalConfig(**{"kill_grace": 0.5, **options}))
    await service.open(ServiceContext("exp", directory, 100, recorder, os.environ))
    try:
        yield service, recorder
    finally:
        recorder.has_room.set()
        for key in list(service._attempts):
            await service.cancel(key)
        await recorder.until(lambda: not service._attempts)
        await service.close()


def attempt(directory: Path, command: str, trial_id: str = "t", number: int = 0, **fields: Any) -> Attempt:
    code = directory / "code"
    code.mkdir(exist_ok=True)
    given: dict[str, Any] = {
        "experiment_id": "exp",
        "sequence": 7,
        "parameters": {"x": 1},
        "command": command,
        "code_directory": code,
        "directory": directory / "trials" / trial_id / str(number),
    }
    return Attempt(AttemptKey(trial_id, number), **{**given, **fields})


def run(directory: Path, command: str, **fields: Any) -> tuple[Ending, Path, list[Message]]:
    """One attempt from submission to its end: the ending, its folder, its messages."""

    async def scenario() -> tuple[Ending, Path, list[Message]]:
        async with local_service(directory) as (service, recorder):
            one = attempt(directory, command, **fields)
            await service.submit(one)
            return await recorder.end(one.key), one.directory, recorder.received.get(one.key, [])

    return asyncio.run(scenario())


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_trial_runs_with_the_sdk(tmp_path: Path) -> None:
    script = """
        import os, tune
        print(tune.get_next_parameter())
        print(tune.get_experiment_id(), tune.get_trial_id(), tune.get_sequence_id())
        print(os.getcwd(), tune.get_output_dir(), tune.get_checkpoint_dir(), sep="\\n")
        tune.report_intermediate_result(0.5)
        tune.report_final_result({"default": 0.25, "loss": float("nan")})
        """
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(textwrap.dedent(script))
    ending, directory, messages = run(tmp_path, f"{PYTHON} train.py", number=2)
    assert ending == Ending(0)
    assert [message[:3] for message in messages] == [
        (0, "intermediate", 0.5),
        (1, "final", {"default": 0.25, "loss": "NaN"}),
    ]
    assert (directory / "stdout").read_text().splitlines() == [
        "{'x': 1}",
        "exp t 7",
        str(tmp_path / "code"),
        str(directory / "output"),
        str(directory.parent / "checkpoint"),
    ]


def test_folders_and_files_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        _, directory, _ = run(tmp_path, "true")
    finally:
        os.umask(old)
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
        "parameter.json": 0o600,
        "messages.jsonl": 0o600,
        "stdout": 0o600,
        "stderr": 0o600,
        "exit_status": 0o600,
        "output": 0o700,
    }


def test_failure_shows_the_end_of_stderr(tmp_path: Path) -> None:
    script = "import sys; [print('line', n, file=sys.stderr) for n in range(100)]; sys.exit('\\033[31mred')"
    ending, _, _ = run(tmp_path, f'{PYTHON} -c "{script}"')
    assert ending.exit_status == 1
    first, *lines = ending.reason.splitlines()
    assert first == "exit status 1; last lines of stderr:"
    assert lines == [f"line {number}" for number in range(81, 100)] + ["\\x1b[31mred"]


def test_unknown_command_is_said_so(tmp_path: Path) -> None:
    ending, _, _ = run(tmp_path, "no-such-command")
    assert ending.exit_status == 127
    assert ending.reason.startswith("exit status 127: command not found; last lines of stderr:\n")
    assert "no-such-command" in ending.reason


def test_trial_without_the_sdk_is_told_where_to_install_it(tmp_path: Path) -> None:
    ending, _, _ = run(tmp_path, f"cd /tmp && {PYTHON} -S -c 'import tune'")
    first, *_, error, hint = ending.reason.splitlines()
    assert first == "exit status 1; last lines of stderr:"
    assert error == "ModuleNotFoundError: No module named 'tune'"
    assert hint.startswith(f"hint: {sys.executable} lacks the package that trials import.")
    assert f"{sys.executable} -m pip install tune-sdk" in hint


def test_missing_code_directory_is_said_so(tmp_path: Path) -> None:
    ending, _, _ = run(tmp_path, "true", code_directory=tmp_path / "gone")
    assert ending == Ending(None, reason=f"the code directory {tmp_path / 'gone'} does not exist")


@pytest.mark.parametrize(("gpus", "shown"), [(None, "unset"), (0, "")])
def test_gpus_are_left_alone_or_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int | None, shown: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    _, directory, _ = run(tmp_path, 'echo "${CUDA_VISIBLE_DEVICES-unset}"', gpu_number=gpus)
    assert (directory / "stdout").read_text() == shown + "\n"


def test_users_variables_are_added(tmp_path: Path) -> None:
    _, directory, _ = run(tmp_path, 'echo "$SEED"', environment={"SEED": "1 2"})
    assert (directory / "stdout").read_text() == "1 2\n"


def test_half_made_folder_is_taken_over(tmp_path: Path) -> None:
    directory = tmp_path / "trials" / "t" / "0"
    directory.mkdir(parents=True)
    (directory / "exit_status").write_text("1\n")
    (directory / "messages.jsonl").write_text('{"type":"final","value":1}\n')
    (directory / "parameter.json").write_text('{"x"')
    ending, _, messages = run(tmp_path, REPORT + "cat $TUNE_PARAMETER_FILE")
    assert ending == Ending(0)
    assert [message.kind for message in messages] == ["intermediate"]
    assert json.loads((directory / "stdout").read_text()) == {"x": 1}


def test_fifty_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            attempts = [attempt(tmp_path, REPORT + f"exit {n}", f"t{n}") for n in range(50)]
            for each in attempts:
                await service.submit(each)
                await service.submit(each)  # a repeat
            for number, each in enumerate(attempts):
                assert (await recorder.end(each.key)).exit_status == number
                assert len(recorder.received[each.key]) == 1

    asyncio.run(scenario())


def test_refused_attempt_never_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            recorder.refuses = True
            one = attempt(tmp_path, "touch ran")
            await service.submit(one)
            assert await recorder.end(one.key) == Ending(None, reason="never started")

    asyncio.run(scenario())
    assert not (tmp_path / "code" / "ran").exists()


def test_cancel_ends_the_whole_tree(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            one = attempt(
                tmp_path, "setsid sh -c 'trap \"\" TERM; echo $$ > pid; sleep 600; sleep 600' & sleep 600"
            )
            await service.submit(one)
            pid_file = one.code_directory / "pid"
            await recorder.until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
            await service.cancel(one.key)
            await service.cancel(one.key)
            await service.cancel(AttemptKey("unknown", 0))
            ending = await recorder.end(one.key)
            assert ending in (Ending(128 + 15), Ending(128 + 9))  # by who was quicker to write it down
            assert not is_alive(int(pid_file.read_text()))

    asyncio.run(scenario())


def test_flood_is_slowed_by_the_kernel_and_arrives_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            recorder.has_room.clear()
            line = """'{"type":"intermediate","value":%d}\\n'"""
            flood = attempt(tmp_path, f"seq 0 49999 | xargs printf {line} >> $TUNE_CHANNEL_FILE", "flood")
            await service.submit(flood)
            await recorder.until(lambda: recorder.received)
            quiet = attempt(tmp_path, "true", "quiet")
            await service.submit(quiet)
            assert await recorder.end(quiet.key) == Ending(0)
            assert len(recorder.received[flood.key]) < 5000  # one batch
            assert flood.key not in recorder.endings
            recorder.has_room.set()
            assert await recorder.end(flood.key) == Ending(0)
            assert [message.value for message in recorder.received[flood.key]] == list(range(50_000))

    asyncio.run(scenario())


def test_shortage_is_told_and_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_core.services.processes._RETRY_S", 0.05)
    real, failures = os.posix_spawn, [OSError(errno.ENOSPC, "No space left on device")] * 3

    def spawn(*arguments: Any, **options: Any) -> int:
        if failures:
            raise failures.pop()
        return real(*arguments, **options)

    monkeypatch.setattr("os.posix_spawn", spawn)

    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            one = attempt(tmp_path, "exit 3")
            await service.submit(one)
            assert "No space left on device" in recorder.reasons[one.key]
            assert (await recorder.end(one.key)).exit_status == 3
            assert "No space left on device" in recorder.troubles[0]
            assert recorder.troubles[-1] == ""

    asyncio.run(scenario())


def test_trials_queue_for_gpus_and_are_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_local.service.list_gpus", lambda: [Gpu(0), Gpu(1)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    show = 'echo "$CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER"; '

    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            first = attempt(tmp_path, show + "until [ -e go-on ]; do sleep 0.02; done", "a", gpu_number=2)
            second = attempt(tmp_path, show, "b", gpu_number=1)
            await service.submit(first)
            await service.submit(second)
            assert recorder.reasons[second.key] == (
                "waits for 1 GPU, 0 free: GPU 0 is held by trial a, GPU 1 is held by trial a"
            )
            (tmp_path / "code" / "go-on").touch()
            assert await recorder.end(second.key) == Ending(0)
            assert recorder.identities[first.key]["gpus"] == [0, 1]
            assert (first.directory / "stdout").read_text() == "0,1 PCI_BUS_ID\n"
            assert (second.directory / "stdout").read_text() == "0 PCI_BUS_ID\n"
            with pytest.raises(TrainingServiceError, match=r"^3 GPUs for each trial, but this machine has 2"):
                service.check(3)

    asyncio.run(scenario())


def test_gpu_that_is_lost_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_core.services.processes._RETRY_S", 0.05)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus: list[Gpu] = []
    monkeypatch.setattr("tune_local.service.list_gpus", lambda: gpus)

    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            both = [attempt(tmp_path, "exit 3", name, gpu_number=1) for name in "ab"]
            for each in both:
                await service.submit(each)
            said = "trials cannot be started: 1 GPU for each trial, but this machine has no GPUs"
            assert [recorder.reasons[each.key] for each in both] == [said, said]
            assert recorder.troubles[-1] == said
            gpus.append(Gpu(0))
            for each in both:
                assert (await recorder.end(each.key)).exit_status == 3
            assert recorder.troubles[-1] == ""

    asyncio.run(scenario())


def test_kernel_that_fails_is_told_once_and_the_trial_ends(tmp_path: Path) -> None:
    class Failing(Recorder):
        async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
            await super().messages(key, messages)
            raise RuntimeError("the kernel is broken")

    async def scenario() -> None:
        async with local_service(tmp_path, recorder=Failing()) as (service, recorder):
            wait = "until [ -e go-on ]; do sleep 0.02; done; "
            one = attempt(tmp_path, REPORT + wait + REPORT + "exit 3")
            await service.submit(one)
            await recorder.until(lambda: recorder.received)
            (tmp_path / "code" / "go-on").touch()
            assert (await recorder.end(one.key)).exit_status == 3
            assert len(recorder.received[one.key]) == 2
            assert recorder.troubles == ["the local platform failed: RuntimeError('the kernel is broken')"]

    asyncio.run(scenario())


SHOW_WARM = """
    import sys
    warm = "decimal" in sys.modules
    import decimal, tune
    tune.report_final_result({"default": tune.get_next_parameter()["x"], "warm": warm})
    sys.exit(3)
    """


def test_warm_trials_report_and_end_like_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_service(tmp_path, warm=True) as (service, recorder):

            async def run_one(number: int) -> bool:
                one = attempt(tmp_path, f"{PYTHON} train.py", f"t{number}", parameters={"x": number})
                await service.submit(one)
                assert (await recorder.end(one.key)).exit_status == 3
                (message,) = recorder.received[one.key]
                assert message.value["default"] == number
                return bool(message.value["warm"])

            script = tmp_path / "code" / "train.py"
            script.parent.mkdir()
            script.write_text(textwrap.dedent(SHOW_WARM))
            assert not await run_one(0)  # the parent is still importing
            assert service._warm is not None
            await recorder.until(lambda: service._warm._parent.ready)
            assert await run_one(1)
            script.write_text(textwrap.dedent(SHOW_WARM) + "# changed\n")
            assert not await run_one(2)  # its parent is another
            await recorder.until(lambda: service._warm._parent.ready)
            assert await run_one(3)
            service._warm._parent._process.kill()
            assert await run_one(4) in (False, True)  # whichever comes first, nothing is lost
            await recorder.until(lambda: service._warm._parent is None or service._warm._parent.ready)

    asyncio.run(scenario())


def test_warm_trial_is_adopted(tmp_path: Path) -> None:
    async def scenario() -> None:
        script = tmp_path / "code" / "train.py"
        script.parent.mkdir()
        script.write_text(
            "import decimal, os, sys, time\nwhile not os.path.exists('go-on'): time.sleep(0.01)\n"
        )
        recorder, one = Recorder(), attempt(tmp_path, f"{PYTHON} train.py")
        service = LocalService(LocalConfig(warm=True))
        await service.open(ServiceContext("exp", tmp_path, 1, recorder, os.environ))
        await service.submit(attempt(tmp_path, f"{PYTHON} train.py", "cold"))
        await recorder.until(lambda: service._warm._parent.ready)
        await service.submit(one)
        await recorder.until(lambda: one.key in recorder.identities and not service._gates)
        await service.close()
        async with local_service(tmp_path) as (second, heard):
            await second.adopt(one, recorder.identities[one.key], last_sequence=-1)
            (tmp_path / "code" / "go-on").touch()
            assert await heard.end(one.key) == Ending(0)

    asyncio.run(scenario())


def test_command_that_cannot_be_warm_starts_cold_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with local_service(tmp_path, warm=True) as (service, recorder):
            for name in "abc":
                one = attempt(tmp_path, "echo $TUNE_TRIAL_ID", name)
                await service.submit(one)
                assert await recorder.end(one.key) == Ending(0)

    asyncio.run(scenario())
    (record,) = caplog.records
    assert record.message.startswith("trials are started cold: the command uses the shell")


FIRST_MANAGER = """
    import asyncio, json, os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_local_service import *

    async def manage():
        async with local_service(Path({directory!r})) as (service, recorder):
            attempts = [attempt(Path({directory!r}), command, name) for name, command in {commands!r}.items()]
            for each in attempts:
                await service.submit(each)
            await recorder.until(lambda: len(recorder.received) == len(attempts))
            print(json.dumps({{key.trial_id: each for key, each in recorder.identities.items()}}), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(manage())
    """


def test_second_manager_adopts_what_a_killed_one_left(tmp_path: Path) -> None:
    wait = "until [ -e go-on ]; do sleep 0.02; done; "
    commands = {"live": REPORT + wait + REPORT + "exit 3", "dead": REPORT + "exit 4"}
    script = FIRST_MANAGER.format(
        tests=str(Path(__file__).parent), directory=str(tmp_path), commands=commands
    )
    first = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, check=False
    )
    identities = json.loads(first.stdout)
    assert is_alive(identities["live"]["pid"])

    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            live, dead = (attempt(tmp_path, commands[name], name) for name in ("live", "dead"))
            await service.adopt(live, identities["live"], last_sequence=0)
            await service.adopt(dead, identities["dead"], last_sequence=-1)
            assert (await recorder.end(dead.key)).exit_status == 4
            assert [message.sequence for message in recorder.received[dead.key]] == [0]
            assert live.key not in recorder.endings
            (live.code_directory / "go-on").touch()
            assert (await recorder.end(live.key)).exit_status == 3
            assert [message.sequence for message in recorder.received[live.key]] == [1]

    asyncio.run(scenario())


def test_closed_service_leaves_trials_running(tmp_path: Path) -> None:
    async def scenario() -> None:
        recorder = Recorder()
        one = attempt(tmp_path, REPORT + "sleep 600")
        service = LocalService(LocalConfig())
        await service.open(ServiceContext("exp", tmp_path, 1, recorder, os.environ))
        await service.submit(one)
        await recorder.until(lambda: recorder.received)
        await service.close()
        pid = recorder.identities[one.key]["pid"]
        assert is_alive(pid)
        async with local_service(tmp_path, kill_grace=60) as (second, heard):
            await second.adopt(one, recorder.identities[one.key], last_sequence=0)
            await second.cancel(one.key)
            assert (await heard.end(one.key)).exit_status == 128 + 15
        assert not is_alive(pid)

    asyncio.run(scenario())


def test_attempt_of_before_a_restart_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_service(tmp_path) as (service, recorder):
            one = attempt(tmp_path, "true")
            identity = {"pid": 1, "start": "1", "boot": "another", "mark": "m", "gpus": []}
            await service.adopt(one, identity, last_sequence=-1)
            ending = await recorder.end(one.key)
            assert ending.lost
            assert ending.exit_status is None
            assert ending.reason

    asyncio.run(scenario())
