"""The tree of errors that a user can cause.

Library code raises these; only the command line prints them and chooses an exit code. Anything that
is not a `TuneError` is a bug of ours and keeps its traceback.

A message has four parts where they apply: what is wrong, the value seen and where, what would be
right, what to do next. The first line is the error itself; further lines are indented by two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tune_core.config.problems import Problem

__all__ = [
    "AlgorithmError",
    "ConfigError",
    "ExperimentBusyError",
    "ExperimentNotFoundError",
    "MetricError",
    "NoMoreTrial",
    "PluginError",
    "SearchSpaceError",
    "SpaceProblem",
    "StoreError",
    "TrainingServiceError",
    "TuneError",
]


class TuneError(Exception):
    """Base of every error that a user can cause, and can mend.

    `exit_code` is what the command line ends with: 1 failed, 2 usage or configuration, 3 not found,
    4 conflict, 5 unreachable.
    """

    exit_code = 1


class ConfigError(TuneError, ValueError):
    """The configuration is wrong.

    Attributes:
        problems: Every problem found, not only the first; empty when `message` says it all.
    """

    exit_code = 2

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class SpaceProblem(NamedTuple):
    """One thing that is wrong with a search space, or with a configuration of it."""

    path: str  # for a person, "layer0.Conv.kernel_size"; empty for the whole
    message: str
    keys: tuple[str | int, ...] = ()  # the same place in the JSON, to find its line in a file


class SearchSpaceError(TuneError, ValueError):
    """The search space is wrong, or an algorithm cannot take it, or a configuration is not in it.

    Attributes:
        problems: Every problem found, not only the first; empty when `message` says it all.
    """

    exit_code = 2

    def __init__(self, message: str, problems: Sequence[SpaceProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class PluginError(TuneError):
    """A plugin is missing, broken, or named ambiguously."""

    exit_code = 2


class MetricError(TuneError, ValueError):
    """A trial reported something that is not a metric."""


class AlgorithmError(TuneError):
    """A tuner, assessor or advisor raised, or answered what its contract forbids."""


class TrainingServiceError(TuneError):
    """The platform refused or failed in a way that the user can do something about."""

    exit_code = 5


class StoreError(TuneError, OSError):
    """The experiment's record cannot be read or written."""


class ExperimentNotFoundError(TuneError, LookupError):
    """No experiment, or no trial, with that id."""

    exit_code = 3


class ExperimentBusyError(TuneError):
    """Another manager holds the experiment, or its state forbids the request."""

    exit_code = 4


class NoMoreTrial(TuneError):  # noqa: N818 (the field's name for it; NNI's NoMoreTrialError)
    """Raised by an algorithm that will never propose again; to say "not now", return None."""
