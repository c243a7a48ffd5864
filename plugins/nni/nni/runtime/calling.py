"""Calling methods that were written for different versions of NNI."""

from __future__ import annotations

import inspect
from typing import Any, Callable

__all__ = ["accepted"]


def accepted(function: Callable[..., Any], extras: dict[str, Any]) -> dict[str, Any]:
    """Those of the named arguments that `function` takes: what is handed over grew with the versions."""
    parameters = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return extras
    return {name: value for name, value in extras.items() if name in parameters}
