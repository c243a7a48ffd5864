"""One thing that is wrong with a configuration, and the error that carries all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from tune_core.errors import ConfigError

__all__ = [
    "REQUIRED",
    "KeyPath",
    "Place",
    "Problem",
    "did_you_mean",
    "error_of",
    "folded",
    "indented",
    "near_file",
    "nearest",
    "without_echoes",
]

MAX_SHOWN = 50
REQUIRED = "is required"  # how each message begins that tells of a key which is not there

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Place:
    """Where something is written; line and column count from 1, 0 when unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Keys and indices that lead to it; empty for the whole.
        message: What is wrong and the value seen, then in further lines what would be right.
        meant: The key that this one probably is a misspelling of.
    """

    path: KeyPath
    message: str
    place: Place | None = None
    meant: str = ""

    def within(self, prefix: KeyPath) -> Problem:
        """The same problem, seen from further out."""
        return replace(self, path=(*prefix, *self.path))

    @property
    def key(self) -> str:
        """The path as a person writes it: `tuner.classArgs.tpe_args`, `machineList[0].host`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place or ""), self.key, self.message) if part)


def error_of(problems: Sequence[Problem], subject: str = "the configuration") -> ConfigError:
    """All of `problems` as one error."""
    if len(problems) == 1:
        return ConfigError(str(problems[0]), problems)
    lines = [f"{subject} has {len(problems)} problems"]
    lines += [indented(str(problem)) for problem in problems[:MAX_SHOWN]]
    if len(problems) > MAX_SHOWN:
        lines.append(f"  and {len(problems) - MAX_SHOWN} more")
    return ConfigError("\n".join(lines), problems)


def indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())


def without_echoes(problems: Iterable[Problem]) -> list[Problem]:
    """`problems`, without those keys that are required only because another problem hides them.

    A key that is misspelt is not missing as well, and neither is one inside of what is no section.
    """
    problems = list(problems)
    there = {problem.path for problem in problems if not problem.message.startswith(REQUIRED)}
    there |= {(*problem.path[:-1], problem.meant) for problem in problems if problem.meant}

    def is_echo(problem: Problem) -> bool:
        above = {problem.path[:length] for length in range(1, len(problem.path) + 1)}
        return problem.message.startswith(REQUIRED) and not there.isdisjoint(above)

    return [problem for problem in problems if not is_echo(problem)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'tuner'?`, or nothing when no name is near."""
    near = nearest(name, known)
    return f", did you mean {near!r}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of `known` that `name` is most like, or nothing."""
    spellings = {folded(each): each for each in known}
    near = difflib.get_close_matches(folded(name), spellings, n=1)
    return spellings[near[0]] if near else ""


def folded(key: str) -> str:
    """What keys are compared by: case and underscores do not matter."""
    return key.replace("_", "").lower()


def near_file(path: Path) -> str:
    """`, did you mean 'train.py'?`, or nothing when no name in its folder is near."""
    try:
        return did_you_mean(path.name, (each.name for each in path.parent.iterdir()))
    except OSError:
        return ""
