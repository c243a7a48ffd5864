"""Removing folders, on disks where somebody else may be at the same one."""

from __future__ import annotations

import errno
import os
import secrets
import time
from typing import Callable

from tune.host.jobs import Job

__all__ = ["beside", "remove_tree"]

_STEP = 200  # files
_PAUSE_S = 0.05
_STUBBORN_S = 5.0  # for others to stop writing into a folder that is being removed
_GONE = frozenset({errno.ENOENT, errno.ESTALE})
_FILLED = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY})


def beside(path: str, prefix: str) -> str:
    """A path next to `path` that nobody else thinks of; pids are the same on several hosts."""
    return os.path.join(os.path.dirname(path), f"{prefix}{secrets.token_hex(8)}")


def remove_tree(path: str) -> Job:
    """Remove a folder, with folders that were made read-only, though somebody else does so too.

    On NFS a file that is open when it is removed stays for a moment under another name.

    Raises:
        OSError: It cannot be removed.
    """
    deadline = time.monotonic() + _STUBBORN_S
    while os.path.lexists(path):
        try:
            yield from _remove_all(path)
        except OSError as error:
            if error.errno not in _FILLED or time.monotonic() > deadline:
                raise
            yield _PAUSE_S


def _remove_all(path: str) -> Job:
    _if_there(_open_up, path)
    emptied = [path]
    for where, folders, files in os.walk(path):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        folders[:] = [name for name in folders if name not in links]
        for number, name in enumerate([*files, *links]):
            _if_there(os.unlink, os.path.join(where, name))
            if number % _STEP == 0:
                yield 0.0
        for name in folders:
            _if_there(_open_up, os.path.join(where, name))
            emptied.append(os.path.join(where, name))
    for number, folder in enumerate(reversed(emptied)):
        _if_there(os.rmdir, folder)
        if number % _STEP == 0:
            yield 0.0


def _open_up(folder: str) -> None:
    os.chmod(folder, 0o700)


def _if_there(work: Callable[[str], None], path: str) -> None:
    try:
        work(path)
    except OSError as error:
        if error.errno not in _GONE:
            raise
