"""The host runtime on real processes: starting, following, ending and adopting trials."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tune.host import End, Identity, Launch, Listener, Problem, Record, Runtime, processes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="platform: looks into /proc")


GO_ON = "until [ -e $DIR/go-on ]; do sleep 0.02; done; "


def mark_of(directory: Path, key: str) -> str:
    return f"mark-{zlib.crc32(bytes(directory))}-{key}"


class Host(Listener):
    """A runtime, and all that it told."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.received: dict[str, list[Record]] = {}
        self.problems: list[Problem] = []
        self.ends: dict[str, End] = {}
        self.runtime = Runtime(self, **{"grace_s": 0.5, **options})

    def records(self, key: Any, records: list[Record]) -> None:
        assert key not in self.ends
        self.received.setdefault(key, []).extend(records)

    def problem(self, key: Any, problem: Problem) -> None:
        self.problems.append(problem)

    def ended(self, key: Any, end: End) -> None:
        assert key not in self.ends
        self.ends[key] = end

    def launch(self, key: str, command: str, **environment: str) -> Launch:
        directory = self.directory / key
        directory.mkdir(exist_ok=True)
        messages = str(directory / "messages.jsonl")
        variables = {**os.environ, "TUNE_CHANNEL_FILE": messages, "DIR": str(directory), **environment}
        return Launch(key, 0, command, str(self.directory), variables, str(directory), self.mark(key))

    def mark(self, key: str) -> str:
        return mark_of(self.directory, key)

    def start(self, key: str, command: str, **environment: str) -> Identity:
        identity = self.runtime.spawn(key, self.launch(key, command, **environment))
        self.runtime.go(key)
        return identity

    def until(self, condition: Callable[[], Any], timeout_s: float = 90) -> Any:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"in vain for {timeout_s} s; ends: {self.ends}"
            self.runtime.poll(0.02)
        return condition()

    def end(self, key: str) -> End:
        self.until(lambda: key in self.ends)
        return self.ends[key]

    def run(self, command: str, **environment: str) -> End:
        key = f"trial-{len(self.ends)}"
        self.start(key, command, **environment)
        return self.end(key)

    def text(self, key: str, name: str) -> str:
        path = self.directory / key / name
        return path.read_text() if path.exists() else ""

    def pid(self, key: str) -> int:
        """What the trial wrote to its file `pid`."""
        return int(self.until(lambda: self.text(key, "pid").endswith("\n") and self.text(key, "pid")))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    running = list(host.runtime._trials)
    for key in running:
        host.runtime.resume(key)
        host.runtime.kill(key, 0)
    host.until(lambda: all(key in host.ends for key in running))
    host.runtime.close()


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("true", 0),
        ("exit 3", 3),
        ("exec sh -c 'exit 4'", 4),
        ("set -e; false; true", 1),
        ("trap 'exit 5' EXIT; true", 5),
        ("(exit 6) # remark", 6),
        ("echo 'open quote", 2),
        ("fi; done }", 2),
        ("-x", 127),
        ("no-such-command-at-all", 127),
        ("/etc", 126),
        ("kill -9 $$", 128 + 9),
        ("kill -TERM $$", 128 + 15),
        ("trap '' TERM; kill -TERM -$PPID; exit 8", 8),
        ("true\n\nexit 9", 9),
    ],
)
def test_exit_status_is_the_commands_own(host: Host, command: str, status: int) -> None:
    assert host.run(command) == End(status)


def test_trial_has_its_folder_environment_and_no_input(host: Host) -> None:
    host.start("a", 'pwd; echo "$GREETING"; cat; echo oops >&2; ulimit -n', GREETING='it\'s "quoted"\n$HOME')
    assert host.end("a") == End(0)
    folder, *greeting, open_files = host.text("a", "stdout").splitlines()
    assert folder == str(host.directory)
    assert greeting == ['it\'s "quoted"', "$HOME"]
    assert int(open_files) == host.runtime._open_files
    assert host.text("a", "stderr") == "oops\n"


def test_missing_folder_is_a_failure_that_says_so(host: Host, tmp_path: Path) -> None:
    launch = host.launch("a", "true")
    gone = Launch(**{**launch.__dict__, "code_directory": str(tmp_path / "gone")})
    host.runtime.spawn("a", gone)
    host.runtime.go("a")
    assert host.end("a").exit_status not in (0, None)
    assert str(tmp_path / "gone") in host.text("a", "stderr")


def test_trial_inherits_no_descriptor_and_no_ignored_signal(host: Host) -> None:
    host.start("a", "ls /proc/self/fd; grep SigIgn /proc/self/status; grep SigBlk /proc/self/status")
    host.start("b", "true")
    host.end("a")
    *descriptors, ignored, blocked = host.text("a", "stdout").split("\n")[:-1]
    assert descriptors == ["0", "1", "2", "3"]  # 3 is ls reading the folder
    classic = 0x7FFFFFFF  # signals 32 and 33 are the C library's own
    assert [int(line.split()[1], 16) & classic for line in (ignored, blocked)] == [0, 0]


def test_files_are_private(host: Host) -> None:
    old = os.umask(0)
    try:
        host.start("a", "true")
        host.end("a")
    finally:
        os.umask(old)
    for name in ("stdout", "stderr", "messages.jsonl", "exit_status"):
        assert (host.directory / "a" / name).stat().st_mode & 0o077 == 0


def test_nothing_runs_before_go(host: Host) -> None:
    host.runtime.spawn("a", host.launch("a", "touch $DIR/ran"))
    other = host.run("true")  # a whole other trial meanwhile
    assert other == End(0)
    assert not (host.directory / "a" / "ran").exists()
    host.runtime.go("a")
    assert host.end("a") == End(0)
    assert (host.directory / "a" / "ran").exists()


def test_killed_at_the_gate_never_starts(host: Host) -> None:
    host.runtime.spawn("a", host.launch("a", "touch $DIR/ran"))
    host.runtime.kill("a", 5)
    host.runtime.go("a")  # too late
    assert host.end("a") == End(None, reason="never started")
    assert not (host.directory / "a" / "ran").exists()


def run_manager(directory: Path, script: str) -> subprocess.Popen[str]:
    """A manager in a process of its own, with a Host called `host`."""
    prelude = f"""
        import json, os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_host_runtime import Host
        host = Host(Path({str(directory)!r}))
        """
    code = textwrap.dedent(prelude) + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def wait_for_end(*pids: int) -> None:
    deadline = time.monotonic() + 90
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} do not end"
        time.sleep(0.01)


def test_manager_killed_before_go_leaves_nothing_running(tmp_path: Path) -> None:
    script = """
        pid = host.runtime.spawn("a", host.launch("a", "touch $DIR/ran")).pid
        host.start("later", "sleep 600")  # must not hold the gate of the first open
        print(pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    with run_manager(tmp_path, script) as manager:
        assert manager.stdout is not None
        pid = int(manager.stdout.read())
    wait_for_end(pid)
    assert not (tmp_path / "a" / "ran").exists()
    assert (tmp_path / "a" / "exit_status").read_text() == ""
    kill_marked(mark_of(tmp_path, "later"))


def kill_marked(mark: str) -> None:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TUNE_MARK={mark}".encode() in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


def test_manager_killed_and_trials_adopted(tmp_path: Path) -> None:
    report = """echo '{"type":"intermediate","value":1}' >> $TUNE_CHANNEL_FILE; """
    commands = {
        "running": report + GO_ON + report + "exit 3",
        "ended": report + GO_ON + report + "exit 4",
        "silenced": report + "sleep 600",
    }
    script = f"""
        commands = {commands!r}
        identities = {{name: host.start(name, commands[name]).to_json() for name in commands}}
        host.until(lambda: len(host.received) == len(commands))
        print(json.dumps(identities), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    with run_manager(tmp_path, script) as manager:
        assert manager.stdout is not None
        known = json.loads(manager.stdout.read())
    identities = {name: Identity.from_json(each) for name, each in known.items()}
    assert all(is_alive(identity.pid) for identity in identities.values())
    (tmp_path / "ended" / "go-on").touch()
    host = Host(tmp_path)
    os.kill(identities["silenced"].pid, signal.SIGKILL)  # first, or it would write down how the others ended
    kill_marked(host.mark("silenced"))
    wait_for_end(*(identities[name].pid for name in ("ended", "silenced")))
    for name, identity in identities.items():
        host.runtime.adopt(name, host.launch(name, commands[name]), identity, after=0)
    assert host.end("ended") == End(4)
    assert host.end("silenced").lost
    assert "running" not in host.ends
    (tmp_path / "running" / "go-on").touch()
    assert host.end("running") == End(3)
    for name in ("ended", "running"):  # the first was delivered before
        assert [record.sequence for record in host.received[name]] == [1]
    host.runtime.close()


@pytest.mark.parametrize("wrong", [{"start": "1"}, {"boot": "another"}])
def test_another_process_with_the_same_pid_is_not_touched(tmp_path: Path, wrong: dict[str, str]) -> None:
    with subprocess.Popen(["sleep", "600"]) as innocent:
        host = Host(tmp_path)
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        start = Path(f"/proc/{innocent.pid}/stat").read_text().rpartition(")")[2].split()[19]
        identity = Identity.from_json({"pid": innocent.pid, "start": start, "boot": boot, **wrong})
        host.runtime.adopt("a", host.launch("a", "true"), identity)
        host.runtime.kill("a", 0)
        assert host.end("a").exit_status in (None, 128 + 9)
        assert innocent.poll() is None
        innocent.kill()
        host.runtime.close()


CHILD = "trap '' TERM HUP; echo $$ > $DIR/pid.new; mv $DIR/pid.new $DIR/pid; while :; do sleep 600; done"
SHAPES = {
    "plain": "sh -c 'echo $$ > $DIR/pid; exec sleep 600' &",
    "own session": "setsid sh -c 'echo $$ > $DIR/pid; exec sleep 600' &",
    "double fork": "( setsid sh -c '( setsid sh -c \"echo \\$\\$ > $DIR/pid; exec sleep 600\" & )' & );",
    "ignores SIGTERM": 'setsid sh -c "$CHILD" &',
    "stopped": "setsid sh -c 'echo $$ > $DIR/pid; kill -STOP $$; sleep 600' &",
    "no environment": "env -i DIR=$DIR PATH=$PATH sh -c 'echo $$ > $DIR/pid; sleep 600' &",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_kill_ends_every_shape_of_child(host: Host, shape: str) -> None:
    host.start("a", SHAPES[shape] + " sleep 600", CHILD=CHILD)
    child = host.pid("a")
    host.runtime.kill("a", 0.3)
    assert host.end("a").exit_status in (128 + 15, 128 + 9)
    assert not is_alive(child)


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_outlives_a_trial_that_ends(host: Host, shape: str) -> None:
    host.start("a", SHAPES[shape] + " until [ -s $DIR/pid ]; do sleep 0.01; done; exit 3", CHILD=CHILD)
    assert host.end("a") == End(3)
    assert not is_alive(host.pid("a"))


def test_child_in_the_middle_of_an_exec_does_not_outlive_its_trial(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.start("a", SHAPES["own session"] + " until [ -e $DIR/go-on ]; do sleep 0.01; done; exit 3")
    child = host.pid("a")
    marks, hidden = processes._marks, [None] * 8

    def marks_of(process: Any) -> Any:  # which shows none when memory is short or the disk is slow
        return hidden.pop() if process.pid == child and hidden else marks(process)

    monkeypatch.setattr(processes, "_marks", marks_of)
    (host.directory / "a" / "go-on").touch()
    assert host.end("a") == End(3)
    assert not is_alive(child)


def test_process_without_an_environment_is_told_from_one_in_an_exec() -> None:
    with subprocess.Popen(["sleep", "600"], env={}) as child:
        try:
            deadline = time.monotonic() + 90
            while (found := processes.look(child.pid)) is None or processes._marks(found) is None:
                assert time.monotonic() < deadline, "it is taken to be in an exec for ever"
            assert processes._marks(found) == []
        finally:
            child.kill()


def test_kill_asks_once_and_waits_for_the_answer(host: Host) -> None:
    answer = "trap 'echo asked; sleep 0.3; exit 12' TERM; "
    host.start("a", answer + "echo $$ > $DIR/pid; while :; do sleep 0.01; done")
    host.pid("a")
    host.runtime.kill("a", 60)
    assert host.end("a") == End(12)
    assert host.text("a", "stdout") == "asked\n"


def test_kill_of_one_trial_leaves_the_others(host: Host) -> None:
    host.start("a", "setsid sleep 600 & sleep 600")
    host.start("b", "setsid sh -c 'echo $$ > $DIR/pid; exec sleep 600' & wait; exit 1")
    survivor = host.pid("b")
    host.runtime.kill("a", 0)
    host.end("a")
    assert is_alive(survivor)
    assert "b" not in host.ends


def test_end_of_one_trial_clears_its_own_and_leaves_the_others(host: Host) -> None:
    host.start("b", "setsid sh -c 'echo $$ > $DIR/pid; exec sleep 600' & sleep 600")
    others = host.pid("b")
    host.start("a", SHAPES["own session"] + " until [ -s $DIR/pid ]; do sleep 0.01; done; exit 3")
    assert host.end("a") == End(3)
    assert not is_alive(host.pid("a"))
    assert is_alive(others)
    assert "b" not in host.ends


def test_trial_within_a_trial_is_ended_with_it(host: Host) -> None:
    host.start("outer", "sleep 600")
    inner = Host(host.directory)
    inner.start("inner", "echo $$ > $DIR/pid; exec sleep 600", TUNE_MARK=host.mark("outer"))
    child = inner.pid("inner")
    host.runtime.kill("outer", 60)
    host.end("outer")
    assert inner.end("inner") == End(128 + 15)
    assert not is_alive(child)
    inner.runtime.close()


def test_burst_of_messages_arrives_whole_and_starves_nobody(host: Host) -> None:
    count = 100_000
    line = """'{"type":"intermediate","value":%d}\\n'"""
    host.start("flood", f"seq 0 {count - 1} | xargs printf {line} >> $TUNE_CHANNEL_FILE")
    host.start("other", 'echo \'{"type":"final","value":1}\' >> $TUNE_CHANNEL_FILE')
    host.until(lambda: "other" in host.ends)
    assert host.end("flood") == End(0)
    assert [record.value for record in host.received["flood"]] == list(range(count))
    assert [record.sequence for record in host.received["flood"]] == list(range(count))


def test_paused_trial_is_not_read_and_does_not_end(host: Host) -> None:
    host.runtime.spawn("a", host.launch("a", 'echo \'{"type":"final","value":1}\' >> $TUNE_CHANNEL_FILE'))
    host.runtime.pause("a")
    host.runtime.go("a")
    host.until(lambda: host.runtime._trials["a"].clean)
    host.runtime.poll(0)
    assert "a" not in host.received
    assert "a" not in host.ends
    host.runtime.resume("a")
    assert host.end("a") == End(0)
    assert len(host.received["a"]) == 1


def test_garbage_in_the_channel_is_told_a_few_times(host: Host) -> None:
    host.start("a", "for i in $(seq 100); do echo garbage; done >> $TUNE_CHANNEL_FILE; exit 2")
    assert host.end("a") == End(2)
    assert [problem.line for problem in host.problems] == list(range(10))


@pytest.mark.parametrize("waits", [False, True])
def test_talkative_trial_keeps_head_and_tail(tmp_path: Path, waits: bool) -> None:
    limit = 1 << 20
    host = Host(tmp_path, output_limit=limit)
    lines = 2_000_000
    size = sum(len(f"{number}\n") for number in range(1, lines + 1))  # 15 MB
    host.start("a", f"seq {lines}; {GO_ON if waits else ''} echo last")
    path = tmp_path / "a" / "stdout"
    if waits:  # the disk space goes while it still runs
        host.until(lambda: path.stat().st_size == size)
        host.runtime._tick()
        assert path.stat().st_blocks * 512 <= limit
        (tmp_path / "a" / "go-on").touch()
    assert host.end("a") == End(0)
    text = path.read_text()
    head, _, tail = text.partition("\n[tune: ")
    assert head.startswith("1\n2\n3\n")
    assert "bytes of output were dropped here]\n" in tail
    assert text.endswith(f"\n{lines}\nlast\n")
    assert len(text) < limit
    assert "\0" not in text
    assert path.stat().st_mode & 0o777 == 0o600
    host.runtime.close()


def test_without_inotify_and_pidfds_the_timer_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("tune.host.syscalls.Inotify.__init__", refuse)
    monkeypatch.setattr("tune.host.syscalls.pidfd_open", lambda pid: None)
    host = Host(tmp_path)
    host.start("a", 'echo \'{"type":"intermediate","value":1}\' >> $TUNE_CHANNEL_FILE; ' + GO_ON + "exit 3")
    host.until(lambda: host.received)
    assert "a" not in host.ends
    (tmp_path / "a" / "go-on").touch()
    assert host.end("a") == End(3)
    host.start("b", "setsid sleep 600 & sleep 600")
    host.runtime.kill("b", 0)
    assert host.end("b").exit_status == 128 + 9
    host.runtime.close()


def test_trials_leave_no_descriptor_and_no_zombie(tmp_path: Path) -> None:
    # In a process of its own: what other threads open here, or garbage closes, is not counted.
    script = """
        host.run("true")
        count = lambda: len(os.listdir("/proc/self/fd"))
        before = count()
        identities = [host.start(str(number), "exit 1") for number in range(20)]
        identities.append(host.runtime.spawn("refused", host.launch("refused", "true")))
        host.runtime.kill("refused", 0)
        host.until(lambda: len(host.ends) == 22)
        zombies = 0
        for identity in identities:
            try:
                os.waitpid(identity.pid, os.WNOHANG)
                zombies += 1
            except ChildProcessError:
                pass
        print(count() - before, zombies)
        """
    with run_manager(tmp_path, script) as manager:
        assert manager.stdout is not None
        assert manager.stdout.read() == "0 0\n"


@pytest.mark.parametrize(
    "vandalism", ["rm", "> ", "chmod 0", "f() { rm $1; mkfifo $1; }; f", "ln -sf /dev/zero"]
)
def test_trial_that_spoils_its_channel_still_ends(host: Host, vandalism: str) -> None:
    report = 'echo \'{"type":"intermediate","value":1}\' >> $TUNE_CHANNEL_FILE; '
    host.start("a", f"{report} {GO_ON} {vandalism} $TUNE_CHANNEL_FILE; exit 3")
    host.until(lambda: host.received)
    (host.directory / "a" / "go-on").touch()
    assert host.end("a") == End(3)
    assert len(host.received["a"]) == 1


def test_output_that_cannot_be_rewritten_stays_as_it_is(tmp_path: Path) -> None:
    host = Host(tmp_path, output_limit=1000)
    host.start("a", "seq 1000; mkdir $DIR/stdout.tmp; exit 3")
    assert host.end("a") == End(3)
    assert host.text("a", "stdout").endswith("\n1000\n")
    host.runtime.close()


def test_trial_that_spoils_its_exit_status_is_lost(host: Host) -> None:
    host.start("a", "rm $DIR/exit_status; mkdir $DIR/exit_status")
    assert host.end("a").lost


FULL_DISK = "rm $DIR/exit_status; ln -s /dev/full $DIR/exit_status; "


def test_trial_on_a_full_disk_is_killed_at_once(host: Host) -> None:
    host.start("a", FULL_DISK + "echo $$ > $DIR/pid; exec sleep 600")
    host.pid("a")
    host.runtime.kill("a", 600)  # which is longer than this waits
    assert host.end("a") == End(128 + 9)


def test_first_process_that_cannot_write_is_killed_after_the_grace(host: Host) -> None:
    host.start("a", FULL_DISK + "echo $$ > $DIR/pid")
    child = host.pid("a")
    host.until(lambda: not is_alive(child))
    trial = host.runtime._trials["a"]
    trial.asked.add((trial.identity.pid, trial.identity.start))  # SIGTERM, which it does not answer
    host.runtime.kill("a", 0.3)
    assert host.end("a") == End(128 + 9)  # not given up, though a new child of it is found again and again


def test_exit_status_is_written_once_the_disk_has_room(host: Host) -> None:
    host.start("a", FULL_DISK + "echo $$ > $DIR/pid; exit 3")
    child = host.pid("a")
    host.until(lambda: not is_alive(child))
    host.runtime.poll(0.1)
    assert "a" not in host.ends
    (host.directory / "a" / "exit_status").unlink()
    assert host.end("a") == End(3)


def test_process_list_shows_no_remarks(host: Host) -> None:
    identity = host.start("a", "sleep 600 # remark")
    arguments = Path(f"/proc/{identity.pid}/cmdline")
    host.until(arguments.read_text)  # it has none in the middle of an exec
    shown = arguments.read_text()
    assert shown.count("#") == 1
    assert len(shown) < 450 + len(str(host.directory)) * 2


def test_idle_runtime_sleeps(host: Host) -> None:
    host.start("a", "sleep 600")
    host.until(lambda: (host.runtime.timeout() or 0) > 0.5)
    before = time.thread_time()
    host.runtime.poll(0.5)
    assert time.thread_time() - before < 0.1
