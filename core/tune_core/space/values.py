"""JSON values as the search space sees them: which are allowed, which are equal, how they are copied."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

__all__ = [
    "MAX_DEPTH",
    "MAX_VALUES",
    "copy_json",
    "describe",
    "freeze",
    "is_number",
    "json_problem",
    "size_problem",
]

MAX_DEPTH = 50
MAX_VALUES = 100_000


def is_number(value: Any) -> bool:
    """An int or a float. A bool is neither here, though Python has it otherwise."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def size_problem(value: Any) -> str | None:
    """Why `value` is too large to look at, or None.

    Walks without recursion and stops at the limits, so that neither a structure that contains
    itself nor one that was blown up by aliases can exhaust stack, memory or patience.
    """
    seen = 0
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} levels deep"
        if seen + len(waiting) > MAX_VALUES:
            return f"more than {MAX_VALUES:,} values"
        waiting.extend((child, depth + 1) for child in _children(item))
    return None


def json_problem(value: Any) -> str | None:
    """Why `value` cannot be written as JSON and read back, or None."""
    if isinstance(value, str):
        return None if _is_text(value) else f"{value!a} holds half a character (a lone surrogate)"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is not a number that JSON can hold"
    if value is None or isinstance(value, int):
        return None
    if isinstance(value, Mapping):
        bad_key = next((key for key in value if not isinstance(key, str) or not _is_text(key)), None)
        if bad_key is not None:
            return f"the key {bad_key!a} is not a string that JSON can hold"
    elif not isinstance(value, (list, tuple)):
        return f"{describe(value)} is a {type(value).__name__}, which JSON cannot hold"
    return next((problem for child in _children(value) if (problem := json_problem(child))), None)


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def copy_json(value: Any) -> Any:
    """A copy that shares nothing with `value`; tuples become lists, mappings dictionaries."""
    if isinstance(value, Mapping):
        return {key: copy_json(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [copy_json(child) for child in value]
    return value


def freeze(value: Any) -> Hashable:
    """A hashable stand-in, equal for equal JSON: 2 and 2.0 are, 1 and true are not."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, Mapping):
        return ("object", frozenset((key, freeze(child)) for key, child in value.items()))
    if isinstance(value, (list, tuple)):
        return ("array", *map(freeze, value))
    return value if isinstance(value, Hashable) else ("other", id(value))


def describe(value: Any, limit: int = 60) -> str:
    """`value` for an error message: on one line, printable and not too long."""
    text = ascii(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
