"""Printing: tables for people, JSON for programs, remarks on standard error."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

__all__ = [
    "clean",
    "duration",
    "in_a_line",
    "number",
    "parameters_text",
    "print_json",
    "print_parameters",
    "print_table",
    "remark",
    "size",
    "when",
    "writes_unicode",
]


_SAID = "; last lines of stderr:\n"
HINT = "hint: "
"""How the line begins that says what to do about a failure."""


def print_json(value: Any) -> None:
    """Strict JSON: what is not finite becomes null."""
    escape = not writes_unicode(sys.stdout)
    print(json.dumps(_finite(value), indent=2, allow_nan=False, ensure_ascii=escape, default=str))


def writes_unicode(file: TextIO) -> bool:
    """Whether a file takes every character, so that JSON need not escape it."""
    return (file.encoding or "utf-8").lower().startswith("utf")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[Any]], elide: Sequence[tuple[str, int]] = ()
) -> None:
    """Columns of text, cut at the edge of a terminal; nothing but the titles if empty.

    The last cell of a line that holds anything has all the room to the edge.

    Args:
        elide: Columns that give way on a terminal, in this order, each down to a width; those
            down to 0 go altogether.
    """
    table = [[title.upper() for title in titles], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if room is not None:
        _narrow(widths, room, [(titles.index(title), least) for title, least in elide])
    for row in table:
        shown = [(cell, width) for cell, width in zip(row, widths, strict=True) if width]
        while len(shown) > 1 and not shown[-1][0]:
            shown.pop()
        cells = [_cut(cell, width).ljust(width) for cell, width in shown[:-1]]
        line = "  ".join([*cells, shown[-1][0]]).rstrip()
        print(line if room is None else _cut(line, room))


def _narrow(widths: list[int], room: int, elide: Iterable[tuple[int, int]]) -> None:
    """Take from the columns that may give way until a line has `room`."""
    for column, least in elide:
        excess = sum(width + 2 for width in widths if width) - 2 - room
        if excess > 0:
            widths[column] = min(widths[column], max(least, widths[column] - excess)) if least else 0


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def clean(value: Any) -> str:
    """A value as text that cannot command the terminal."""
    text = "" if value is None else number(value) if isinstance(value, float) else str(value)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def number(value: float) -> str:
    return f"{value + 0.0:.6g}"  # the sum has no negative zero


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """`lr=0.01 layers=3 model._name=svm model.C=0.1`."""
    return " ".join(f"{name}={text}" for name, text in flat(parameters))


def print_parameters(parameters: Mapping[str, Any], indent: str = "  ") -> None:
    """A line for each, those inside others by their whole name."""
    for name, text in flat(parameters):
        print(f"{indent}{clean(name)}: {clean(text)}")


def flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values as text; what lies in a mapping has a dotted name."""
    for name, value in parameters.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _value_text(value)


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return f"[{', '.join(_value_text(each) for each in value)}]"
    return value if isinstance(value, str) else json.dumps(value)


def in_a_line(reason: str) -> str:
    """Why a trial failed, in one line: what it said last instead of all that it said."""
    told, _, said = reason.partition(_SAID)
    lines = [line.strip() for line in said.splitlines() if not line.startswith(HINT)]
    lines = [line for line in lines if any(map(str.isalnum, line))]  # and no rules, as torchrun draws them
    return f"{told}: {lines[-1]}" if lines else reason.partition("\n")[0]


def duration(seconds: float | None) -> str:
    """`7.3s`, `12m 5s`, `3h 20m`, `2d 4h`."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {whole % 60}s"


def size(count: int | None) -> str:
    """Bytes as `812 B`, `4.3 KiB`, `120 MiB`."""
    if count is None:
        return ""
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1024
        del units[0]
    return f"{amount:.3g} {units[0]}"


def when(moment: float | None) -> str:
    """Seconds since the epoch as local time."""
    return "" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def remark(text: str) -> None:
    with contextlib.suppress(OSError):  # a reader that went away must not end what goes on
        print(f"tune: {text}", file=sys.stderr)
