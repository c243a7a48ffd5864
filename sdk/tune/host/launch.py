"""Starting a trial: its own session, a gate before it, its exit status after it.

The first process of a trial is a small `sh`. It waits at the gate, a pipe whose other end the
manager alone holds: "go" lets it through, end of file (the manager was killed) means "never
started". Then it runs the user's command and writes down its exit status, so that this is there
though nobody was waiting. The command is an argument of a shell of its own: neither an open quote
nor `exit`, `exec` or a trap in it can keep the status from being written.
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from typing import Iterable, Mapping

from tune.host import processes
from tune.host.output import regular

__all__ = ["EXIT_STATUS", "Launch", "Started", "inheritable_descriptors", "read_exit_status", "start"]

EXIT_STATUS = "exit_status"

# $1 shell  $2 command  $3 working directory  $4 exit status file  $5 soft limit of open files
#
# No remarks in the text itself, which `ps` shows with every trial.
# - read: the name is one that nobody exports, or the command would see another value.
# - trap: a handler, not '': ignored signals would stay ignored in the command.
# - printf: one write, ended by a newline, by which a reader knows that it is whole. Repeated on a
#   full disk, until the trial is asked to end.
_WRAPPER = r"""IFS= read -r _t && [ "$_t" = go ] || exit 0
trap : HUP INT QUIT USR1 USR2 ALRM
trap _t= TERM
ulimit -S -n "$5" 2>/dev/null
cd -- "$3" && "$1" -c -- "$2" </dev/null
_s=$?
until printf '%s\n' $_s 2>/dev/null >"$4" || [ -z "$_t" ] || [ -d "$4" ] || [ ! -d "${4%/*}" ]
do sleep 1; done"""


@dataclass(frozen=True)
class Launch:
    """What to run and where its traces go.

    Attributes:
        environment: The whole environment, not an addition.
        mark: Unique to this attempt; see `tune.host.processes`.
        directory: Holds `stdout`, `stderr`, `messages.jsonl` and `exit_status`.
    """

    trial: str
    attempt: int
    command: str
    code_directory: str
    environment: Mapping[str, str]
    directory: str
    mark: str

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    @property
    def channel(self) -> str:
        return self.path("messages.jsonl")


@dataclass
class Started:
    """A trial's first process, and the gate it waits at (None once it is open or closed)."""

    identity: processes.Identity
    gate: int | None

    def go(self) -> None:
        """Open the gate."""
        if self.gate is not None:
            try:
                os.write(self.gate, b"go\n")
            except BrokenPipeError:
                pass  # it was killed at the gate, which its end will tell
            self.close()

    def close(self) -> None:
        """Close the gate: what still waits there never starts."""
        if self.gate is not None:
            os.close(self.gate)
            self.gate = None


def inheritable_descriptors() -> list[int]:
    """What this process was given beside its standard streams, and would hand on.

    Python itself opens none such. A trial must not hold them: they may be somebody's lock, or a
    pipe whose reader waits for its end.
    """
    directory = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    numbers = [int(name) for name in os.listdir(directory) if int(name) > 2]
    return [number for number in numbers if _is_inheritable(number)]


def _is_inheritable(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:  # the one that listed the folder
        return False


def start(launch: Launch, boot: str, open_files: int, close: Iterable[int] = ()) -> Started:
    """Start the trial's first process, which waits at the gate.

    `boot` is this machine's boot id, `open_files` the soft limit of open files for the trial,
    `close` are the descriptors that it is not to inherit.

    Raises:
        OSError: No process, no memory, no disk space; nothing is left behind.
    """
    environment = {
        **launch.environment,
        processes.MARK: ":".join(filter(None, (launch.environment.get(processes.MARK), launch.mark))),
    }
    arguments = [_SHELL, launch.command, launch.code_directory, launch.path(EXIT_STATUS), str(open_files)]
    read_end, write_end = os.pipe()  # neither is inherited but by the duplication below
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _WRAPPER, "tune", *arguments],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, read_end, 0),
                (os.POSIX_SPAWN_OPEN, 1, launch.path("stdout"), _APPEND, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, launch.path("stderr"), _APPEND, 0o600),
                *((os.POSIX_SPAWN_CLOSE, number) for number in close),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=_CATCHABLE,  # Python ignores SIGPIPE, and what is ignored is inherited
        )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    identity = processes.identify(pid, boot)
    assert identity is not None, "a child that nobody has waited for has an entry"
    return Started(identity, write_end)


def read_exit_status(path: str) -> int | None:
    """The exit status that a trial left; None when it left none."""
    try:
        with open(path, "rb", opener=regular) as file:
            text = file.read(16) or b""  # None of a pipe
    except OSError:
        return None
    return int(text) if text.endswith(b"\n") and text.strip().isdigit() else None


_SHELL = shutil.which("bash") or "/bin/sh"  # NNI's users write bash
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_CATCHABLE = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
