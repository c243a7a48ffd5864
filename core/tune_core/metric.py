"""What a reported value must be: a finite number, or a dictionary with one under `default`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tune_core.errors import MetricError
from tune_core.json import dump_json

__all__ = ["Metric", "Mode", "orient"]

Mode = str
"""`maximize` or `minimize`."""

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class Metric:
    """A metric as reported.

    Attributes:
        default: The number that algorithms see; may be NaN or infinite.
        whole: What was reported: the number itself, or the dictionary that holds it.
    """

    default: float
    whole: Any

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.default)

    @classmethod
    def read(cls, value: Any) -> Metric:
        """Check a decoded channel value; non-finite floats arrive there as strings.

        Raises:
            MetricError: Not a number, nor a dictionary with a number under `default`.
        """
        if not isinstance(value, dict):
            whole = _named(value)
            return cls(_number(whole, "the reported value"), whole)
        if "default" not in value:
            keys = ", ".join(sorted(map(str, value))) or "none"
            raise MetricError(f"the reported dictionary has no key 'default' (keys: {keys})")
        whole = {**value, "default": _named(value["default"])}
        try:
            dump_json(whole)
        except (ValueError, TypeError, RecursionError) as err:
            raise MetricError(f"the reported dictionary is not JSON: {err}") from None
        return cls(_number(whole["default"], "the value under 'default'"), whole)


def orient(value: float, mode: Mode) -> float:
    """Turn the user's number into one where lower is better, or back."""
    return -value if mode == "maximize" else value


def _named(value: Any) -> Any:
    """A float that JSON does not have as the channel spells it; a reader makes 1e999 infinite."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _number(value: Any, what: str) -> float:
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise MetricError(
            f"{what} is {shown}; report a number, or a dictionary with a number under 'default'"
        )
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
