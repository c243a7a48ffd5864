"""Checks of `classArgs` that an algorithm brings: NNI's class, for code that derives from it."""

from __future__ import annotations

from typing import Any

__all__ = ["ClassArgsValidator"]


class ClassArgsValidator:
    """Derive from it and override `validate_class_args`, which raises what is wrong."""

    def validate_class_args(self, **kwargs: Any) -> None:
        """Check the arguments of the class; this one takes them all."""

    def choices(self, key: str, *values: Any) -> Any:
        """For the `schema` library: one of some values."""
        from schema import And  # the library of those who validate with it

        return And(lambda given: given in values, error=f"{key} is not one of {values}")

    def range(self, key: str, keyType: type, start: Any, end: Any) -> Any:  # noqa: N803 (NNI's name)
        """For the `schema` library: a number of a type within bounds, both included."""
        from schema import And

        return And(
            And(keyType, error=f"{key} is no {keyType.__name__}"),
            And(lambda given: start <= given <= end, error=f"{key} is not in {start}..{end}"),
        )
