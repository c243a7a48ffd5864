"""Keeping what a trial prints within bounds: its head and its tail, not what is between.

While the trial runs, the middle of its file is given back to the disk as a hole: this needs no
process between the trial and its file, disturbs no writer, and loses nothing of either end. When
the trial is over the file is rewritten without the hole, with a remark in its place.
"""

from __future__ import annotations

import contextlib
import os

from tune.host.syscalls import punch_hole

__all__ = ["compact", "is_compact", "last_lines", "regular", "trim"]

_CHUNK = 1 << 20
_REMARK = "\n[tune: "


def trim(path: str, limit: int) -> None:
    """Give back the disk space of the middle of a file that is being written.

    Does nothing on a file system without holes, or when the trial has made something else of its
    file; `compact` then does what can be done in the end.
    """
    try:
        stat = os.stat(path)
        if stat.st_blocks * 512 <= limit:
            return
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        punch_hole(fd, limit // 2, stat.st_size - limit // 2 - limit // 4)
    finally:
        os.close(fd)


def compact(path: str, limit: int) -> None:
    """Leave the head and the tail of a file that nobody writes any more, `limit` bytes in all.

    On a full disk, for one, the file stays as it is.
    """
    temporary = path + ".tmp"
    try:
        size = os.lstat(path).st_size
        if size > limit:
            _rewrite(path, temporary, size, limit)
            os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def is_compact(fd: int, limit: int) -> bool:
    """Whether `compact` has rewritten an open file: only its first `limit // 2` bytes are where they were."""
    return os.pread(fd, len(_REMARK), limit // 2) == _REMARK.encode()


def _rewrite(path: str, temporary: str, size: int, limit: int) -> None:
    head, tail = limit // 2, limit // 4  # trim may have left no more of the tail
    remark = f"{_REMARK}{size - head - tail:,} bytes of output were dropped here]\n".encode()
    with open(path, "rb") as source, open(temporary, "wb", opener=_private) as target:
        _copy(source.fileno(), target.fileno(), 0, head)
        os.write(target.fileno(), remark)
        _copy(source.fileno(), target.fileno(), size - tail, tail)
        os.fsync(target.fileno())


def last_lines(path: str, lines: int, size: int) -> str:
    """The end of a file for a person to read: at most `size` bytes, control characters escaped."""
    try:
        with open(path, "rb", opener=regular) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            tail = file.read(size)
    except OSError:
        return ""
    text = tail.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n")
    return "\n".join(_printable(line) for line in text.split("\n")[-lines:])


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line)


def regular(path: str, flags: int) -> int:
    """For `open(opener=...)`: does not wait, nor go elsewhere, for what a trial made of its file."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _copy(source: int, target: int, start: int, length: int) -> None:
    while length > 0:
        piece = os.pread(source, min(_CHUNK, length), start)
        if not piece:
            return
        os.write(target, piece)
        start += len(piece)
        length -= len(piece)
