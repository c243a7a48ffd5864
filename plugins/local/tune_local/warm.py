"""Warm starts for the local service: when to use them, and what to do when they cannot be.

A trial starts cold whenever a warm start is not there at once: while the parent imports, after the
script was changed, when the parent refuses or has died. So warm is never slower than cold.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tune.host import Launch
from tune.host.environment import NAMES_IN_NNI
from tune.host.launch import Started
from tune.host.processes import MARK
from tune.host.warm import NotWarm, PythonCommand, WarmParent, read_command

__all__ = ["WarmStarts"]

_log = logging.getLogger(__name__)

_DEATHS = 3  # of parents, before no other is tried


class WarmStarts:
    """Keeps a parent for the trials' script, and forks trials from it.

    Args:
        log: The file for what importing prints.
        open_files: The soft limit of open files for trials.
        forked: Called with a key and its trial, which waits at the gate.
        unanswered: Called with a key whose fork will not come; it must start cold.
    """

    def __init__(
        self,
        log: Path,
        open_files: int,
        forked: Callable[[Any, Started], None],
        unanswered: Callable[[Any], None],
    ) -> None:
        self._log_file = log
        self._open_files = open_files
        self._forked = forked
        self._unanswered = unanswered
        self._loop = asyncio.get_running_loop()
        self._parent: WarmParent | None = None
        self._made_for: tuple[PythonCommand, str, dict[str, str]] | None = None
        self._deaths = 0
        self._said: set[str] = set()

    def fork(self, key: Any, launch: Launch) -> bool:
        """Start `key` warm: `forked` or `unanswered` will be called. False: start it cold."""
        if self._deaths >= _DEATHS:
            return False
        try:
            command = read_command(launch.command, launch.code_directory, launch.environment)
            return self._fork(key, launch, (command, launch.code_directory, _common(launch.environment)))
        except (NotWarm, OSError) as reason:
            self._say(str(reason))
            return False

    def close(self) -> None:
        """Let the parent go; its forks go on."""
        if self._parent is not None:
            self._drop(self._parent)

    def _fork(self, key: Any, launch: Launch, made_for: tuple[PythonCommand, str, dict[str, str]]) -> bool:
        parent = self._parent
        if parent is not None and (self._made_for != made_for or not parent.is_current):
            self._drop(parent)
            parent = None
        if parent is None:
            self._log_file.parent.mkdir(mode=0o700, exist_ok=True)
            parent = WarmParent(*made_for, self._open_files, str(self._log_file))
            self._parent, self._made_for = parent, made_for
            self._loop.add_reader(parent.fileno(), self._receive, parent)
        if not parent.ready:
            return False
        parent.fork(key, launch)
        return True

    def _receive(self, parent: WarmParent) -> None:
        forks = parent.receive()
        for fork in forks or ():
            self._forked(fork.key, fork.started)
        if forks is not None:
            return
        if parent.refusal:
            self._say(parent.refusal)
            self._loop.remove_reader(parent.fileno())  # kept, so that a changed script is noticed
        else:
            self._deaths += 1
            self._say(f"the process to fork from has died; see {self._log_file}")
            self._drop(parent)

    def _drop(self, parent: WarmParent) -> None:
        self._loop.remove_reader(parent.fileno())
        self._parent = None
        for key in parent.close():
            self._loop.call_soon(self._unanswered, key)  # not within `fork`

    def _say(self, reason: str) -> None:
        if reason not in self._said:
            self._said.add(reason)
            _log.warning("trials are started cold: %s", reason)


def _common(environment: Mapping[str, str]) -> dict[str, str]:
    """What the environments of all trials have in common."""
    return {
        name: value
        for name, value in environment.items()
        if name == MARK or not (name.startswith("TUNE_") or name in {"CUDA_VISIBLE_DEVICES", *NAMES_IN_NNI})
    }
