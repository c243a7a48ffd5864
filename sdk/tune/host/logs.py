"""Reading what a trial prints, to send it on while it grows."""

from __future__ import annotations

import errno
import os
import stat

from tune.host import output
from tune.host.wire import PIECE

__all__ = ["Log"]


class Log:
    """Standard output or standard error of one attempt, read piece by piece.

    Attributes:
        offset: How far it has been read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.offset = 0

    def piece(self) -> tuple[int, bytes]:
        """The next piece and where in the file it is; empty when there is no more just now.

        What `output.trim` has made a hole is skipped.
        """
        descriptor = self._open()
        if descriptor is None:
            return self.offset, b""
        try:
            at = _after_hole(descriptor, self.offset)
            data = os.pread(descriptor, PIECE, at)
        except OSError:  # nothing but a hole follows
            return self.offset, b""
        finally:
            os.close(descriptor)
        if data:
            self.offset = at + len(data)
        return at, data

    def begin_again(self, limit: int) -> bool:
        """Go back to the start of a file that has ended, if what was read is not the start of it.

        `limit` is the one that `output.compact` was given.
        """
        descriptor = self._open()
        if descriptor is None:
            return False
        try:
            size = os.fstat(descriptor).st_size
            changed = size < self.offset or (
                self.offset > limit // 2 and output.is_compact(descriptor, limit)
            )
        finally:
            os.close(descriptor)
        if changed:
            self.offset = 0
        return changed

    def _open(self) -> int | None:
        """None when the trial has made something else of its file."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return descriptor


def _after_hole(descriptor: int, offset: int) -> int:
    """The next offset from which there is data.

    Raises:
        OSError: There is none.
    """
    if not hasattr(os, "SEEK_DATA"):
        return offset
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise
        return offset  # a file system that does not tell
