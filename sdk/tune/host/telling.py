"""What a manager is told of an attempt: how it ended and with what words, and which values."""

from __future__ import annotations

import os
import stat
from typing import Any

from tune.host.last_words import python_of
from tune.host.launch import Launch
from tune.host.layout import private
from tune.host.output import last_lines, regular
from tune.host.runtime import End

__all__ = ["LEASE", "UNSTARTED", "leave_word", "obstacle_of", "read_word", "say_unstarted", "told"]

LEASE = "lease"
"""The file that says that an attempt was ended because no manager came."""

UNSTARTED = "unstarted"
"""The file that says that an attempt waited at its gate when the manager was lost, and never ran."""

_NEVER = "never started: the connection was lost before it could run"
_LINES = 20  # of standard error, told of an attempt that failed
_LINES_BYTES = 8192
_MAX_DEPTH = 100  # of a value: Pythons differ in what they take
_MAX_BITS = 10_000  # of an integer: the same


def told(launch: Launch, end: End) -> dict[str, Any]:
    """The fields of `ended`."""
    lease_s = read_word(launch)
    if lease_s is not None:
        end = End(None, lost=True, reason=f"its lease{lease_s} ran out: no manager came back")
    elif _is_file(launch.path(UNSTARTED)):
        end = End(None, lost=True, reason=_NEVER)
    words = last_lines(launch.path("stderr"), _LINES, _LINES_BYTES) if end.exit_status else ""
    python = python_of(launch.command, launch.environment) if end.exit_status else ""
    return {**end._asdict(), "words": words, "python": python}


def leave_word(launch: Launch, lease_s: float) -> None:
    """Say, beside the attempt, that it is ended because its lease ran out."""
    try:
        with open(launch.path(LEASE), "wb", opener=private) as file:
            file.write(f" of {lease_s:g} s".encode())
    except OSError:
        pass  # a full disk; mostly the file is there, though empty


def say_unstarted(launch: Launch) -> None:
    """Say, beside the attempt, that it will not run: for a manager that believes to have let it."""
    try:
        os.close(os.open(launch.path(UNSTARTED), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        pass  # a full disk: it is told as lost, without the reason


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def read_word(launch: Launch) -> str | None:
    """What `leave_word` left; None when it left nothing."""
    try:
        with open(launch.path(LEASE), "rb", opener=regular) as file:
            return (file.read(100) or b"").decode("utf-8", "replace")
    except OSError:
        return None


def obstacle_of(value: Any) -> str:
    """Why the Python at the other end may not take a value that was understood here."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, int) and each.bit_length() > _MAX_BITS:
                return "a whole number of more than 3000 digits"
            if isinstance(each, (list, dict)):
                inner.extend(each.values() if isinstance(each, dict) else each)
        if not inner:
            return ""
        level = inner
    return f"nested more than {_MAX_DEPTH} levels deep"
