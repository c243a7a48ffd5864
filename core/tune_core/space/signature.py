"""The search space in the hints and defaults of a function's parameters.

def train(lr: Annotated[float, tune.loguniform(1e-4, 1)] = 0.01, depth: Literal[2, 4] = 2, epochs=3): ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from tune_core.errors import SearchSpaceError

__all__ = ["Signature", "read_signature"]

TRIAL = "trial"
_EMPTY = inspect.Parameter.empty


class Signature(NamedTuple):
    """What a function's signature says.

    Attributes:
        space: The search space, as in a file.
        defaults: A configuration of the defaults, where every parameter of the space has one.
    """

    space: dict[str, Any]
    defaults: dict[str, Any] | None


def read_signature(function: Callable[..., Any]) -> Signature:
    """Read the search space of a function.

    A parameter is searched whose hint is `Annotated[..., tune.uniform(0, 1)]`, `Literal[...]` or `bool`, or
    whose default is such a `tune.uniform(0, 1)`. One with any other default keeps that.

    Raises:
        SearchSpaceError: A parameter has neither, or none is searched.
    """
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 (hints may name what is imported for type checkers only)
        hints = {}
    space: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    name = getattr(function, "__name__", "the function")
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or key == TRIAL:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise SearchSpaceError(f"{name}: {key} cannot be given by its name")
        has_spec = _is_spec(parameter.default)
        spec = parameter.default if has_spec else _spec_of(hints.get(key))
        if spec is not None:
            space[key] = spec
            if not has_spec and parameter.default is not _EMPTY:
                defaults[key] = parameter.default
        elif parameter.default is _EMPTY:
            raise SearchSpaceError(
                f"{name}: nothing says what {key} may be\n"
                f"  write {key}: Annotated[float, tune.uniform(0, 1)], or give it a default that stays"
            )
    if not space:
        raise SearchSpaceError(
            f"{name} says nothing of a search space\n"
            "  give one as the second argument, or hints such as x: Annotated[float, tune.uniform(0, 1)]"
        )
    return Signature(space, defaults if len(defaults) == len(space) else None)


def _spec_of(hint: Any) -> Any:
    """What a hint says a parameter may be; None if nothing."""
    if get_origin(hint) is Annotated:
        said = [each for each in hint.__metadata__ if _is_spec(each)]
        return said[-1] if said else _spec_of(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return {"_type": "choice", "_value": list(get_args(hint))}
    if hint is bool:
        return {"_type": "choice", "_value": [False, True]}
    return None


def _is_spec(value: Any) -> bool:
    return isinstance(value, Mapping) and "_type" in value and "_value" in value
