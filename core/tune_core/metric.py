"""What a reported value must be: a finite number, or a dictionary with one under `default`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tune_core.errors import MetricError

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
        if isinstance(value, dict):
            if "default" not in value:
                keys = ", ".join(sorted(map(str, value))) or "none"
                raise MetricError(f"the reported dictionary has no key 'default' (keys: {keys})")
            return cls(_number(value["default"], "the value under 'default'"), value)
        return cls(_number(value, "the reported value"), value)


def orient(value: float, mode: Mode) -> float:
    """Turn the user's number into one where lower is better, or back."""
    return -value if mode == "maximize" else value


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
