"""The runtime: starts, follows, adopts and ends the trials of one machine.

It owns no loop and no thread. `fileno()` is readable when there is something to do, `timeout()`
says when to look though nothing happened, and `poll()` does what is to be done: under asyncio
through `add_reader` and `call_later`, in a plain program as `while True: runtime.poll(None)`.

Exits wake it through pidfds and messages through inotify; where these are missing, and as a net
below them, a slow timer looks at everything.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import time
from typing import Any, Hashable, NamedTuple

from tune.host import launch, output, processes, syscalls
from tune.host.processes import Identity, Process
from tune.host.reader import Problem, Record, RecordReader

__all__ = ["End", "Listener", "Runtime"]

_BATCH_BYTES = 64 * 1024  # of one trial's messages before others have their turn
_PROBLEMS_SHOWN = 10  # of one trial
_TICK_S = 2.0
_TICK_BLIND_S = 0.2  # without inotify or pidfds
_YOUNG_S = 1.0  # pids do not come round again within this: 32,768 forks
_RESCAN_S = (0.005, 0.5)  # first and longest pause between looks at what does not end
_STATUS_S = 1.0  # after SIGKILL to the others, until the first process must have written its status
_KILL_S = 10.0  # after SIGKILL, until a process is given up (D state)
_UNSURE_S = 5.0  # in which a process that is in the middle of an `exec` should be through with it


class End(NamedTuple):
    """How a trial ended: as `tune_core.Ending`, whose words these are."""

    exit_status: int | None
    lost: bool = False
    reason: str = ""


class Listener:
    """Hears what happens to trials; called from within `Runtime.poll`."""

    def records(self, key: Any, records: list[Record]) -> None:
        """Messages of a trial, in order. `Runtime.pause` keeps more of them away."""

    def problem(self, key: Any, problem: Problem) -> None:
        """A trial wrote a line to its channel that is no message. The first few are told."""

    def ended(self, key: Any, end: End) -> None:
        """A trial is over: all its processes are gone, and all its messages were delivered."""


class _Trial:
    """One attempt, from spawn or adoption to its end."""

    def __init__(self, spec: launch.Launch, started: launch.Started, child: bool, after: int) -> None:
        self.spec = spec
        self.started = started
        self.child = child  # of this process, so that it must be reaped
        self.reader = RecordReader(spec.trial, spec.attempt, after=after)
        self.born = float("-inf") if started.gate is None else time.monotonic()
        self.offset = 0
        self.problems = 0
        self.pidfd: int | None = None
        self.watch: int | None = None
        self.paused = False
        self.went = started.gate is None  # the gate was opened
        self.gone = False  # its first process
        self.clean = False  # all its processes
        self.drained = False
        self.killed = False  # on request
        self.reason = ""
        # Ending what is left of it:
        self.grace_s = 0.0
        self.kill_at: float | None = None  # when SIGTERM turns into SIGKILL
        self.rescan_at: float | None = None
        self.pause_s = _RESCAN_S[0]
        self.asked: set[tuple[int, str]] = set()  # processes that got their SIGTERM
        self.unsure_since: float | None = None

    @property
    def identity(self) -> Identity:
        return self.started.identity

    def has_waited(self, now: float) -> bool:
        """Nothing of it is found, though not for sure: whether that has been so for long enough."""
        if self.unsure_since is None:
            self.unsure_since = now
        return now - self.unsure_since >= _UNSURE_S


class Runtime:
    """Runs trials and tells `listener` about them.

    Args:
        listener: Hears of messages and ends.
        grace_s: Between SIGTERM and SIGKILL for what a trial leaves behind when it ends by itself.
        output_limit: Bytes of standard output, and of standard error, that are kept of a trial.
    """

    def __init__(
        self, listener: Listener, *, grace_s: float = 10.0, output_limit: int = 50 * 1024 * 1024
    ) -> None:
        self._listener = listener
        self._grace_s = grace_s
        self._output_limit = output_limit
        self._boot = processes.boot_id()
        self._open_files = _raise_open_files()
        self._not_inherited = launch.inheritable_descriptors()
        self._selector = selectors.DefaultSelector()
        self._trials: dict[Hashable, _Trial] = {}
        self._watches: dict[int, Hashable] = {}
        self._dirty: dict[Hashable, None] = {}  # have messages to read; in order of turn
        self._ending: dict[Hashable, None] = {}  # first process gone, or being killed
        self._blind: dict[Hashable, None] = {}  # without a pidfd
        self._tick_at = 0.0
        self._inotify: syscalls.Inotify | None = None
        try:
            self._inotify = syscalls.Inotify()
            self._selector.register(self._inotify.fileno(), selectors.EVENT_READ, None)
        except OSError:
            pass  # the timer will look

    @property
    def open_files(self) -> int:
        """The soft limit of open files that trials have."""
        return self._open_files

    # What a service asks

    def create_files(self, spec: launch.Launch) -> None:
        """Make the files of a trial, private whatever the umask; `spawn` does this itself."""
        # An empty exit status is none.
        for name in ("stdout", "stderr", "messages.jsonl", launch.EXIT_STATUS):
            os.close(os.open(spec.path(name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def spawn(self, key: Hashable, spec: launch.Launch) -> Identity:
        """Start a trial up to its gate. It does not run before `go`.

        Raises:
            OSError: It cannot be started; nothing of it is left.
        """
        assert key not in self._trials, f"{key} is here already"
        self.create_files(spec)
        started = launch.start(spec, self._boot, self._open_files, self._not_inherited)
        trial = _Trial(spec, started, child=True, after=-1)
        self._watch(key, trial)
        return started.identity

    def take(self, key: Hashable, spec: launch.Launch, started: launch.Started) -> None:
        """Take charge of a trial that another process has brought to its gate."""
        self._watch(key, _Trial(spec, started, child=False, after=-1))

    def go(self, key: Hashable) -> None:
        """Let the trial run."""
        trial = self._trials[key]
        if not trial.killed:
            trial.went = True
            trial.started.go()

    def adopt(self, key: Hashable, spec: launch.Launch, identity: Identity, after: int = -1) -> None:
        """Watch a trial that another process started, whether it still runs or not.

        Messages up to the sequence number `after` are not delivered again.
        """
        assert key not in self._trials, f"{key} is here already"
        self._watch(key, _Trial(spec, launch.Started(identity, None), child=False, after=after))
        self._dirty[key] = None

    def kill(self, key: Hashable, grace_s: float) -> None:
        """End a trial and all its processes: SIGTERM, `grace_s` later SIGKILL. `ended` follows."""
        trial = self._trials.get(key)
        if trial is None or trial.killed:
            return
        trial.killed = True
        trial.grace_s = grace_s
        if not trial.went:
            trial.started.close()
        trial.rescan_at = 0.0
        self._ending[key] = None

    def pause(self, key: Hashable) -> None:
        """Deliver no more messages of a trial for now; they wait in its file."""
        self._trials[key].paused = True

    def resume(self, key: Hashable) -> None:
        """Deliver again; takes effect at the next `poll`, which is due at once."""
        self._trials[key].paused = False
        self._dirty[key] = None

    def close(self) -> None:
        """Let go of everything. Trials that run go on; those at the gate never start."""
        for trial in self._trials.values():
            trial.started.close()
            if trial.pidfd is not None:
                os.close(trial.pidfd)
        self._trials.clear()
        if self._inotify is not None:
            self._inotify.close()
        self._selector.close()

    # Being driven

    def fileno(self) -> int:
        """Readable when `poll` has something to do."""
        return self._selector.fileno()

    def timeout(self) -> float | None:
        """Seconds until `poll` is due though nothing happened; None for never."""
        if not self._trials:
            return None
        if any(not self._trials[key].paused for key in self._dirty):
            return 0.0
        due = [self._tick_at]
        for key in self._ending:
            trial = self._trials[key]
            if trial.rescan_at is not None:
                due.append(trial.rescan_at)
        return max(0.0, min(due) - time.monotonic())

    def poll(self, timeout: float | None = 0.0) -> None:
        """Wait up to `timeout` seconds (None: until something is due), then do what is to be done."""
        due = self.timeout()
        if timeout is None or (due is not None and due < timeout):
            timeout = due
        for ready, _ in self._selector.select(timeout):
            if ready.data is None:
                self._note_writes()
            elif ready.data in self._trials:
                self._leader_gone(ready.data, self._trials[ready.data])
        if time.monotonic() >= self._tick_at:
            self._tick()
        self._sweep()
        for key in list(self._dirty):
            trial = self._trials.get(key)
            if trial is None:
                self._dirty.pop(key, None)
            elif not trial.paused:
                self._read(key, trial)

    # Taking charge

    def _watch(self, key: Hashable, trial: _Trial) -> None:
        self._trials[key] = trial
        try:
            pidfd = self._open_process(trial)
        except ProcessLookupError:
            trial.clean = trial.identity.boot != self._boot
            self._leader_gone(key, trial)
            return
        trial.pidfd = pidfd
        if pidfd is not None:
            self._selector.register(pidfd, selectors.EVENT_READ, key)
        else:
            self._blind[key] = None
        if self._inotify is not None:
            try:
                trial.watch = self._inotify.add(trial.spec.channel)
                self._watches[trial.watch] = key
            except OSError:
                pass  # no file, or too many watches: the timer will look
        self._tick_at = min(self._tick_at, time.monotonic() + self._tick_s())

    def _open_process(self, trial: _Trial) -> int | None:
        if trial.child:  # nobody else has its pid before it is waited for
            return syscalls.pidfd_open(trial.identity.pid)
        return processes.open_process(trial.identity, self._boot)

    def _tick_s(self) -> float:
        blind = self._blind or len(self._watches) < len(self._trials)
        return _TICK_BLIND_S if blind else _TICK_S

    # Noticing

    def _note_writes(self) -> None:
        assert self._inotify is not None
        watches = self._inotify.read()
        for watch in self._watches if watches is None else watches:
            if watch in self._watches:
                self._dirty[self._watches[watch]] = None

    def _tick(self) -> None:
        for key in list(self._blind):
            trial = self._trials[key]
            now = processes.look(trial.identity.pid)
            if now is None or now.start != trial.identity.start or now.state == "Z":
                self._leader_gone(key, trial)
        for key, trial in self._trials.items():
            if not trial.paused and _size(trial.spec.channel) > trial.offset:
                self._dirty[key] = None
            for name in ("stdout", "stderr"):
                output.trim(trial.spec.path(name), self._output_limit)
        self._tick_at = time.monotonic() + self._tick_s()

    def _leader_gone(self, key: Hashable, trial: _Trial) -> None:
        """Its first process is gone; perhaps others are left."""
        if trial.child:
            trial.child = False
            try:
                os.waitpid(trial.identity.pid, 0)
            except ChildProcessError:
                pass  # somebody in this program waits for every child
        if trial.pidfd is not None:
            self._selector.unregister(trial.pidfd)
            os.close(trial.pidfd)
            trial.pidfd = None
        self._blind.pop(key, None)
        trial.started.close()
        trial.gone = True
        trial.rescan_at = 0.0
        self._ending[key] = None

    # Ending

    def _sweep(self) -> None:
        """Look for what is left of trials that are to be gone, all in one pass, and end it."""
        now = time.monotonic()
        due = {
            key: self._trials[key]
            for key in self._ending
            if (at := self._trials[key].rescan_at) is not None and at <= now
        }
        wanted = {
            key: processes.Wanted(trial.spec.mark, trial.identity)
            for key, trial in due.items()
            if not trial.clean
        }
        if wanted:
            strange = [
                trial.identity.pid
                for key, trial in self._trials.items()
                if trial.child and key not in wanted  # not waited for, so that nobody else has its pid
            ]
            found, sure = processes.find_marked(wanted, self._above_pid(now, due.values()), strange)
        for key, trial in due.items():
            left = found[key] if key in wanted else []
            if trial.gone and not left and (trial.clean or sure or trial.has_waited(now)):
                trial.clean = True
                trial.rescan_at = None
                self._dirty[key] = None  # for a last look at its messages
            else:
                self._end_processes(trial, left, now)

    def _above_pid(self, now: float, trials: Any) -> int:
        """The pid after which all processes of these trials must have come, or 0."""
        pids = [trial.identity.pid for trial in trials]
        last = processes.last_pid()
        young = all(now - trial.born < _YOUNG_S for trial in trials)
        # A trial whose pid is above the last one began before the pids came round.
        return min(pids) if young and last is not None and last >= max(pids) else 0

    def _end_processes(self, trial: _Trial, left: list[Process], now: float) -> None:
        if trial.kill_at is None:
            trial.kill_at = now + (trial.grace_s if trial.killed else self._grace_s)
        if now < trial.kill_at:
            self._terminate(trial, left)
            trial.rescan_at = min(now + trial.pause_s, trial.kill_at)
        elif now < trial.kill_at + _KILL_S:
            victims = left
            if now < trial.kill_at + _STATUS_S:
                # Not yet the first process, which is about to write down how the command ended.
                victims = [process for process in left if process.pid != trial.identity.pid] or left
            for process in victims:
                processes.send_signal(process, signal.SIGKILL)
            trial.pause_s = min(trial.pause_s, 0.02)
            trial.rescan_at = now + trial.pause_s
        else:
            names = ", ".join(f"{process.pid} (state {process.state})" for process in left)
            trial.reason = f"these processes of the trial do not die: {names}"
            trial.clean = trial.gone = True
            trial.rescan_at = now
        trial.pause_s = min(2 * trial.pause_s, _RESCAN_S[1])

    def _terminate(self, trial: _Trial, left: list[Process]) -> None:
        """Ask each of its processes once to end, stopped ones too."""
        for process in left:
            if (process.pid, process.start) not in trial.asked:
                trial.asked.add((process.pid, process.start))
                processes.send_signal(process, signal.SIGTERM)
                processes.send_signal(process, signal.SIGCONT)

    # Messages

    def _read(self, key: Hashable, trial: _Trial) -> None:
        """Deliver one batch of a trial's messages; at their end, its end."""
        final_look = trial.clean
        data = _read_at(trial.spec.channel, trial.offset)
        trial.offset += len(data)
        items = list(trial.reader.feed(data))
        self._dirty.pop(key)
        if len(data) == _BATCH_BYTES:
            self._dirty[key] = None  # behind the others
        elif final_look and not trial.drained:
            trial.drained = True
            items += trial.reader.finish()
        records = [item for item in items if isinstance(item, Record)]
        for item in items:
            if isinstance(item, Problem) and trial.problems < _PROBLEMS_SHOWN:
                trial.problems += 1
                self._listener.problem(key, item)
        if records:
            self._listener.records(key, records)
        if trial.drained and not trial.paused:
            self._finish(key, trial)

    def _finish(self, key: Hashable, trial: _Trial) -> None:
        del self._trials[key]
        self._ending.pop(key, None)
        self._dirty.pop(key, None)
        if trial.watch is not None and self._inotify is not None:
            self._inotify.remove(trial.watch)
            self._watches.pop(trial.watch, None)
        for name in ("stdout", "stderr"):
            output.compact(trial.spec.path(name), self._output_limit)
        self._listener.ended(key, _end(trial))


def _end(trial: _Trial) -> End:
    status = launch.read_exit_status(trial.spec.path(launch.EXIT_STATUS))
    if status is not None:
        return End(status, reason=trial.reason)
    if not trial.went:
        return End(None, reason="never started")
    if trial.killed:
        return End(128 + signal.SIGKILL, reason=trial.reason)
    return End(None, lost=True, reason=f"process {trial.identity.pid} is gone and left no exit status")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _read_at(path: str, offset: int) -> bytes:
    """What a trial has written; nothing while it cannot be read, whatever it made of the file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.pread(fd, _BATCH_BYTES, offset)
        finally:
            os.close(fd)
    except OSError:
        return b""


def _raise_open_files() -> int:
    """Make room for a pidfd per trial; returns the soft limit as it was, for the trials."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # macOS has a lower limit of its own
            pass
    return soft
