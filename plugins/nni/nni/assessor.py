"""`Assessor` and `AssessResult`: what custom assessors of NNI derive from and return."""

from __future__ import annotations

from enum import Enum
from typing import Any

__all__ = ["AssessResult", "Assessor"]


class AssessResult(Enum):
    """Whether a trial is worth going on."""

    Good = True
    Bad = False


class Assessor:
    """Judges running trials by what they report.

    Derive from it, and name the class under `assessor` with `className` and `codeDirectory`.
    """

    _checkpoint_path = ""

    def assess_trial(self, trial_job_id: str, trial_history: list[Any]) -> AssessResult:
        """Whether a trial goes on, from all that it reported so far; True and False will do, too."""
        raise NotImplementedError("Assessor: assess_trial not implemented")

    def trial_end(self, trial_job_id: str, success: bool) -> None:
        """A trial that reported something is over; `success` if it ended by itself, and well."""

    def load_checkpoint(self) -> None:
        """Not called: a resumed experiment calls a new assessor as it called the old one."""

    def save_checkpoint(self) -> None:
        """Not called: see `load_checkpoint`."""

    @classmethod
    def tune_algorithm(cls) -> type:
        """The kernel's class that runs this one."""
        from tune_nni.assessors import AssessorAdapter  # only where experiments are managed

        return AssessorAdapter.of(cls)
