"""What trial scripts need beside parameters and metrics."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar

    Base = TypeVar("Base")

__all__ = ["merge_parameter"]


def merge_parameter(base_params: Base, override_params: Mapping[str, Any]) -> Base:
    """Overwrite the values of `base_params` by those of `override_params`, and return it.

    Args:
        base_params: An `argparse.Namespace` or a dictionary, changed in place.
        override_params: Usually `tune.get_next_parameter()`. Each key must be in `base_params`, with
            a value of the same type there; None there takes anything. An int is taken for a float,
            and a float without fraction for an int.

    Raises:
        TypeError: `override_params` is no mapping, or a value has another type than its default.
        ValueError: A key is not in `base_params`.
    """
    if not hasattr(override_params, "items"):
        raise TypeError(f"the parameters to merge are a dictionary, not {type(override_params).__name__}")
    values: Any = base_params if isinstance(base_params, dict) else vars(base_params)
    merged = {key: _converted(key, value, values) for key, value in override_params.items()}
    values.update(merged)  # all or nothing
    return base_params


def _converted(key: str, value: Any, defaults: Mapping[str, Any]) -> Any:
    if key not in defaults:
        raise ValueError(
            f"parameter {key!r} is not among the script's: {', '.join(sorted(map(str, defaults)))}"
        )
    default = defaults[key]
    if default is None or type(value) is type(default):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if type(default) is float:
            return float(value)
        if type(default) is int and float(value).is_integer():
            return int(value)
    raise TypeError(
        f"parameter {key!r} is {value!r} ({type(value).__name__}), "
        f"but its default is {default!r} ({type(default).__name__})"
    )
