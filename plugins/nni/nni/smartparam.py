"""`nni.choice` and its like in code: what NNI put in the place of annotations.

Alone, a call draws at random, so that a script runs without an experiment. In a trial, `key` names the
parameter whose value is wanted, as in code that `nnictl` expanded; new code is better annotated and left
to tune, or asks `nni.get_next_parameter`.
"""

from __future__ import annotations

import os
import random
from typing import Any, Callable

from nni import parameter_expressions as expressions
from nni.trial import get_current_parameter, get_next_parameter

__all__ = ["function_choice", *expressions.__all__]  # noqa: PLE0604 (each has a function here)


class _Generator:
    """What `parameter_expressions` asks of NumPy, from the standard library's global generator."""

    uniform = staticmethod(random.uniform)
    normal = staticmethod(random.gauss)

    @staticmethod
    def randint(low: int, high: int | None = None) -> int:
        return random.randrange(low) if high is None else random.randrange(low, high)  # noqa: S311 (no secret)


def choice(*options: Any, key: str | None = None, name: str | None = None) -> Any:
    """One of the options; in a trial, of the single dictionary of options that NNI wrote."""
    if _is_alone():
        only = options[0] if len(options) == 1 else None
        return expressions.choice(
            list(only.values()) if isinstance(only, dict) else list(options), _Generator
        )
    chosen = _value("choice", key, name)
    only = options[0] if len(options) == 1 else None
    return only[chosen] if isinstance(only, dict) else chosen


def function_choice(*functions: Any, key: str | None = None, name: str | None = None) -> Any:
    """What one of the functions returns; the others are not called."""
    if _is_alone():
        only = functions[0] if len(functions) == 1 else None
        return expressions.choice(
            list(only.values()) if isinstance(only, dict) else list(functions), _Generator
        )()
    return functions[0][_value("function_choice", key, name)]()


def _of(what: str) -> Callable[..., Any]:
    def draw(*arguments: float, key: str | None = None, name: str | None = None) -> Any:
        if _is_alone():
            return getattr(expressions, what)(*arguments, _Generator)
        return _value(what, key, name)

    draw.__name__ = draw.__qualname__ = what
    draw.__doc__ = getattr(expressions, what).__doc__
    return draw


randint = _of("randint")
uniform = _of("uniform")
quniform = _of("quniform")
loguniform = _of("loguniform")
qloguniform = _of("qloguniform")
normal = _of("normal")
qnormal = _of("qnormal")
lognormal = _of("lognormal")
qlognormal = _of("qlognormal")


def _is_alone() -> bool:
    return "TUNE_PLATFORM" not in os.environ


def _value(what: str, key: str | None, name: str | None) -> Any:
    """The parameter `key`, or the one of an annotation with this name."""
    parameters = get_current_parameter()
    if parameters is None:
        parameters = get_next_parameter() or {}
    if key in parameters:
        return parameters[key]
    found = [each for each in parameters if name and (each == name or each.endswith(f"/{name}/{what}"))]
    if len(found) != 1:
        raise KeyError(
            f"nni.{what}: this trial has no parameter {key or name!r}; in an experiment, write an annotation "
            "(useAnnotation) or take the value from nni.get_next_parameter()"
        )
    return parameters[found[0]]
