"""Where everything lies on a host, and what names may be part of a path.

    <root>/runtime/<digest>/tune/                the `tune` package, for the server and for trials
    <root>/experiments/<experiment>/             ExperimentFolder
        code/<digest>/tree/  manifest.json       `tune.host.code_tree`
        trials/<trial>/<attempt>/                what `tune.host.Launch` describes
        trials/<trial>/checkpoint/
        hosts/<label>/                           `tune.host.ownership`

The root may be on a network disk that several machines share: what belongs to one machine is under
its label. Folders are closed to others, whatever the umask.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Tuple

__all__ = [
    "GOING",
    "ExperimentFolder",
    "Key",
    "RefusedError",
    "check_key",
    "check_name",
    "experiments_in",
    "make_folder",
    "names_in",
    "private",
]

Key = Tuple[str, int]  # trial and attempt

GOING = ".removing-"  # in front of a name: it counts as gone

_TRIES = 200
_NAME = re.compile(r"[A-Za-z0-9_@+=,:-][A-Za-z0-9_@+=,:.-]{0,199}")


class RefusedError(ValueError):
    """A request that is not carried out, whoever sent it; the text is for a person."""


def check_name(value: Any, what: str) -> str:
    """`value`, if it can be the name of one file and nothing else.

    Raises:
        RefusedError: It cannot.
    """
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise RefusedError(f"{value!r} cannot be the name of {what}")


def check_key(value: Any) -> Key:
    """The key of an attempt, from `[trial, number]`.

    Raises:
        RefusedError: It is none.
    """
    if isinstance(value, list) and len(value) == 2 and type(value[1]) is int and value[1] >= 0:
        return check_name(value[0], "a trial"), value[1]
    raise RefusedError(f"{value!r} is no key of an attempt")


def make_folder(path: str) -> None:
    """Make a folder that is closed to others, and those above it; it may be there.

    Those above may be removed at this moment, by somebody who found them empty.
    """
    for _ in range(_TRIES - 1):
        try:
            _make_folder(path)
            return
        except FileNotFoundError:
            pass
    _make_folder(path)


def _make_folder(path: str) -> None:
    if not os.path.isdir(path):
        parent = os.path.dirname(path)
        if parent != path:
            _make_folder(parent)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise


def names_in(folder: str) -> list[str]:
    """What is in a folder, in order; nothing where there is none."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def experiments_in(root: str) -> list[str]:
    """The experiments that have a folder in the root."""
    return [name for name in names_in(os.path.join(root, "experiments")) if not name.startswith(".")]


def private(path: str, flags: int) -> int:
    """For `open(opener=...)`: a file that is closed to others."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


@dataclass(frozen=True)
class ExperimentFolder:
    """The folder of one experiment on this host."""

    root: str
    experiment: str

    @property
    def path(self) -> str:
        return os.path.join(self.root, "experiments", self.experiment)

    @property
    def code(self) -> str:
        return os.path.join(self.path, "code")

    def tree(self, digest: str) -> str:
        return os.path.join(self.code, digest, "tree")

    def attempt(self, key: Key) -> str:
        return os.path.join(self.path, "trials", key[0], str(key[1]))

    def checkpoint(self, trial: str) -> str:
        return os.path.join(self.path, "trials", trial, "checkpoint")

    def host(self, label: str) -> str:
        return os.path.join(self.path, "hosts", label)
