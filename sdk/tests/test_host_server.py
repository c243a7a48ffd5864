"""The host server on real processes: trials started, told of, ended, kept and taken over."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tune.host import server
from tune.host.attempts import Attempts, Terms
from tune.host.jobs import Jobs
from tune.host.layout import ExperimentFolder
from tune.host.outbox import Outbox
from tune.host.ownership import HostFolder
from tune.host.wire import FrameReader, encode

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="platform: looks into /proc")

REPORT = 'echo \'{"type":"intermediate","value":%s}\' >> "$TUNE_CHANNEL_FILE"; '
SLEEP = "echo $$ > pid-$TUNE_TRIAL_ID; exec sleep 600"


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_for(condition: Any, timeout_s: float = 90.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)
    return condition()


class Clock:
    """What the leases of a server go by: it stands still until it is told to go on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seconds = 1000.0
        self.advance(0)

    def advance(self, seconds: float) -> None:
        self._seconds += seconds
        new = self.path.with_suffix(".new")  # so that nobody sees half of it
        new.write_text(str(self._seconds))
        new.replace(self.path)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


def pid_of(host: Any, name: str) -> int:
    """What a trial wrote into a file of this name in the code's folder."""

    def read() -> str:
        return "".join(path.read_text() for path in host.experiment.glob(f"code/*/tree/{name}"))

    return int(wait_for(lambda: read().endswith("\n") and read()))


def printed(connection: Any, trial: str, name: str) -> bytes:
    """A file as the manager puts it together from what was sent."""
    content = bytearray()
    for message, body in connection.find("output", key=[trial, 0], name=name):
        if message.get("whole"):
            content.clear()
        content[len(content) :] = bytes(max(0, message["offset"] - len(content)))
        content[message["offset"] : message["offset"] + len(body)] = body
    return bytes(content)


def values(connection: Any, trial: str) -> list[Any]:
    frames = connection.find("records", key=[trial, 0])
    return [record[2] for message, _ in frames for record in message["records"]]


# What is told of a trial


def test_open_tells_about_the_host(host: Any) -> None:
    connection = host.connect()
    before = time.time()
    opened = connection.open()
    assert opened["directory"] == str(host.experiment)
    assert before - 1 < opened["time"] < time.time() + 1
    assert opened["pid"] == connection.process.pid  # no process is left between
    assert opened["cpus"] == len(os.sched_getaffinity(0))
    assert opened["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_trial_finds_its_parameters_environment_and_code(host: Any) -> None:
    connection = host.open()
    script = (
        "import json, os, tune\n"
        "parameters = tune.get_next_parameter()\n"
        "print(json.dumps([parameters, tune.get_sequence_id(), tune.get_trial_id(), os.getcwd()]))\n"
        "names = 'MINE', 'TUNE_PLATFORM', 'CUDA_VISIBLE_DEVICES'\n"
        "print(json.dumps([os.environ.get(name) for name in names]))\n"
        "tune.report_final_result(0.25)"
    )
    parameters = {"odd \u00e9 \U0001f600": [1e-300, None, "line\nbreak"], "x": 1}
    environment = {"MINE": 'a "b"\n$c', "SCRIPT": script}
    command = f'{sys.executable} -S -c "$SCRIPT"'  # -S: no site-packages, so not an installed tune-sdk
    connection.run("t", command, parameters=parameters, environment=environment, sequence=7, gpus=[1, 3])
    ended = connection.ended("t")
    assert (ended["exit_status"], ended["lost"], ended["reason"]) == (0, False, ""), printed(
        connection, "t", "stderr"
    )
    first, second = map(json.loads, printed(connection, "t", "stdout").decode().splitlines())
    (tree,) = host.experiment.glob("code/*/tree")
    assert first == [parameters, 7, "t", str(tree)]
    assert second == ['a "b"\n$c', "remote", "1,3"]
    ((message, _),) = connection.find("records")
    assert [record[:3] for record in message["records"]] == [[0, "final", 0.25]]


def test_records_and_output_come_before_the_end(host: Any) -> None:
    connection = host.open()
    command = "".join(REPORT % number for number in range(5)) + "echo out; printf err >&2; exit 3"
    connection.run("t", command)
    connection.until(lambda: connection.find("ended"))
    kinds = [message["type"] for message, _ in connection.received if message.get("key") == ["t", 0]]
    assert kinds.index("ended") == len(kinds) - 1
    assert values(connection, "t") == [0, 1, 2, 3, 4]
    assert (printed(connection, "t", "stdout"), printed(connection, "t", "stderr")) == (b"out\n", b"err")
    ended = connection.ended("t")
    assert (ended["exit_status"], ended["words"]) == (3, "err")
    assert host.noted() == []


def test_python_of_a_failed_trial_is_told(host: Any) -> None:
    connection = host.open()
    connection.run("t", f"{sys.executable} -c 'import no_such_module'")
    ended = connection.ended("t")
    assert "No module named" in ended["words"]
    assert ended["python"].startswith(str(Path(sys.executable).parent))


def test_line_that_is_no_message_is_a_problem(host: Any) -> None:
    connection = host.open()
    deep = "[" * 300 + "]" * 300
    connection.run(
        "t", f'echo nonsense >> "$TUNE_CHANNEL_FILE"; {REPORT % deep}{REPORT % ("9" * 4000)}{REPORT % 5}'
    )
    connection.ended("t")
    problems = {message["line"]: message["text"] for message, _ in connection.find("problem")}
    assert sorted(problems) == [0, 1, 2]
    assert "levels deep" in problems[1]
    assert "digits" in problems[2]
    assert values(connection, "t") == [5]


def test_no_more_records_before_they_are_asked_for(host: Any) -> None:
    connection = host.open()
    connection.asks_for_more = False
    connection.run("t", f"{REPORT % 1}until [ -e more ]; do sleep 0.01; done; {REPORT % 2}touch done")
    connection.wait("records", key=["t", 0])
    (tree,) = host.experiment.glob("code/*/tree")
    (tree / "more").touch()
    wait_for((tree / "done").exists)
    connection.send("gpus")  # whatever is answered: the server has been round
    connection.wait("gpus")
    assert not connection.find("records")
    assert not connection.find("ended")
    connection.send("more", key=["t", 0])
    connection.wait("records", key=["t", 0])
    connection.send("more", key=["t", 0])
    assert connection.ended("t")["exit_status"] == 0


def test_ten_thousand_records_arrive_in_order(host: Any) -> None:
    connection = host.open()
    line = '{"type":"intermediate","value":%d}\\n'
    connection.run("t", f"for i in $(seq 0 9999); do printf '{line}' $i; done >> \"$TUNE_CHANNEL_FILE\"")
    connection.ended("t")
    assert values(connection, "t") == list(range(10_000))


def test_fifty_trials_run_at_once(host: Any) -> None:
    connection = host.open()
    names = [f"t{number}" for number in range(50)]
    for name in names:
        connection.run(
            name, f"touch here-{name}; until [ -e all ]; do sleep 0.05; done; {REPORT % 1}echo {name}"
        )
    (tree,) = host.experiment.glob("code/*/tree")
    wait_for(lambda: len(list(tree.glob("here-*"))) == 50)
    assert len(host.noted()) == 50
    (tree / "all").touch()
    assert [connection.ended(name)["exit_status"] for name in names] == [0] * 50
    assert [printed(connection, name, "stdout").decode().strip() for name in names] == names
    assert all(values(connection, name) == [1] for name in names)


# Gates and killing


def test_nothing_runs_before_go(host: Any) -> None:
    connection = host.open()
    assert connection.start("t", "touch ran")["type"] == "gate"
    connection.run("other", "true")
    connection.ended("other")
    assert not list(host.experiment.glob("code/*/tree/ran"))
    connection.send("kill", key=["t", 0], grace_s=5)
    ended = connection.ended("t")
    assert (ended["exit_status"], ended["reason"]) == (None, "never started")
    assert not list(host.experiment.glob("code/*/tree/ran"))


def test_kill_reaches_grandchildren_that_ignore_sigterm(host: Any) -> None:
    connection = host.open()
    child = "trap '' TERM; echo $$ > stubborn; while :; do sleep 1; done"
    connection.run("t", f'setsid sh -c "{child.replace("$", chr(92) + "$")}" & wait')
    pid = pid_of(host, "stubborn")
    connection.send("kill", key=["t", 0], grace_s=0.2)
    assert connection.ended("t")["exit_status"] not in (0, None)
    assert not is_alive(pid)


def test_unknown_code_is_unstarted_and_leaves_nothing(host: Any) -> None:
    connection = host.open()
    unstarted = connection.start("t", "true", code="a" * 64)
    assert unstarted["type"] == "unstarted"
    assert "code aaaaaaaaaaaa is not here" in unstarted["reason"]
    assert not (host.experiment / "trials" / "t").exists()
    assert host.noted() == []


def test_too_large_an_environment_is_unstarted_and_leaves_nothing(host: Any) -> None:
    connection = host.open()
    unstarted = connection.start("t", "true", environment={"BIG": "x" * (3 << 20)})
    assert unstarted["type"] == "unstarted"
    assert "too long" in unstarted["reason"]
    assert not (host.experiment / "trials" / "t").exists()
    assert host.noted() == []


# Output


def test_followed_output_comes_while_the_trial_runs(host: Any) -> None:
    connection = host.open()
    connection.run(
        "t",
        "printf abcdef; until [ -e go-on ]; do sleep 0.01; done; printf ghi; printf e >&2; exec sleep 600",
    )
    wait_for(lambda: host.text("t", "stdout") == "abcdef")
    connection.send("follow", key=["t", 0], stdout=4, stderr=0)
    connection.until(lambda: printed(connection, "t", "stdout") == b"\0\0\0\0ef")
    (tree,) = host.experiment.glob("code/*/tree")
    (tree / "go-on").touch()
    connection.until(lambda: printed(connection, "t", "stdout") == b"\0\0\0\0efghi")
    connection.until(lambda: printed(connection, "t", "stderr") == b"e")
    connection.send("kill", key=["t", 0], grace_s=5)
    connection.ended("t")
    assert printed(connection, "t", "stdout") == b"\0\0\0\0efghi"  # nothing twice


@pytest.mark.parametrize("followed", [False, True])
def test_compacted_output_arrives_as_it_is_kept(host: Any, followed: bool) -> None:
    connection = host.open(output_limit=100_000)
    connection.run("t", "seq 1 100000; until [ -e go-on ]; do sleep 0.01; done; seq 1 20000; echo the end")
    if followed:
        connection.send("follow", key=["t", 0], stdout=0, stderr=0)
        connection.until(lambda: len(printed(connection, "t", "stdout")) > 90_000)
    wait_for(lambda: host.text("t", "stdout").endswith("100000\n"))
    (tree,) = host.experiment.glob("code/*/tree")
    (tree / "go-on").touch()
    connection.until(lambda: connection.find("ended"))
    text = printed(connection, "t", "stdout")
    assert text == (host.attempt("t") / "stdout").read_bytes()
    assert text.startswith(b"1\n2\n3\n")
    assert text.endswith(b"20000\nthe end\n")
    assert b"bytes of output were dropped here" in text
    assert len(text) < 100_000
    assert len(connection.find("output", whole=True, name="stdout")) == 1


def test_output_that_the_trial_took_away_does_no_harm(host: Any) -> None:
    connection = host.open()
    connection.run(
        "t", 'rm "$TUNE_OUTPUT_DIR/../stdout"; ln -s /etc/passwd "$TUNE_OUTPUT_DIR/../stdout"; echo x'
    )
    assert connection.ended("t")["exit_status"] == 0
    assert printed(connection, "t", "stdout") == b""


def test_pipes_in_the_place_of_files_hold_nothing_up(host: Any) -> None:
    connection = host.open()
    command = 'cd "$TUNE_OUTPUT_DIR/.."; rm stdout stderr; mkfifo stdout stderr lease; exit 3'
    connection.run("t", command)
    ended = connection.ended("t")
    assert (ended["lost"], ended["words"]) == (True, "")  # it says of itself that it had no lease any more
    connection.run("u", 'cd "$TUNE_OUTPUT_DIR/.."; rm stderr exit_status; mkfifo stderr exit_status; exit 3')
    connection.send("kill", key=["u", 0], grace_s=0.1)
    connection.ended("u")
    assert connection.is_served()


# Keeping, adopting, taking over


def adopt(connection: Any, trial: str, identity: dict[str, Any], after: int = -1) -> None:
    fields = {"identity": identity, "after": after, "command": "", "environment": {}}
    connection.send("adopt", key=[trial, 0], **fields)


def test_adopted_trial_goes_on_where_its_records_were(host: Any) -> None:
    first = host.open()
    command = f"{REPORT % 0}{REPORT % 1}until [ -e go-on ]; do sleep 0.01; done; {REPORT % 2}echo out; exit 5"
    identity = first.run("t", command)
    first.until(lambda: values(first, "t") == [0, 1])
    first.kill()
    second = host.open()
    adopt(second, "t", identity, after=0)
    second.until(lambda: values(second, "t") == [1])
    (tree,) = host.experiment.glob("code/*/tree")
    (tree / "go-on").touch()
    assert second.ended("t")["exit_status"] == 5
    assert values(second, "t") == [1, 2]
    assert printed(second, "t", "stdout") == b"out\n"


def test_trial_that_ended_without_a_server_is_told_to_the_next(host: Any) -> None:
    first = host.open()
    identity = first.run("t", f"{REPORT % 1}until [ -e go-on ]; do sleep 0.01; done; {REPORT % 2}exit 5")
    first.wait("records")
    first.kill()
    (tree,) = host.experiment.glob("code/*/tree")
    (tree / "go-on").touch()
    wait_for(lambda: host.text("t", "exit_status") == "5\n")
    second = host.open()
    adopt(second, "t", identity)
    assert second.ended("t")["exit_status"] == 5
    assert values(second, "t") == [1, 2]


@pytest.mark.parametrize("how", ["closed", "taken over"])
def test_trial_whose_go_was_lost_is_told_never_to_have_started(host: Any, how: str) -> None:
    first = host.open()
    identity = first.start("t", "touch ran")["identity"]
    ran = first.run("u", "exit 5")
    first.ended("u")
    if how == "closed":
        first.close()
        assert first.process.wait(90) == 0
    second = host.open()
    adopt(second, "t", identity)
    adopt(second, "u", ran)
    ended = second.ended("t")
    assert (ended["exit_status"], ended["lost"]) == (None, True)
    assert ended["reason"] == "never started: the connection was lost before it could run"
    assert second.ended("u")["exit_status"] == 5
    assert not list(host.experiment.glob("code/*/tree/ran"))
    second.run("t", "touch ran")  # under the same key
    assert (second.ended("t")["exit_status"], host.noted()) == (0, [])


def test_trial_of_a_machine_that_was_restarted_is_lost(host: Any) -> None:
    connection = host.open()
    identity = {"pid": 1, "start": "1", "boot": "before", "mark": "abc"}
    adopt(connection, "t", identity)
    ended = connection.ended("t")
    assert (ended["exit_status"], ended["lost"]) == (None, True)


@pytest.mark.parametrize("how", ["stale", "stopped", "keeper"])
def test_next_server_takes_trials_over(host: Any, how: str) -> None:
    first = host.open()
    identity = first.run("t", SLEEP)
    first.start("waiting", "touch ran")
    pid = pid_of(host, "pid-t")
    if how == "stopped":
        first.process.send_signal(signal.SIGSTOP)
    elif how == "keeper":
        first.close()
    second = host.open()
    first.process.wait(90)
    assert is_alive(pid)
    adopt(second, "t", identity)
    second.send("kill", key=["t", 0], grace_s=60)
    assert second.ended("t")["exit_status"] == 128 + signal.SIGTERM
    assert not is_alive(pid)
    assert not list(host.experiment.glob("code/*/tree/ran"))


def test_two_hosts_of_one_folder_do_not_meet(host: Any) -> None:
    first, second = host.open(host="a"), host.open(host="b")
    first.run("t", SLEEP)
    pid_of(host, "pid-t")
    second.send("keep", keys=[])
    assert second.is_served()
    assert is_alive(pid_of(host, "pid-t"))
    assert first.is_served()


def test_keep_ends_what_is_nobodys(host: Any) -> None:
    first = host.open()
    first.run("mine", SLEEP)
    first.run("nobodys", SLEEP)
    mine, nobodys = pid_of(host, "pid-mine"), pid_of(host, "pid-nobodys")
    first.kill()
    second = host.open()
    second.send("keep", keys=[["mine", 0]])
    wait_for(lambda: not is_alive(nobodys))
    second.until(lambda: host.noted() == ["mine.0"])
    assert second.is_served()
    assert not second.find("ended")
    assert is_alive(mine)


def test_end_of_the_pipe_closes_gates_and_keeps_what_runs(host: Any) -> None:
    connection = host.open()
    connection.start("waiting", "touch ran")
    connection.run("t", f"{REPORT % 1}{REPORT % 2}until [ -e go-on ]; do sleep 0.01; done")
    connection.asks_for_more = False
    connection.wait("records", key=["t", 0])  # and more is never asked for
    connection.close()
    wait_for(lambda: host.noted() == ["t.0"])
    assert connection.process.poll() is None
    (tree,) = host.experiment.glob("code/*/tree")
    (tree / "go-on").touch()
    assert connection.process.wait(90) == 0  # with the last trial
    assert host.noted() == []
    assert not (tree / "ran").exists()


def test_server_without_trials_ends_with_its_pipe(host: Any) -> None:
    for connection in (host.visit(), host.open()):
        connection.close()
        assert connection.process.wait(90) == 0


def test_leave_keeps_what_runs(host: Any) -> None:
    connection = host.open()
    connection.run("t", SLEEP)
    pid_of(host, "pid-t")
    connection.send("leave")
    connection.until(lambda: connection.is_closed)  # so that what carries the pipe can end
    assert connection.process.poll() is None


def test_keeper_ignores_what_a_hangup_sends(host: Any) -> None:
    connection = host.open()
    connection.run("t", SLEEP)
    pid = pid_of(host, "pid-t")
    connection.process.send_signal(signal.SIGHUP)
    assert connection.is_served()
    connection.close()
    connection.process.send_signal(signal.SIGHUP)
    second = host.open()
    assert second.is_served()
    assert is_alive(pid)


@pytest.mark.parametrize("how", ["silent", "closed"])
def test_lease_ends_trials_whose_manager_never_comes_back(host: Any, clock: Clock, how: str) -> None:
    connection = host.open(clock=clock.path, lease_s=0.3)
    identity = connection.run("t", SLEEP)
    done = connection.run("done", "exit 0")
    connection.ended("done")
    pid = pid_of(host, "pid-t")
    if how == "closed":
        connection.close()
    clock.advance(0.4)
    assert connection.process.wait(90) == 0
    assert not is_alive(pid)
    second = host.open()
    adopt(second, "t", identity)
    adopt(second, "done", done)
    ended = second.ended("t")
    assert (ended["exit_status"], ended["lost"]) == (None, True)
    assert ended["reason"] == "its lease of 0.3 s ran out: no manager came back"
    assert second.ended("done")["exit_status"] == 0


def test_trials_that_the_next_manager_does_not_adopt_have_a_lease_too(host: Any, clock: Clock) -> None:
    first = host.open()
    first.run("t", SLEEP)
    pid = pid_of(host, "pid-t")
    first.kill()
    second = host.open(clock=clock.path, lease_s=0.3)
    second.close()
    clock.advance(0.4)
    wait_for(lambda: not is_alive(pid))
    assert second.process.wait(90) == 0


def test_trial_that_was_about_to_be_ended_by_its_lease_is_ended_by_the_next_server(
    host: Any, clock: Clock
) -> None:
    first = host.open(clock=clock.path, lease_s=0.3, grace_s=600)
    identity = first.run("t", "trap : TERM; echo $$ > pid-t; while :; do sleep 0.05; done")
    pid = pid_of(host, "pid-t")
    first.close()
    clock.advance(0.4)
    wait_for((host.attempt("t") / "lease").exists)
    second = host.open(grace_s=0.1)
    adopt(second, "t", identity)
    assert second.ended("t")["lost"]
    assert not is_alive(pid)


def test_lease_counts_from_the_last_word(host: Any, clock: Clock) -> None:
    connection = host.open(clock=clock.path, lease_s=2)
    connection.run("t", SLEEP)
    pid = pid_of(host, "pid-t")
    for _ in range(3):
        clock.advance(1.5)
        assert connection.is_served()
    assert is_alive(pid)


# The pipe


def test_idle_server_says_something_now_and_then_and_takes_no_time(host: Any) -> None:
    connection = host.open()
    connection.run("t", SLEEP)
    connection.send("follow", key=["t", 0], stdout=0, stderr=0)
    pid_of(host, "pid-t")
    assert connection.is_served()

    def ticks() -> int:
        fields = Path(f"/proc/{connection.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    connection.wait("ping")
    assert ticks() - before <= 5  # of a hundred in a second, over two
    assert server._PING_S * 5 <= server._DEAF_S  # after which the other end counts as dead


def memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_manager_that_does_not_read_costs_no_memory_and_holds_nothing_up(host: Any, clock: Clock) -> None:
    count = 8
    connection = host.open(clock=clock.path, lease_s=0.3, output_limit=8 << 20)
    pid_of_server = connection.process.pid
    connection.run("t", SLEEP)
    pid = pid_of(host, "pid-t")
    for number in range(count):
        connection.start(f"t{number}", "head -c 4000000 /dev/zero; touch end-$TUNE_TRIAL_ID")
    before = memory_kib(pid_of_server)
    for number in range(count):
        connection.send("go", key=[f"t{number}", 0])
    (tree,) = host.experiment.glob("code/*/tree")
    peak = before

    def all_ended() -> bool:  # without anything being read; now and then a word is said
        nonlocal peak
        peak = max(peak, memory_kib(pid_of_server))
        connection.write(encode({"type": "ping"}))
        time.sleep(0.02)
        return len(list(tree.glob("end-*"))) == count

    wait_for(all_ended)
    assert is_alive(pid)
    clock.advance(0.4)
    while connection.process.poll() is None:  # nothing is said any more: the lease ends the other trial
        with contextlib.suppress(FileNotFoundError, StopIteration):
            peak = max(peak, memory_kib(pid_of_server))
        time.sleep(0.02)
    assert not is_alive(pid)
    assert peak - before < 12_000  # of 32 MB that wait


def test_messages_of_many_trials_stay_in_their_files_until_there_is_room(tmp_path: Path) -> None:
    folder = ExperimentFolder(str(tmp_path), "exp")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    outbox, jobs = Outbox(writer), Jobs()
    attempts = Attempts(
        folder, HostFolder(folder.host("here")), Terms("remote", 60, 1, 1 << 20), "", outbox, jobs
    )
    record = json.dumps({"type": "intermediate", "value": {"default": 1, "x": "x" * 200}}) + "\n"
    gone = {"pid": 1, "start": "1", "boot": "before", "mark": "m"}
    for number in range(100):
        directory = Path(folder.attempt((f"t{number}", 0)))
        directory.mkdir(parents=True)
        (directory / "messages.jsonl").write_text(record * 200)
        key = [f"t{number}", 0]
        fields = {"identity": {**gone, "mark": f"m{number}"}, "after": -1, "command": "", "environment": {}}
        attempts.adopt({"key": key, **fields})
    for _ in range(50):
        attempts.poll()
    assert not outbox.has_room
    assert len(outbox) < (1 << 20) + 100_000  # of five megabytes
    frames = FrameReader()
    count, ends = 0, 0
    while ends < 100:
        outbox.write()
        attempts.poll()
        jobs.step()
        with contextlib.suppress(BlockingIOError):
            for message, _ in frames.feed(os.read(reader, 1 << 20)):
                ends += message["type"] == "ended"
                if message["type"] == "records":
                    count += len(message["records"])
                    attempts.more((message["key"][0], 0))
    assert count == 100 * 200
    attempts.close()
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"not a frame\n", "not a frame"),
        (b'{"type":"nonsense"}\n', "knows no message 'nonsense'"),
        (b'{"type":"go"}\n', "no experiment is open"),
        (b'{"type":"open","experiment":"../x","host":"h"}\n', "cannot be the name of an experiment"),
        (b'{"type":"open","experiment":"x","host":"/"}\n', "cannot be the name of a host"),
        (b'{"type":"open","experiment":"x","host":"h"}\n', "lacks or mistakes a field"),
    ],
)
def test_nonsense_ends_the_server_with_a_reason(host: Any, frame: bytes, reason: str) -> None:
    connection = host.connect()
    connection.hello()
    connection.write(frame)
    assert reason in connection.wait("error")["reason"]
    assert connection.process.wait(90) == 1


def test_nonsense_leaves_trials_running(host: Any) -> None:
    connection = host.open()
    identity = connection.run("t", SLEEP)
    pid = pid_of(host, "pid-t")
    connection.send("go", key=["../t", 0])
    assert "cannot be the name of a trial" in connection.wait("error")["reason"]
    assert connection.process.wait(90) == 1
    assert is_alive(pid)
    second = host.open()
    adopt(second, "t", identity)
    second.send("kill", key=["t", 0], grace_s=0)
    second.ended("t")


# GPUs


def test_gpus_are_told_with_who_uses_them(host: Any, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        'case $1 in --query-gpu=index,uuid) printf "0, GPU-a\\n1, GPU-b\\n" ;;\n'
        '--query-compute-apps=gpu_uuid,pid) printf "GPU-b, 11\\nGPU-b, 12\\nGPU-c, 3\\n" ;; *) exit 9; esac\n'
    )
    program.chmod(0o755)
    connection = host.connect(pre_command=f"PATH={tmp_path}:$PATH; export CUDA_VISIBLE_DEVICES=1")
    connection.hello()
    connection.send("gpus")
    gpus = [{"index": 0, "uuid": "GPU-a", "pids": []}, {"index": 1, "uuid": "GPU-b", "pids": [11, 12]}]
    assert connection.wait("gpus") == {"type": "gpus", "gpus": gpus, "visible": "1"}


def test_gpus_are_looked_at_again_for_who_asks_meanwhile(host: Any, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f"#!/bin/sh\nif [ -e {tmp_path}/asked ]; then echo 1, GPU-b; exit; fi\n"
        f"touch {tmp_path}/asked; until [ -e {tmp_path}/go-on ]; do sleep 0.01; done; echo 0, GPU-a\n"
    )
    program.chmod(0o755)
    connection = host.connect(pre_command=f"PATH={tmp_path}:$PATH")
    connection.hello()
    for _ in range(3):
        connection.send("gpus")
    assert connection.is_served()
    wait_for((tmp_path / "asked").exists)
    (tmp_path / "go-on").touch()
    answers = [connection.wait("gpus") for _ in range(2)]
    assert [[gpu["uuid"] for gpu in answer["gpus"]] for answer in answers] == [["GPU-a"], ["GPU-b"]]
    assert connection.is_served()
    assert not connection.find("gpus")


def test_reason_for_no_gpus_is_told(host: Any, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'cannot talk to the driver'; exit 9\n")
    program.chmod(0o755)
    connection = host.connect(pre_command=f"PATH={tmp_path}:$PATH")
    connection.hello()
    connection.send("gpus")
    assert "cannot talk to the driver" in connection.wait("gpus")["reason"]


def test_driver_that_hangs_holds_nothing_up(host: Any, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    connection = host.open(pre_command=f"PATH={tmp_path}:$PATH")
    connection.send("gpus")
    connection.run("t", "true")
    assert connection.ended("t")["exit_status"] == 0
    connection.close()
    assert connection.process.wait(90) == 0
