"""One manager for one experiment.

The lock is `flock` on a file that is held open for the manager's life, so the operating system
frees it however the manager dies. On a network file system, where flock may not reach other
machines, the record's own heartbeat is looked at as well.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from tune_core.errors import ExperimentBusyError
from tune_core.store.filesystem import network_filesystem

__all__ = ["ManagerLock", "boot_id", "manager_identity"]

_PATIENCE_S = 5.0  # a child between fork and exec can hold the lock a moment longer than its parent
HEARTBEAT_S = 10.0


def boot_id() -> str:
    """Names this run of the operating system; pids and monotonic clocks mean nothing beyond it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{socket.gethostname()}-unknown"


def manager_identity() -> dict[str, Any]:
    """Who manages: for people, and for the check on network file systems."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "boot": boot_id()}


class ManagerLock:
    """Holds an experiment's folder for this process.

    Raises:
        ExperimentBusyError: On construction, when another manager has it; says which one.
    """

    def __init__(self, path: Path, *, patience_s: float = _PATIENCE_S) -> None:
        self._path = path
        # Opened non-inheritable: a trial must not keep the lock of a manager that died.
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(patience_s)
            self._refuse_other_host()
            self.beat()
        except BaseException:
            os.close(self._descriptor)
            raise

    def beat(self) -> None:
        """Note that the manager is alive; needed every `HEARTBEAT_S` on network file systems."""
        content = json.dumps({**manager_identity(), "time": time.time()}).encode()
        os.pwrite(self._descriptor, content.ljust(512), 0)

    def release(self) -> None:
        """Let another manager have it, on whichever machine."""
        try:
            os.ftruncate(self._descriptor, 0)  # who held it is no longer of interest
        except OSError:
            pass  # on a network file system another machine then waits for the last heartbeat to age
        os.close(self._descriptor)

    def _take(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise self.busy(self._path) from None
            return

    def _refuse_other_host(self) -> None:
        if network_filesystem(self._path.parent) is None:
            return
        holder = self.holder(self._path)
        if (
            holder
            and holder["host"] != socket.gethostname()
            and time.time() - holder["time"] < 6 * HEARTBEAT_S
        ):
            raise self.busy(self._path)

    @staticmethod
    def busy(path: Path) -> ExperimentBusyError:
        """The refusal, for the experiment with this lock file."""
        holder, name = ManagerLock.holder(path), path.parent.name
        who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
        return ExperimentBusyError(
            f"experiment {name} is already managed by {who}\n"
            f"  watch it: tune view {name}    end it: tune stop {name}"
        )

    @staticmethod
    def holder(path: Path) -> dict[str, Any] | None:
        """Who wrote the lock file last, alive or not."""
        try:
            content: dict[str, Any] = json.loads(path.read_bytes().rstrip(b"\0 ") or b"null")
        except (OSError, ValueError):
            return None
        return content

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a manager on this machine is alive for the experiment with this lock file."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)
