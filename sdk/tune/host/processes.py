"""Processes: who they are, which belong to a trial, and how to signal them and nobody else.

A pid alone names nobody, since pids are used again. A process is named by (boot id, pid, start
time) and is signalled through a pidfd that was opened before its start time was checked.

A trial's processes are those of its session, those that carry its mark in their environment
(`setsid` and double forks do not shed it), and their descendants.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any, Collection, Iterable, Mapping, NamedTuple

from tune.host import syscalls

__all__ = [
    "MARK",
    "Identity",
    "Process",
    "Wanted",
    "boot_id",
    "find_marked",
    "identify",
    "last_pid",
    "look",
    "open_process",
    "send_signal",
]

MARK = "TUNE_MARK"
"""The variable with the marks of this trial and of the trials it runs in, separated by colons."""

_PROC = os.path.isdir("/proc/self")
_NO_SESSION = 0  # of the kernel's threads, and of what entered this container from outside


class Identity(NamedTuple):
    """Names one process for good.

    Attributes:
        start: Start time in the units of the system: clock ticks after boot on Linux.
        boot: The machine's boot id; after a restart nothing of before is there any more.
    """

    pid: int
    start: str
    boot: str

    def to_json(self) -> dict[str, Any]:
        return dict(self._asdict())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Identity:
        return cls(int(values["pid"]), str(values["start"]), str(values["boot"]))


class Process(NamedTuple):
    """One process as it was seen. `state` is ps's letter: Z is a zombie, D waits for a disk."""

    pid: int
    start: str
    parent: int
    group: int
    session: int
    state: str


def boot_id() -> str:
    try:
        return _read("/proc/sys/kernel/random/boot_id").decode().strip()
    except OSError:
        # macOS. The text changes when the clock is set, at worst calling a live trial lost.
        done = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False)
        return done.stdout.strip()


def look(pid: int) -> Process | None:
    """Process `pid` as it is now; None when there is none."""
    if not _PROC:
        return next((process for process in _ps() if process.pid == pid), None)
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(
        pid,
        start=fields[19].decode(),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        state=fields[0].decode(),
    )


def identify(pid: int, boot: str) -> Identity | None:
    process = look(pid)
    return None if process is None else Identity(pid, process.start, boot)


def last_pid() -> int | None:
    """The pid that was given out last, or None where that is not told."""
    try:
        return int(_read("/proc/loadavg").split()[4])
    except OSError:
        return None


def open_process(identity: Identity, boot: str) -> int | None:
    """A pidfd of the process, or None where there are none; `boot` is this machine's boot id.

    Raises:
        ProcessLookupError: It has ended, though perhaps another one has its pid.
    """
    if identity.boot != boot:
        raise ProcessLookupError(f"the machine was restarted after process {identity.pid} had begun")
    pidfd = syscalls.pidfd_open(identity.pid)
    process = look(identity.pid)
    if process is None or process.start != identity.start:
        if pidfd is not None:
            os.close(pidfd)
        raise ProcessLookupError(f"process {identity.pid} has ended")
    return pidfd


def send_signal(process: Process, number: int) -> None:
    """Signal the process if it is still the same; not an error when it is gone or not ours."""
    try:
        pidfd = syscalls.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        now = look(process.pid)
        if now is not None and now.start == process.start:
            if pidfd is None:
                os.kill(process.pid, number)
            else:
                syscalls.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        pass
    finally:
        if pidfd is not None:
            os.close(pidfd)


class Wanted(NamedTuple):
    """A trial whose processes are looked for: its mark, and its first process."""

    mark: str
    leader: Identity


def find_marked(
    wanted: Mapping[Any, Wanted], above_pid: int = 0, strange: Collection[int] = ()
) -> tuple[dict[Any, list[Process]], bool]:
    """The processes of each of the trials in `wanted`, zombies left out, in one pass.

    Processes up to `above_pid` are left out, which is right for trials younger than the pids take
    to come round again, and much cheaper then. So are those of the sessions `strange`: a process
    can leave its session for a new one of its own, and for no other.

    Returns:
        Them, and whether that is sure: a process in the middle of an `exec` shows no environment.
    """
    found: dict[Any, list[Process]] = {key: [] for key in wanted}
    sessions = {trial.leader.pid: key for key, trial in wanted.items()}
    marks = {trial.mark.encode(): key for key, trial in wanted.items()}
    oldest = min((_order(trial.leader.start) for trial in wanted.values()), default=0)
    owner: dict[int, Any] = {}
    others: list[Process] = []
    sure = True
    for process in _all(above_pid, {*strange, os.getsid(0), _NO_SESSION}):
        if process.state in "ZX" or _order(process.start) < oldest or process.pid == os.getpid():
            continue
        key = sessions.get(process.session)
        if key is None:
            carried = _marks(process)
            key = next((marks[mark] for mark in carried or () if mark in marks), None)
            sure = sure and carried is not None
        if key is None:
            others.append(process)
        else:
            owner[process.pid] = key
            found[key].append(process)
    while True:  # children that have shed both session and mark
        more = [process for process in others if process.parent in owner]
        if not more:
            return found, sure
        for process in more:
            owner[process.pid] = owner[process.parent]
            found[owner[process.pid]].append(process)
        others = [process for process in others if process.pid not in owner]


def _order(start: str) -> int:
    return int(start) if start.isdigit() else 0


def _all(above_pid: int, strange: Collection[int]) -> Iterable[Process]:
    if not _PROC:
        yield from _ps()
        return
    for name in os.listdir("/proc"):
        # To ask for the session takes a twentieth of what it takes to look.
        if name.isdigit() and int(name) > above_pid and _session(int(name)) not in strange:
            process = look(int(name))
            if process is not None:
                yield process


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _marks(process: Process) -> list[bytes] | None:
    """The marks that a process carries; None when it cannot be told just now."""
    if not _PROC:
        return []
    try:
        with open(f"/proc/{process.pid}/environ", "rb", buffering=0) as file:
            environment = file.read()
            while len(environment) % 4096 == 0:  # long ones come by the page
                piece = file.read(1 << 20)
                if not piece:
                    break
                environment += piece
    except (FileNotFoundError, ProcessLookupError):
        return []
    except PermissionError:  # another user's
        return []
    if not environment:
        return [] if _has_begun(process.pid) else None
    start = environment.find(f"{MARK}=".encode())
    if start < 0:
        return []
    return environment[start + len(MARK) + 1 :].split(b"\0", 1)[0].split(b":")


def _has_begun(pid: int) -> bool:
    """Whether a process is past its `exec`, which is when the place of its environment is set, if empty."""
    try:
        return _stat(pid)[48] != b"0"  # env_end, which is the 51st field in proc(5)
    except (OSError, IndexError):
        return False  # it ends just now


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third one on."""
    text = _read(f"/proc/{pid}/stat")
    # The second field is the program's name in parentheses, which may hold anything.
    return text[text.rindex(b")") + 2 :].split()


def _read(path: str) -> bytes:
    """What is in a small file of /proc."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _ps() -> Iterable[Process]:
    """Without /proc (macOS): sessions are shown as process groups, and environments not at all."""
    command = ["ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart="]
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        pid, parent, group, state, start = line.split(None, 4)
        yield Process(int(pid), start, int(parent), int(group), int(group), state[0])
