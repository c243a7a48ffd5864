"""Where members keep their checkpoints, and which of them nobody needs any more."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

__all__ = ["Checkpoints"]


class Checkpoints:
    """The folders `<root>/<member>/<epoch>`, which trials make and fill.

    Args:
        root: Absolute.
        keeps_all: Never remove anything.
    """

    def __init__(self, root: Path, *, keeps_all: bool) -> None:
        self._root = root
        self._keeps_all = keeps_all
        self._issued: set[str] = set()  # and not removed

    def folder(self, member: int, epoch: int) -> str:
        return str(self._root / str(member) / str(epoch))

    def beginning(self, member: int) -> str:
        """What a member that begins anew is to load: nothing is there, unless the user puts it there."""
        return str(self._root / str(member) / "start")

    def issue(self, folder: str) -> None:
        """A trial saves there."""
        self._issued.add(folder)

    def prune(self, needed: Collection[str]) -> None:
        """Remove what was issued and is not needed, as far as it is here.

        A resumed experiment does this again, at the same points of the record: what was not needed then is
        not needed now.
        """
        for folder in sorted(self._issued.difference(needed)):
            self._issued.discard(folder)
            if not self._keeps_all and Path(folder).parent.parent == self._root:
                shutil.rmtree(folder, ignore_errors=True)  # on another machine's disk it just is not there
