"""What every training service must hold to: started once, ended once, nothing lost, nothing left.

The tests reach the platform through the service alone, and through four methods that a service for
other machines overrides: `python`, `is_alive`, `send_signal` and `traces`. They share no folder with
it: what trials have to say they report, and what they wait for is a signal.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tune_core.services.base import Leftover, TrainingService
from tune_core.testing.harness import ServiceHarness, kill_manager
from tune_core.trial import AttemptKey, Message

__all__ = ["TrainingServiceContract"]

Check = Callable[[ServiceHarness], Awaitable[None]]

# Reports who it is, and waits for SIGUSR1; `wait()` does so again. The alarm ends what a test that
# failed has left.
WAITING_TRIAL = """
import os, signal, socket, sys, tune
signal.alarm(200)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
wait = lambda: signal.sigwait({signal.SIGUSR1})
me = {"default": 0, "pids": [os.getpid()], "host": socket.gethostname()}
tune.report_intermediate_result(me)
wait()
"""
# Has children that ignore SIGTERM, one in a session of its own; waits until it is ended.
FAMILY = """
import os, signal, socket, subprocess, sys, tune
signal.alarm(200)
stubborn = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print(flush=True); time.sleep(200)"
)
command = [sys.executable, "-c", stubborn]
plain = subprocess.Popen(command, stdout=subprocess.PIPE)
session = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
for child in (plain, session):
    child.stdout.readline()
pids = [os.getpid(), plain.pid, session.pid]
tune.report_intermediate_result({"default": 0, "pids": pids, "host": socket.gethostname()})
signal.pause()
"""
BURST = """
import tune
for step in range(10_000):
    tune.report_intermediate_result(step)
tune.report_final_result(1)
"""


class TrainingServiceContract:
    """Subclass it, name the class `Test...`, and define `make_service`."""

    def make_service(self) -> TrainingService:
        """A new service, as the kernel makes it; all of one test reach the same platform.

        Also called in a process of its own, forked from the test's.
        """
        raise NotImplementedError("define make_service in the subclass")

    def python(self) -> str:
        """A Python on the platform that can import tune."""
        return sys.executable

    def is_alive(self, pid: int, host: str) -> bool:
        """Whether a process on the platform is alive; zombies are not.

        Args:
            host: Which machine, by the name that `socket.gethostname` has there.
        """
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state not in "ZX"

    def send_signal(self, pid: int, host: str, number: int) -> None:
        """Send a signal to a process on the platform."""
        os.kill(pid, number)

    def traces(self, experiment_id: str) -> Sequence[str]:
        """What is on the platform of an experiment that was cleaned away, found without the service:
        paths, say. None on a platform that keeps nothing outside the experiment's folder."""
        return ()

    # What a trial gets.

    def test_trial_gets_parameters_and_reports(self, tmp_path: Path) -> None:
        script = """
            import tune
            parameters = tune.get_next_parameter()
            for step in range(3):
                tune.report_intermediate_result(parameters["x"] * step)
            tune.report_final_result({"default": parameters["x"], "other": tune.get_sequence_id()})
        """

        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit(script, parameters={"x": 7})
            (ending,) = await harness.end(key)
            assert ending.exit_status == 0
            assert not ending.lost
            assert harness.values(key) == [0, 7, 14]
            assert harness.values(key, "final") == [{"default": 7, "other": 0}]

        self._run(tmp_path, check)

    def test_parameters_arrive_unchanged(self, tmp_path: Path) -> None:
        parameters = {
            "text": "'single' \"double\" $HOME `id` \\n \n\t%s %% \x7f",
            "ümläut ☃ 𝄞": {"_name": "x", "list": [1, -2.5, None, True, [], {}]},
            "large": 2**60,
            "tiny": 5e-324,
            "": "",
            "long": "x" * 300_000,  # more than one argument or variable may have
        }
        script = """
            import tune
            tune.report_final_result({"default": 0, "got": tune.get_next_parameter()})
        """

        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit(script, parameters=parameters)
            await harness.end(key)
            assert harness.values(key, "final") == [{"default": 0, "got": parameters}]

        self._run(tmp_path, check)

    def test_environment_and_directory_are_the_trials(self, tmp_path: Path) -> None:
        environment = {"KIT_PLAIN": "a b", "KIT_ODD": "'q' \"d\" $HOME `id` \\ \n ü"}
        script = """
            import os, tune
            names = ["KIT_PLAIN", "KIT_ODD", "TUNE_EXPERIMENT_ID", "TUNE_TRIAL_ID", "TUNE_TRIAL_ATTEMPT"]
            tune.report_final_result({
                "default": 0,
                "environment": {name: os.environ.get(name) for name in names},
                "beside": sorted(name for name in os.listdir(".") if not name.startswith("_")),
                "writable": [
                    os.access(folder, os.W_OK)
                    for folder in (tune.get_output_dir(), tune.get_checkpoint_dir())
                ],
            })
        """

        async def check(harness: ServiceHarness) -> None:
            (harness.code / "data").write_text("of the trial")
            key = await harness.submit(script, environment=environment)
            await harness.end(key)
            (told,) = harness.values(key, "final")
            assert told["environment"] == {
                **environment,
                "TUNE_EXPERIMENT_ID": harness.experiment_id,
                "TUNE_TRIAL_ID": "t0",
                "TUNE_TRIAL_ATTEMPT": "0",
            }
            assert told["beside"] == ["data", "trial.py"]
            assert told["writable"] == [True, True]

        self._run(tmp_path, check)

    # How it ends.

    def test_exit_status_and_last_words_are_reported(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit("import sys; sys.exit('no such column: age')")
            (ending,) = await harness.end(key)
            assert ending.exit_status == 1
            assert "no such column: age" in ending.reason

        self._run(tmp_path, check)

    def test_command_that_does_not_exist_says_so(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit_command("no-such-program --lr 1")
            (ending,) = await harness.end(key)
            assert ending.exit_status == 127
            assert "no-such-program" in ending.reason

        self._run(tmp_path, check)

    def test_shell_lines_keep_their_exit_status(self, tmp_path: Path) -> None:
        commands = {
            "exit 3": 3,
            "exec sh -c 'exit 4'": 4,
            "set -e; false || exit 5": 5,
            "(exit 6) #": 6,
            "kill -KILL $$": 128 + signal.SIGKILL,
            "echo 'an open quote": None,  # any, as long as it is a failure
        }

        async def check(harness: ServiceHarness) -> None:
            keys = [
                await harness.submit_command(command, name=f"t{number}")
                for number, command in enumerate(commands)
            ]
            endings = await harness.end(*keys)
            for (command, status), ending in zip(commands.items(), endings, strict=True):
                assert ending.exit_status == status or (status is None and ending.exit_status), command
                assert not ending.lost

        self._run(tmp_path, check)

    def test_all_that_was_printed_is_there_at_the_end(self, tmp_path: Path) -> None:
        script = """
            import sys
            for number in range(20_000):
                print("line", number)
                print("trouble", number, file=sys.stderr)
            sys.stdout.write("no newline at the end")
        """

        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit(script)
            await harness.end(key)
            printed = "".join(f"line {number}\n" for number in range(20_000))
            assert harness.output(key) == printed + "no newline at the end"
            assert harness.output(key, "stderr") == "".join(f"trouble {n}\n" for n in range(20_000))

        self._run(tmp_path, check)

    def test_what_is_printed_can_be_followed(self, tmp_path: Path) -> None:
        script = f"""print("first", flush=True){WAITING_TRIAL}
print("second", flush=True)
tune.report_intermediate_result(1)
wait()
print("third")
"""

        async def check(harness: ServiceHarness) -> None:
            await harness.service.follow(AttemptKey("nobody", 0))  # is ignored
            key = await harness.submit(script)
            me = await harness.first_report(key)
            await harness.service.follow(key)
            await harness.service.follow(key)  # a repeat is ignored
            await harness.until(lambda: harness.output(key) == "first\n", "what was printed before")
            self._wake(me)
            await harness.until(lambda: harness.output(key) == "first\nsecond\n", "what was printed since")
            await harness.until(lambda: len(harness.received[key]) == 2, "the second report")
            self._wake(me)
            await harness.end(key)
            assert harness.output(key) == "first\nsecond\nthird\n"

        self._run(tmp_path, check)

    # Starting and cancelling.

    def test_nothing_runs_without_the_word(self, tmp_path: Path) -> None:
        """`started` answered False: the attempt was cancelled before it was recorded."""

        async def check(harness: ServiceHarness) -> None:
            harness.go = False
            harness.record_s = 0.3  # in which a shell would have said much
            report = """echo '{"type": "final", "value": 1}' >> "$TUNE_CHANNEL_FILE"; echo it ran"""
            key = await harness.submit_command(report)
            await harness.end(key)
            assert harness.received[key] == []
            assert harness.output(key) == ""

        self._run(tmp_path, check)

    def test_submitting_twice_starts_once(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit("import tune; tune.report_final_result(1)")
            again = await harness.submit("import tune; tune.report_final_result(1)")
            assert again == key
            await harness.end(key)
            assert harness.values(key, "final") == [1]

        self._run(tmp_path, check)

    def test_cancel_ends_the_whole_tree(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit(FAMILY)
            family = await harness.first_report(key)
            assert self._alive(family) == family["pids"]
            await harness.service.cancel(key)
            await harness.service.cancel(key)  # a repeat is ignored
            (ending,) = await harness.end(key)
            assert ending.exit_status != 0
            assert self._alive(family) == []

        self._run(tmp_path, check)

    def test_trial_that_ends_takes_its_children_along(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit(FAMILY.replace("signal.pause()", "os._exit(0)"))
            (ending,) = await harness.end(key)
            assert ending.exit_status == 0
            assert self._alive(harness.values(key)[0]) == []

        self._run(tmp_path, check)

    def test_cancelling_at_once_ends_it_once(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            names = [f"t{number}" for number in range(5)]
            keys = [await harness.submit_command("sleep 300", name=name) for name in names]
            for key in keys:
                await harness.service.cancel(key)
            endings = await harness.end(*keys)
            assert all(ending.exit_status != 0 for ending in endings)

        self._run(tmp_path, check)

    def test_cancelling_what_is_unknown_is_ignored(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            await harness.service.cancel(AttemptKey("nobody", 0))
            key = await harness.submit_command("exit 0")
            await harness.end(key)
            await harness.service.cancel(key)
            assert list(harness.endings) == [key]

        self._run(tmp_path, check)

    # Many.

    def test_fifty_trials_at_once(self, tmp_path: Path) -> None:
        script = "import tune; tune.report_final_result(tune.get_next_parameter()['x'])"

        async def check(harness: ServiceHarness) -> None:
            keys = [await harness.submit(script, name=f"t{x}", parameters={"x": x}) for x in range(50)]
            endings = await harness.end(*keys)
            assert {ending.exit_status for ending in endings} == {0}
            assert [harness.values(key, "final") for key in keys] == [[x] for x in range(50)]

        self._run(tmp_path, check)

    def test_ten_thousand_metrics_come_in_order(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit(BURST)
            await harness.end(key)
            assert harness.values(key) == list(range(10_000))
            assert harness.values(key, "final") == [1]

        self._run(tmp_path, check)

    def test_two_experiments_do_not_meet(self, tmp_path: Path) -> None:
        script = f"{WAITING_TRIAL}\ntune.report_final_result(tune.get_next_parameter()['x'])"

        async def check(harness: ServiceHarness) -> None:
            async with self._manager(tmp_path / "other", self._name()) as other:
                managers = (harness, other)
                keys = [await each.submit(script, parameters={"x": x}) for x, each in enumerate(managers)]
                families = [await each.first_report(key) for each, key in zip(managers, keys, strict=True)]
                await harness.service.cancel(keys[0])
                await harness.end(keys[0])
                assert self._alive(families[0]) == []
                assert self._alive(families[1]) == families[1]["pids"]
                self._wake(families[1])
                (ending,) = await other.end(keys[1])
                assert ending.exit_status == 0
                assert other.values(keys[1], "final") == [1]

        self._run(tmp_path, check)

    # Managers that come and go.

    def test_another_manager_adopts_a_running_trial(self, tmp_path: Path) -> None:
        script = f"{WAITING_TRIAL}\ntune.report_intermediate_result(me)\ntune.report_final_result(0.5)"

        async def check(earlier: ServiceHarness) -> None:
            key = await earlier.submit(script)
            me = await earlier.first_report(key)
            await earlier.service.close()
            async with self._successor(earlier, key) as later:
                await later.take_over(earlier, key)
                self._wake(me)
                (ending,) = await later.end(key)
                assert ending.exit_status == 0
                assert later.values(key) == [me]
                assert later.values(key, "final") == [0.5]

        self._run(tmp_path, check, close=False)

    def test_another_manager_can_cancel(self, tmp_path: Path) -> None:
        async def check(earlier: ServiceHarness) -> None:
            key = await earlier.submit(FAMILY)
            family = await earlier.first_report(key)
            await earlier.service.close()
            assert self._alive(family) == family["pids"]
            async with self._successor(earlier, key) as later:
                await later.take_over(earlier, key)
                await later.service.cancel(key)
                await later.end(key)
                assert self._alive(family) == []

        self._run(tmp_path, check, close=False)

    def test_trial_that_ended_unwatched_is_adopted(self, tmp_path: Path) -> None:
        script = f"{WAITING_TRIAL}\ntune.report_final_result(0.25)\nprint('said')\nraise SystemExit(4)"

        async def check(earlier: ServiceHarness) -> None:
            key = await earlier.submit(script)
            me = await earlier.first_report(key)
            await earlier.service.close()
            self._wake(me)
            await earlier.until(lambda: not self._alive(me), "the trial to end by itself")
            async with self._successor(earlier, key) as later:
                await later.take_over(earlier, key)
                (ending,) = await later.end(key)
                assert ending.exit_status == 4
                assert later.values(key, "final") == [0.25]
                assert later.output(key) == "said\n"

        self._run(tmp_path, check, close=False)

    def test_what_is_not_on_record_is_delivered_again(self, tmp_path: Path) -> None:
        """The earlier manager heard more than it could record."""

        async def check(earlier: ServiceHarness) -> None:
            key = await earlier.submit(f"{WAITING_TRIAL}\ntune.report_final_result(2)")
            me = await earlier.first_report(key)
            await earlier.service.close()
            earlier.received.clear()
            async with self._successor(earlier, key) as later:
                await later.service.adopt(later.attempt(key, "unused"), earlier.identities[key], -1)
                self._wake(me)
                await later.end(key)
                assert later.values(key) == [me]
                assert later.values(key, "final") == [2]

        self._run(tmp_path, check, close=False)

    def test_what_cannot_be_found_any_more_is_lost(self, tmp_path: Path) -> None:
        async def check(earlier: ServiceHarness) -> None:
            key = await earlier.submit("import tune; tune.report_final_result(1)")
            await earlier.end(key)
            await earlier.service.close()
            left = await self.make_service().clean([earlier.experiment_id])
            assert not left
            shutil.rmtree(earlier.directory / "trials")
            async with self._successor(earlier, key) as later:
                await later.take_over(earlier, key)
                (ending,) = await later.end(key)
                assert ending.lost
                assert ending.exit_status is None

        self._run(tmp_path, check, close=False)

    def test_manager_killed_in_mid_trial_loses_nothing(self, tmp_path: Path) -> None:
        script = f"{WAITING_TRIAL}\ntune.report_final_result(0.5)\nprint('said')"
        killed, key = self._kill_manager(tmp_path, script, lambda heard, key: bool(heard.received[key]))
        me = killed.received[key][0].value
        assert self._alive(me) == me["pids"]

        async def check(later: ServiceHarness) -> None:
            await later.take_over(killed, key)
            self._wake(me)
            (ending,) = await later.end(key)
            assert ending.exit_status == 0
            assert later.values(key) == []
            assert later.values(key, "final") == [0.5]
            assert later.output(key) == "said\n"

        self._run(tmp_path, check, after=killed, adoptable=[key])

    def test_manager_killed_in_a_burst_loses_nothing(self, tmp_path: Path) -> None:
        killed, key = self._kill_manager(tmp_path, BURST, lambda heard, key: len(heard.received[key]) >= 1000)

        async def check(later: ServiceHarness) -> None:
            await later.take_over(killed, key)
            (ending,) = await later.end(key)
            assert ending.exit_status == 0
            both: list[Message] = killed.received[key] + later.received[key]
            assert [message.value for message in both] == [*range(10_000), 1]

        self._run(tmp_path, check, after=killed, adoptable=[key])

    def test_manager_killed_at_the_gate_lets_nothing_run(self, tmp_path: Path) -> None:
        """Its start is on record, so it is adopted; it cannot have run."""
        script = "import tune; tune.report_final_result(1); print('it ran')"
        killed, key = self._kill_manager(
            tmp_path, script, lambda heard, key: key in heard.identities, holds_gates=True
        )

        async def check(later: ServiceHarness) -> None:
            await later.take_over(killed, key)
            (ending,) = await later.end(key)
            assert ending.lost
            assert later.received[key] == []
            assert later.output(key) == ""

        self._run(tmp_path, check, after=killed, adoptable=[key])

    def test_start_that_is_not_on_record_is_made_again(self, tmp_path: Path) -> None:
        """The manager was killed before it could record the start: the kernel submits again."""
        script = "import tune; tune.report_final_result(1); print('it ran')"
        killed, _ = self._kill_manager(
            tmp_path, script, lambda heard, key: key in heard.identities, holds_gates=True
        )

        async def check(later: ServiceHarness) -> None:
            key = await later.submit(script)
            (ending,) = await later.end(key)
            assert ending.exit_status == 0
            assert later.values(key, "final") == [1]
            assert later.output(key) == "it ran\n"

        self._run(tmp_path, check, after=killed)

    # What is left.

    def test_files_of_a_trial_are_fetched(self, tmp_path: Path) -> None:
        script = """
            import os, tune
            folder = os.path.join(tune.get_output_dir(), "deep")
            os.mkdir(folder)
            with open(os.path.join(folder, "model.bin"), "wb") as file:
                file.write(bytes(range(256)) * 4000)
            os.symlink("deep/model.bin", os.path.join(tune.get_output_dir(), "latest"))
            with open(os.path.join(tune.get_checkpoint_dir(), "step"), "w") as file:
                file.write("7")
        """

        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit(script)
            await harness.end(key)
            target = tmp_path / "fetched"
            target.mkdir()
            attempt = harness.attempt(key, "unused")
            await self.make_service().fetch(attempt, harness.identities[key], target)
            model = (target / "output" / "deep" / "model.bin").read_bytes()
            assert hashlib.sha256(model).digest() == hashlib.sha256(bytes(range(256)) * 4000).digest()
            assert (target / "output" / "latest").readlink() == Path("deep/model.bin")
            assert (target / "checkpoint" / "step").read_text() == "7"

        self._run(tmp_path, check)

    def test_cleaning_leaves_nothing(self, tmp_path: Path) -> None:
        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit("import tune; tune.report_final_result(1)")
            await harness.end(key)
            await harness.service.close()
            shown = await self._shown(harness.experiment_id)
            assert all(each.running == 0 and not each.managed and not each.problem for each in shown)
            assert not await self.make_service().clean([harness.experiment_id])
            assert await self._shown(harness.experiment_id) == []
            assert not list(self.traces(harness.experiment_id))
            assert not await self.make_service().clean([harness.experiment_id])  # a repeat does no harm

        self._run(tmp_path, check, close=False)

    def test_cleaning_ends_what_still_runs(self, tmp_path: Path) -> None:
        """On platforms that keep something elsewhere; on others a trial is ended by its manager alone."""

        async def check(harness: ServiceHarness) -> None:
            key = await harness.submit(FAMILY.replace("signal.signal(signal.SIGTERM, signal.SIG_IGN);", ""))
            family = await harness.first_report(key)
            name = harness.experiment_id
            shown = await self._shown(name)
            if not shown:
                await harness.service.cancel(key)
                await harness.end(key)
                await harness.service.close()
                return
            assert (sum(each.running for each in shown), all(each.managed for each in shown)) == (1, True)
            refused = await self.make_service().clean([name])
            assert [each.experiment for each in refused if each.problem] == [name] * len(shown)
            assert self._alive(family) == family["pids"]
            await harness.service.close()
            while any(each.managed for each in await self._shown(name)):
                continue  # until the platform has noticed that nobody manages it
            assert not await self.make_service().clean([name])
            assert self._alive(family) == []
            assert await self._shown(name) == []

        self._run(tmp_path, check, close=False)

    # What the tests are made of.

    def _run(
        self,
        folder: Path,
        check: Check,
        *,
        close: bool = True,
        after: ServiceHarness | None = None,
        adoptable: Sequence[AttemptKey] = (),
    ) -> None:
        """Run a test's coroutine with an opened service; then see that nothing is left."""

        async def run() -> None:
            name = after.experiment_id if after else self._name()
            manager = self._manager(folder / "experiment", name, adoptable=adoptable, close=close)
            async with manager as harness:
                await check(harness)

        asyncio.run(run())

    @asynccontextmanager
    async def _manager(
        self, folder: Path, name: str, *, adoptable: Sequence[AttemptKey] = (), close: bool = True
    ) -> AsyncIterator[ServiceHarness]:
        harness = ServiceHarness(self.make_service(), folder, name, self.python())
        await harness.open(adoptable=adoptable)
        try:
            yield harness
        finally:
            if close:
                for key in set(harness.identities) - {key for key, ends in harness.endings.items() if ends}:
                    await harness.service.cancel(key)  # a test that failed leaves no process
                await harness.service.close()
            await self.make_service().clean([name], force=True)
        assert harness.faults == []
        assert not list(self.traces(name))

    @asynccontextmanager
    async def _successor(self, earlier: ServiceHarness, key: AttemptKey) -> AsyncIterator[ServiceHarness]:
        """The next manager of the same experiment."""
        harness = ServiceHarness(self.make_service(), earlier.directory, earlier.experiment_id, self.python())
        await harness.open(adoptable=[key])
        try:
            yield harness
        finally:
            await harness.service.close()
        assert harness.faults == []

    def _kill_manager(
        self,
        folder: Path,
        script: str,
        when: Callable[[ServiceHarness, AttemptKey], bool],
        *,
        holds_gates: bool = False,
    ) -> tuple[ServiceHarness, AttemptKey]:
        return kill_manager(
            self.make_service,
            folder / "experiment",
            self._name(),
            self.python(),
            script,
            when,
            holds_gates=holds_gates,
        )

    async def _shown(self, name: str) -> list[Leftover]:
        """What the platform has of one experiment, as a person would be shown it."""
        return [each for each in await self.make_service().survey() if each.experiment == name]

    @staticmethod
    def _name() -> str:
        """An experiment's id that no other test has, not even one that runs beside this one."""
        return f"kit-{secrets.token_hex(6)}"

    def _alive(self, told: Any) -> list[int]:
        """Those processes that are alive of a trial that told who they are."""
        return [pid for pid in told["pids"] if self.is_alive(pid, told["host"])]

    def _wake(self, told: Any) -> None:
        """Let a `WAITING_TRIAL` go on."""
        self.send_signal(told["pids"][0], told["host"], signal.SIGUSR1)
