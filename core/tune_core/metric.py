"""What a reported value must be: a finite number, or a dictionary of them under the keys that count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_core.errors import MetricError
from tune_core.json import dump_json

__all__ = ["MODES", "Metric", "Mode", "orient"]

Mode = str
"""`maximize` or `minimize`."""

MODES = ("minimize", "maximize")

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class Metric:
    """A metric as reported.

    Attributes:
        numbers: What counts of it, by key, the primary objective first; may be NaN or infinite.
        whole: What was reported: the number itself, or the dictionary that holds it.
    """

    numbers: Mapping[str, float]
    whole: Any

    @property
    def value(self) -> float:
        """The primary objective."""
        return next(iter(self.numbers.values()))

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, self.numbers.values()))

    @classmethod
    def read(cls, value: Any, keys: Sequence[str] = ("default",)) -> Metric:
        """Check a decoded channel value; non-finite floats arrive there as strings.

        Args:
            value: A number stands for a dictionary with it under the first of `keys`.
            keys: What must be there, each a number.

        Raises:
            MetricError: Something is not.
        """
        if not isinstance(value, dict):
            whole = _named(value)
            number = _number(whole, "the reported value", keys)
            if len(keys) > 1:
                wanted = ", ".join(keys)
                raise MetricError(
                    f"the reported value is one number; report a dictionary with the keys {wanted}"
                )
            return cls({keys[0]: number}, whole)
        missing = [key for key in keys if key not in value]
        if missing:
            there = ", ".join(sorted(map(str, value))) or "none"
            which = f"key {missing[0]!r}" if len(missing) == 1 else f"keys {', '.join(map(repr, missing))}"
            hint = "; a configuration may name others: `optimize_mode: {KEY: maximize}`"
            hint = hint if missing == ["default"] else ""
            raise MetricError(f"the reported dictionary has no {which} (keys: {there}){hint}")
        whole = {**value, **{key: _named(value[key]) for key in keys}}
        try:
            dump_json(whole)
        except (ValueError, TypeError, RecursionError) as err:
            raise MetricError(f"the reported dictionary is not JSON: {err}") from None
        return cls({key: _number(whole[key], f"the value under {key!r}", (key,)) for key in keys}, whole)

    def __str__(self) -> str:
        """The numbers that count; their keys are named where one might wonder which."""
        if not isinstance(self.whole, dict) or list(self.numbers) == ["default"]:
            return str(self.value)
        return ", ".join(f"{key} {number}" for key, number in self.numbers.items())


def orient(value: float, mode: Mode) -> float:
    """Turn the user's number into one where lower is better, or back."""
    return -value if mode == "maximize" else value


def _named(value: Any) -> Any:
    """A float that JSON does not have as the channel spells it; a reader makes 1e999 infinite."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _number(value: Any, what: str, keys: Sequence[str]) -> float:
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        places = " and ".join(map(repr, keys))
        more = "a number" if len(keys) == 1 else "numbers"
        either = "a number, or " if len(keys) == 1 else ""
        raise MetricError(f"{what} is {shown}; report {either}a dictionary with {more} under {places}")
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
