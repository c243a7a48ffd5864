"""Threshold: a trial that reports a value beyond a fixed bound has gone wrong, or is good enough to stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tune_core import Assessor, ConfigError

__all__ = ["ThresholdAssessor"]


class ThresholdAssessor(Assessor):
    """Stop a trial that reports less than `lower` or more than `upper`, in the user's own numbers.

    Args:
        user_mode: Which way round the user's numbers are; the kernel says.
        lower: The least value that may be reported.
        upper: The greatest value that may be reported.
        start_step: Let every trial reach this number of results.

    Raises:
        ConfigError: There is no bound, or nothing between the two.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        lower: float | None = Field(default=None, description="The least value that may be reported.")
        upper: float | None = Field(default=None, description="The greatest value that may be reported.")
        start_step: int = Field(default=0, ge=0, description="Results before a trial is judged.")

        @model_validator(mode="after")
        def _has_a_bound(self) -> ThresholdAssessor.Arguments:
            _check_bounds(self.lower, self.upper)
            return self

    def __init__(
        self,
        user_mode: Literal["minimize", "maximize"],
        lower: float | None = None,
        upper: float | None = None,
        start_step: int = 0,
    ) -> None:
        _check_bounds(lower, upper)
        self._sign = -1.0 if user_mode == "maximize" else 1.0  # what is maximised arrives negated
        self._lower = float("-inf") if lower is None else lower
        self._upper = float("inf") if upper is None else upper
        self._start_step = start_step

    def assess_trial(self, trial_id: str, history: Sequence[float]) -> bool:
        value = self._sign * history[-1]
        return len(history) < self._start_step or self._lower <= value <= self._upper


def _check_bounds(lower: float | None, upper: float | None) -> None:
    if lower is None and upper is None:
        raise ConfigError("Threshold needs a bound: lower, upper or both")
    if lower is not None and upper is not None and lower > upper:
        raise ConfigError(f"lower {lower} is greater than upper {upper}: every trial would be stopped")
