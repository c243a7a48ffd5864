"""The functions that a trial calls.

Inside an experiment (`TUNE_PLATFORM` is set) they read what the manager left in the environment
and report through the trial's channel. Alone, parameters are `{}` or the JSON object in the
environment variable `TUNE_PARAMETERS`, and reports are printed.
"""

from __future__ import annotations

import _thread
import os

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from typing import Any

    from tune.channel import Carrier

__all__ = [
    "get_checkpoint_dir",
    "get_current_parameter",
    "get_experiment_id",
    "get_next_parameter",
    "get_next_parameters",
    "get_output_dir",
    "get_parameters",
    "get_sequence_id",
    "get_trial_id",
    "report_final_result",
    "report_intermediate_result",
]

STANDALONE = "STANDALONE"

_parameters: dict[str, Any] | None = None
_carrier: Carrier | None = None
# Held from the first final result on. A lock rather than a flag: of two threads one gets it.
_final_reported = _thread.allocate_lock()


def get_next_parameter() -> dict[str, Any] | None:
    """The configuration that this trial is to evaluate.

    The first call returns it, later calls return None, as in NNI; `get_current_parameter` returns
    it as often as you like. Alone, every call returns `TUNE_PARAMETERS` or `{}`.
    """
    global _parameters
    if _parameters is not None and not _is_standalone():
        return None
    _parameters = _read_parameters()
    return _parameters


get_parameters = get_next_parameter  # its name up to NNI 0.2
get_next_parameters = get_next_parameter


def get_current_parameter(tag: str | None = None) -> Any:
    """What `get_next_parameter` returned last, or its value for `tag`; None before the first call."""
    if tag is None or _parameters is None:
        return _parameters
    return _parameters[tag]


def report_intermediate_result(metric: Any) -> None:
    """Report how the trial is doing, for instance once per epoch.

    Args:
        metric: A number, a NumPy or torch scalar, or a dictionary whose key `default` is one and
            whose other values are JSON. Where the experiment optimizes metrics by name, these stand in
            place of `default`. NaN and infinity are passed on as what they are.

    Raises:
        TypeError: It is something else.
        ValueError: A dictionary without a number, or more than 1 MiB of JSON.
    """
    from tune.channel import INTERMEDIATE, check_metric

    _send(INTERMEDIATE, check_metric(metric))


def report_final_result(metric: Any) -> None:
    """Report the result of the trial. On disk when this returns. The first one counts: another is
    refused with a warning. Takes and raises what `report_intermediate_result` does."""
    from tune.channel import FINAL, check_metric

    metric = check_metric(metric)
    if not _final_reported.acquire(False):
        import warnings

        warnings.warn(
            f"this trial has already reported its final result; {metric!r} is ignored",
            RuntimeWarning,
            stacklevel=2,
        )
        return
    try:
        _send(FINAL, metric)
    except BaseException:
        _final_reported.release()  # nothing was reported: it may be tried again
        raise


def get_experiment_id() -> str:
    """The experiment's id; `STANDALONE` outside an experiment."""
    return os.environ.get("TUNE_EXPERIMENT_ID", STANDALONE)


def get_trial_id() -> str:
    """The trial's id, the same for every attempt at it; `STANDALONE` outside an experiment."""
    return os.environ.get("TUNE_TRIAL_ID", STANDALONE)


def get_sequence_id() -> int:
    """The trial's place in the order of submission, from 0; 0 outside an experiment."""
    return int(os.environ.get("TUNE_TRIAL_SEQUENCE", "0"))


def get_checkpoint_dir() -> str:
    """A folder that survives retries: what a lost attempt left here, the next one finds. It exists.

    Outside an experiment it is `tune-standalone/checkpoint` in the working directory.
    """
    return _folder("TUNE_CHECKPOINT_DIR", "checkpoint")


def get_output_dir() -> str:
    """A folder for whatever this attempt produces; kept with the experiment. It exists.

    Outside an experiment it is `tune-standalone/output` in the working directory.
    """
    return _folder("TUNE_OUTPUT_DIR", "output")


def _is_standalone() -> bool:
    return "TUNE_PLATFORM" not in os.environ


def _folder(variable: str, name: str) -> str:
    path = os.environ.get(variable) or os.path.join(os.getcwd(), "tune-standalone", name)
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def _read_parameters() -> dict[str, Any]:
    import json

    path = os.environ.get("TUNE_PARAMETER_FILE")
    if path is None:
        source, text = "TUNE_PARAMETERS", os.environ.get("TUNE_PARAMETERS", "{}")
    else:
        source = path
        with open(path, encoding="utf-8") as file:
            text = file.read()
    try:
        parameters = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{source}: not JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise TypeError(f'{source}: parameters are a JSON object such as {{"lr": 0.1}}, not {text[:200]}')
    return parameters


def _send(kind: str, value: Any) -> None:
    global _carrier
    if _carrier is None:
        from tune.channel import Console, open_carrier

        _carrier = Console() if _is_standalone() else open_carrier(os.environ)
    _carrier.send(kind, value)
