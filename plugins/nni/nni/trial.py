"""The functions that a trial calls, with NNI's rules over tune's."""

from __future__ import annotations

import os

from tune.trial import (
    get_current_parameter,
    get_experiment_id,
    get_next_parameter,
    get_next_parameters,
    get_parameters,
    get_sequence_id,
    get_trial_id,
)
from tune.trial import report_final_result as _report_final
from tune.trial import report_intermediate_result as _report_intermediate

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "get_current_parameter",
    "get_experiment_id",
    "get_next_parameter",
    "get_next_parameters",
    "get_parameters",
    "get_sequence_id",
    "get_trial_id",
    "overwrite_intermediate_seq",
    "report_final_result",
    "report_intermediate_result",
]


def report_intermediate_result(metric: Any) -> None:
    """Report how the trial is doing: see `tune.report_intermediate_result`.

    Raises:
        AssertionError: In an experiment, before `get_next_parameter`.
    """
    _require_parameters("report_intermediate_result")
    _report_intermediate(metric)


def report_final_result(metric: Any) -> None:
    """Report the result of the trial, once: see `tune.report_final_result`.

    Raises:
        AssertionError: In an experiment, before `get_next_parameter`.
    """
    _require_parameters("report_final_result")
    _report_final(metric)


def overwrite_intermediate_seq(value: int) -> None:
    """Say which number the next intermediate result has, in a trial that goes on from a checkpoint.

    It is only checked: here results have the number of their order in the attempt, and an assessor hears
    each of them whatever number a trial goes on with.

    Raises:
        AssertionError: `value` is no whole number from 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise AssertionError(f"an intermediate result has a number from 0, not {value!r}")


def _require_parameters(what: str) -> None:
    if "TUNE_PLATFORM" in os.environ and get_current_parameter() is None:
        raise AssertionError(f"nni.get_next_parameter() needs to be called before {what}")
