"""Printing: tables for people, JSON for programs, remarks on standard error."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

__all__ = [
    "clean",
    "duration",
    "number",
    "parameters_text",
    "print_json",
    "print_table",
    "remark",
    "when",
    "writes_unicode",
]


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


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns of text, the last one cut at the edge of a terminal; nothing but the titles if empty."""
    table = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *table, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in [[title.upper() for title in titles], *table]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line if room is None or len(line) <= room else line[: room - 1] + "…")


def clean(value: Any) -> str:
    """A value as text that cannot command the terminal."""
    text = "" if value is None else number(value) if isinstance(value, float) else str(value)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def number(value: float) -> str:
    return f"{value:.6g}"


def parameters_text(parameters: dict[str, Any]) -> str:
    """`lr=0.01 layers=3 optimizer=adam`."""
    return " ".join(f"{key}={_value_text(value)}" for key, value in parameters.items())


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value)


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


def when(moment: float | None) -> str:
    """Seconds since the epoch as local time."""
    return "" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def remark(text: str) -> None:
    with contextlib.suppress(OSError):  # a reader that went away must not end what goes on
        print(f"tune: {text}", file=sys.stderr)
