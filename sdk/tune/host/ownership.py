"""Whose the trials of one experiment on one machine are, and which there are.

The folder `hosts/<label>` of an experiment holds
- `lock`, locked by the host server that has hold of the trials. In it is written who that is, in
  place and in a fixed size, so that a full disk does not keep a manager from its trials;
- `attempts/`, with a file for each attempt that was brought to its gate and has not ended;
- `server.log`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any

from tune.host import processes
from tune.host.jobs import Job
from tune.host.layout import ExperimentFolder, Key, RefusedError, make_folder, names_in, private
from tune.host.output import regular
from tune.host.processes import Identity, Process

__all__ = ["HostFolder", "Noted", "Owner", "Ownership", "hosts_of"]

_LET_GO_S = 2.0  # for an earlier server, after SIGTERM
_DIE_S = 8.0  # and after SIGKILL
_LOOK_S = 0.02
# Some network disks have no locks. There, what is written down must do.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_NOTE_BYTES = 512  # of each file here, so that it is written over and never grows


@dataclass(frozen=True)
class Owner:
    """The host server that has hold of the trials, as it wrote itself down.

    Attributes:
        managed: Its manager is there; otherwise it only keeps the trials until one comes.
        removing: It has hold of them to remove them.
    """

    pid: int
    start: str
    boot: str
    hostname: str
    managed: bool
    removing: bool = False


@dataclass(frozen=True)
class Noted:
    """An attempt that may have processes, and by what to find them."""

    identity: Identity
    mark: str


class HostFolder:
    """What is kept about one machine's trials of one experiment."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._attempts = os.path.join(path, "attempts")

    def make(self) -> None:
        make_folder(self._attempts)

    def reserve(self, key: Key) -> None:
        """Make room to note an attempt. Raises OSError while nothing has been started."""
        with open(self._note(key), "wb", opener=private) as file:
            file.write(b" " * _NOTE_BYTES)

    def note(self, key: Key, noted: Noted) -> None:
        _overwrite(self._note(key), {**noted.identity.to_json(), "mark": noted.mark})

    def forget(self, key: Key) -> None:
        try:
            os.unlink(self._note(key))
        except OSError:
            pass  # it is looked at once more, and found to have ended

    def attempts(self) -> dict[Key, Noted]:
        """Those that may have processes on this machine."""
        found = {}
        for name in names_in(self._attempts):
            trial, _, number = name.rpartition(".")
            try:
                values = _read(os.path.join(self._attempts, name)) or {}
                found[trial, int(number)] = Noted(Identity.from_json(values), str(values["mark"]))
            except (KeyError, ValueError):
                pass  # reserved, and its server was killed: its gate has closed
        return found

    def _note(self, key: Key) -> str:
        return os.path.join(self._attempts, f"{key[0]}.{key[1]}")


def hosts_of(folder: ExperimentFolder) -> list[HostFolder]:
    """The machines that have, or had, trials of an experiment."""
    return [HostFolder(folder.host(label)) for label in names_in(os.path.join(folder.path, "hosts"))]


class Ownership:
    """The lock of a `HostFolder`."""

    def __init__(self, folder: HostFolder, boot: str) -> None:
        self._path = os.path.join(folder.path, "lock")
        self._boot = boot
        self._descriptor: int | None = None

    def owner(self) -> Owner | None:
        """Who has the lock at this moment, this process included; None when nobody has."""
        return None if self._descriptor is None and self._is_free() else self.last()

    def last(self) -> Owner | None:
        """Who had the lock last, or has it now; None when that was not written down."""
        try:
            return Owner(**(_read(self._path) or {}))
        except TypeError:
            return None

    def claim(self, *, removing: bool = False) -> Job:
        """Take the lock, from an earlier server if need be; a job.

        Whoever has it is told to let go, which leaves its trials running; but one that removes them
        is waited for.

        Raises:
            RefusedError: It is not to be had; says who has it.
            OSError: There can be no lock here.
        """
        begun = time.monotonic()
        told: set[int] = set()
        while not self._try():
            waited = time.monotonic() - begun
            owner = self.last()
            if waited > _LET_GO_S + _DIE_S:
                who = f"process {owner.pid} of {owner.hostname}" if owner else "somebody"
                raise RefusedError(f"{who} has hold of the trials of this experiment and does not let go")
            number = signal.SIGTERM if waited < _LET_GO_S else signal.SIGKILL
            may_tell = owner is not None and not owner.removing and number not in told
            if owner is not None and may_tell and self._signal(owner, number):
                told.add(number)
            yield _LOOK_S
        self.tell(managed=not removing, removing=removing)

    def tell(self, *, managed: bool, removing: bool = False) -> None:
        """Write down who has the lock: this process."""
        me = processes.identify(os.getpid(), self._boot)
        assert me is not None
        owner = Owner(me.pid, me.start, me.boot, socket.gethostname(), managed, removing)
        try:
            _overwrite(self._path, asdict(owner))
        except OSError:
            pass  # a full disk, and no text was there before: to be told to let go is a courtesy

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self) -> bool:
        descriptor = self._open()
        # And it has not been removed meanwhile:
        is_mine = self._lock(descriptor, fcntl.LOCK_EX) and _is_at(descriptor, self._path)
        if is_mine:
            self._descriptor = descriptor
        else:
            os.close(descriptor)
        return is_mine

    def _is_free(self) -> bool:
        """Whether nobody has the lock; those who ask at the same moment do not see one another."""
        descriptor = self._open()
        try:
            return self._lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _lock(self, descriptor: int, kind: int) -> bool:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in _NO_LOCKS and not self._is_alive(self.last())
        return True

    def _is_alive(self, owner: Owner | None) -> bool:
        return owner is not None and self._look(owner) is not None

    def _signal(self, owner: Owner, number: int) -> bool:
        process = self._look(owner)
        if process is None:
            return False
        processes.send_signal(process, number)
        return True

    def _look(self, owner: Owner) -> Process | None:
        process = processes.look(owner.pid) if owner.boot == self._boot else None
        return None if process is None or process.start != owner.start else process


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _overwrite(path: str, values: dict[str, Any]) -> None:
    text = json.dumps(values).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, text.ljust(_NOTE_BYTES - 1) + b"\n", 0)
    finally:
        os.close(descriptor)


def _read(path: str) -> dict[str, Any] | None:
    """None for a file that is not there or not written yet."""
    try:
        with open(path, "rb", opener=regular) as file:
            values = json.loads((file.read(2 * _NOTE_BYTES) or b"").decode())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
