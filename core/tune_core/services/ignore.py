"""The rules of gitignore: which files of a folder are left out.

Written out rather than taken from a library: what decides is whether git would leave a file out,
and the libraries that were tried differ from git on character classes, `a/**` and a lone backslash.
As in git a pattern is held against each entry on the way down, so a file below a folder that is
left out is never looked at, and no later pattern brings it back.

https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["IGNORE_FILES", "Rules", "RulesAbove", "is_left_out", "parse_rules"]

IGNORE_FILES = (".nniignore", ".tuneignore")
"""In any folder of the code; where a folder has both, the second comes last and so decides."""


@dataclass(frozen=True)
class _Rule:
    """One line.

    Attributes:
        negated: It brings back what an earlier line left out.
        folders_only: It ended in a slash.
        anchored: It is about the path from the file it stands in; otherwise about the name alone.
    """

    pattern: re.Pattern[bytes]
    negated: bool
    folders_only: bool
    anchored: bool


class Rules:
    """What one folder says about everything below it."""

    def __init__(self, rules: list[_Rule]) -> None:
        self._rules = rules[::-1]  # the last one that fits decides

    def decide(self, path: bytes, is_folder: bool) -> bool | None:
        """True: leave `path` out; False: keep it; None: nothing is said about it.

        Args:
            path: Relative to the folder that the rules are of.
        """
        name = path.rpartition(b"/")[2]
        for rule in self._rules:
            if rule.folders_only and not is_folder:
                continue
            if rule.pattern.fullmatch(path if rule.anchored else name):
                return not rule.negated
        return None


RulesAbove: TypeAlias = tuple[tuple[str, Rules], ...]
"""The rules of the folders on the way down to a place, by the paths of those folders."""


def is_left_out(path: str, is_folder: bool, above: RulesAbove) -> bool:
    """Whether the rules of the folders above leave out what is at `path`."""
    for base, rules in reversed(above):
        verdict = rules.decide(os.fsencode(path[len(base) + bool(base) :]), is_folder)
        if verdict is not None:
            return verdict
    return False


def parse_rules(text: bytes) -> Rules:
    """Read the lines of a `.tuneignore`. What makes no sense fits nothing, as in git."""
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return Rules([rule for line in lines if line and line[:1] != b"#" and (rule := _parse(line))])


def _parse(line: bytes) -> _Rule | None:
    line = _without_trailing_spaces(line.removesuffix(b"\r"))
    negated = line.startswith(b"!")
    line = line[negated:]
    folders_only = line.endswith(b"/")
    line = line[: len(line) - folders_only]
    anchored = b"/" in line
    try:
        expression = _expression(line.removeprefix(b"/"), anchored)
    except _FitsNothing:
        return None
    return _Rule(re.compile(expression, re.DOTALL), negated, folders_only, anchored)


def _without_trailing_spaces(line: bytes) -> bytes:
    """Without those that no backslash protects."""
    found = re.fullmatch(rb"((?:\\.|[^\\])*?) *", line, re.DOTALL)
    return found[1] if found else line  # it ends in a lone backslash


class _FitsNothing(Exception):  # noqa: N818 (it is no error)
    """The pattern is none: a bracket that is not closed, a backslash with nothing behind it."""


def _expression(pattern: bytes, anchored: bool) -> bytes:
    """The regular expression for a pattern; in names, which hold no slash, `*` takes everything."""
    any_one = b"[^/]" if anchored else b"."
    parts: list[bytes] = []
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if char == b"*":
            stars = len(pattern) - at - len(pattern[at:].lstrip(b"*"))
            rest = pattern[at + stars :]
            whole = stars > 1 and _begins_part(pattern, at) and (not rest or rest.startswith((b"/", b"\\/")))
            if anchored and whole and rest.startswith(b"/"):
                parts.append(b"(?:.*/)?")
                stars += 1
            else:
                parts.append(b".*" if whole else any_one + b"*")
            at += stars
        elif char == b"?":
            parts.append(any_one)
            at += 1
        elif char == b"[":
            length, one_of = _bracket(pattern[at:])
            parts.append(b"(?!/)" + one_of if anchored else one_of)
            at += length
        else:
            at += char == b"\\"
            if at == len(pattern):
                raise _FitsNothing
            parts.append(re.escape(pattern[at : at + 1]))
            at += 1
    return b"".join(parts)


def _begins_part(pattern: bytes, at: int) -> bool:
    """Whether `**` there may stand for folders.

    git compares what comes before the first special character by itself, and then takes what is
    left for a pattern from its start: `lib**/x` is `lib` and `**/x`.
    """
    before = pattern[:at]
    return before.endswith(b"/") or not re.search(rb"[*?\[\\]", before)


def _bracket(pattern: bytes) -> tuple[int, bytes]:
    """How much of a pattern its first bracket takes, and an expression for one byte of the set."""
    at = 1
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    taken: set[int] = set()
    before: int | None = None  # what a `-` would begin at
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        if found := re.compile(rb"\[:([^\]]*):\]").match(pattern, at):
            taken |= _members(found[1])
            at, before = found.end(), None
        elif (
            before is not None
            and pattern[at : at + 1] == b"-"
            and pattern[at + 1 : at + 2] not in (b"", b"]")
        ):
            last, at = _literal(pattern, at + 1)
            taken |= set(range(before, last + 1))
            before = None
        else:
            before, at = _literal(pattern, at)
            taken.add(before)
    inside = b"".join(re.escape(bytes([byte])) for byte in sorted(taken))
    if not inside:
        return at + 1, b"." if negated else b"(?!)"
    return at + 1, b"[" + b"^" * negated + inside + b"]"


def _literal(pattern: bytes, at: int) -> tuple[int, int]:
    """The byte that stands at a place in a bracket, and where it goes on."""
    at += pattern[at : at + 1] == b"\\"
    if at >= len(pattern):
        raise _FitsNothing
    return pattern[at], at + 1


def _members(name: bytes) -> set[int]:
    """The bytes of `[:name:]`."""
    classes = dict(_classes())
    if name not in classes:
        raise _FitsNothing
    return set(classes[name].encode("ascii"))


def _classes() -> Iterator[tuple[bytes, str]]:
    letters, digits, marks = string.ascii_letters, string.digits, string.punctuation
    yield from ((b"alpha", letters), (b"digit", digits), (b"alnum", letters + digits), (b"punct", marks))
    yield from ((b"lower", string.ascii_lowercase), (b"upper", string.ascii_uppercase))
    yield from ((b"xdigit", string.hexdigits), (b"blank", " \t"), (b"space", " \t\n\v\f\r"))
    yield from ((b"graph", letters + digits + marks), (b"print", letters + digits + marks + " "))
    yield b"cntrl", "".join(map(chr, [*range(32), 127]))
