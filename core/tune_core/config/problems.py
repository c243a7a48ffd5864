"""One thing that is wrong with a configuration, and the error that carries all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from tune_core.errors import ConfigError

__all__ = ["KeyPath", "Place", "Problem", "did_you_mean", "error_of", "indented"]

MAX_SHOWN = 50

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
    """

    path: KeyPath
    message: str
    place: Place | None = None

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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'tuner'?`, or nothing when no name is near."""
    folded = {each.lower().replace("_", ""): each for each in known}
    near = difflib.get_close_matches(name.lower().replace("_", ""), folded, n=1)
    return f", did you mean {folded[near[0]]!r}?" if near else ""
