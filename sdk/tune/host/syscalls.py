"""Linux system calls that Python, or its older versions, do not offer.

Each has an answer for "not here" (another system, an old kernel, a limit reached): callers then
fall back to looking now and again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from typing import Any

__all__ = ["Inotify", "pidfd_open", "pidfd_send_signal", "punch_hole"]

_LINUX = sys.platform.startswith("linux")
_PIDFD_SEND_SIGNAL = 424  # the same number on every architecture that Python supports
_PIDFD_OPEN = 434
_IN_MODIFY = 0x2
_IN_Q_OVERFLOW = 0x4000
_FALLOC_FL_KEEP_SIZE = 0x1
_FALLOC_FL_PUNCH_HOLE = 0x2

_libc: Any = None


def _c() -> Any:
    global _libc
    if _libc is None:
        _libc = ctypes.CDLL(None, use_errno=True)
    return _libc


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def pidfd_open(pid: int) -> int | None:
    """A descriptor that becomes readable when process `pid` ends; None where there are none.

    Raises:
        ProcessLookupError: There is no such process.
    """
    if not _LINUX:
        return None
    try:
        if hasattr(os, "pidfd_open"):
            return os.pidfd_open(pid)
        return _checked(_c().syscall(_PIDFD_OPEN, pid, 0))
    except ProcessLookupError:
        raise
    except OSError:  # a kernel before 5.3, a seccomp filter, out of descriptors
        return None


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """Send a signal to the process of `pidfd`, which cannot hit another one."""
    if hasattr(signal, "pidfd_send_signal"):
        signal.pidfd_send_signal(pidfd, number)
    else:
        _checked(_c().syscall(_PIDFD_SEND_SIGNAL, pidfd, number, None, 0))


def punch_hole(fd: int, start: int, length: int) -> bool:
    """Give back the disk space of a range of a file, which then reads as zeros."""
    if not _LINUX:
        return False
    flags = _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE
    fallocate = getattr(_c(), "fallocate64", None) or _c().fallocate
    return bool(fallocate(fd, flags, ctypes.c_int64(start), ctypes.c_int64(length)) == 0)


class Inotify:
    """Watches files for being written to.

    Raises:
        OSError: There is no inotify, or the user's limit of instances is reached.
    """

    def __init__(self) -> None:
        if not _LINUX:
            raise OSError("no inotify on this system")
        self._fd = _checked(_c().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        return self._fd

    def add(self, path: str) -> int:
        """Watch a file; returns the watch, by which `read` names it.

        Raises:
            OSError: The file is not there, or the user's limit of watches is reached.
        """
        return _checked(_c().inotify_add_watch(self._fd, os.fsencode(path), _IN_MODIFY))

    def remove(self, watch: int) -> None:
        _c().inotify_rm_watch(self._fd, watch)  # fails when the file is gone, and the watch with it

    def read(self) -> set[int] | None:
        """The watches whose files were written to; None when events were lost: look at all."""
        watches: set[int] = set()
        while True:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                return watches
            offset = 0
            while offset < len(data):
                watch, mask, _, name_length = struct.unpack_from("iIII", data, offset)
                if mask & _IN_Q_OVERFLOW:
                    return None
                watches.add(watch)
                offset += 16 + name_length

    def close(self) -> None:
        os.close(self._fd)
