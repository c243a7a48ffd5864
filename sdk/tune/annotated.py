"""What the expanded code of an annotated script calls; people write annotations instead.

`tune-annotation` puts calls of these functions where a script has `@nni.` or `@tune.` in a string. Every
key is a parameter of the search space that was read out of the same script.
"""

from __future__ import annotations

from tune import trial

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = [
    "get_next_parameter",
    "is_chosen",
    "no_option",
    "report_final_result",
    "report_intermediate_result",
    "takes",
    "value",
]

report_intermediate_result = trial.report_intermediate_result
report_final_result = trial.report_final_result


def value(key: str) -> Any:
    """The value of a parameter.

    Raises:
        KeyError: This trial has no such parameter.
    """
    parameters = _all()
    if key not in parameters:
        raise _MissingError(key)
    return parameters[key]


def is_chosen(key: str, option: Any) -> bool:
    """Whether a parameter is `option`, which is the text of an expression, a number or a string."""
    chosen = value(key)
    if isinstance(chosen, dict) and "_value" in chosen:  # as of layers: {"_value": name, "_idx": index}
        chosen = chosen["_value"]
    # 1 is no True here, though Python calls them equal.
    return bool(chosen == option) and isinstance(chosen, bool) == isinstance(option, bool)


def takes(key: str, name: str) -> bool:
    """Whether `name` is among the inputs that were chosen: a list, or `{"_value": names, "_idx": ...}`."""
    chosen = value(key)
    names = chosen["_value"] if isinstance(chosen, dict) else chosen
    return name in ([names] if isinstance(names, str) else names)


def no_option(key: str) -> NoReturn:
    """Where none of the options is the value.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"parameter {key!r} is {value(key)!r}, which is none of the options in the code")


def get_next_parameter() -> dict[str, Any]:
    """All parameters. Unlike `tune.get_next_parameter` it returns them as often as it is called."""
    return _all()


class _MissingError(KeyError):
    def __str__(self) -> str:
        return (
            f"this trial has no parameter {self.args[0]!r}. Code that was expanded runs in an experiment, or "
            "with the parameters as JSON in TUNE_PARAMETERS; alone run the annotated script itself"
        )


_parameters: dict[str, Any] | None = None


def _all() -> dict[str, Any]:
    """The parameters, read once, or as the script read them itself in another file."""
    global _parameters
    if _parameters is None:
        found = trial.get_current_parameter()
        if found is None:
            found = trial.get_next_parameter()
        _parameters = found if found is not None else {}
    return _parameters
