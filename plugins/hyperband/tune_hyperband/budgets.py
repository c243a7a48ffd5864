"""What Hyperband and ASHA have in common: random configurations, a budget beside them, the last result."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tune_core import Advisor, Observation, Parameters, SearchSpace, SearchSpaceError, TrialState

__all__ = ["BudgetAdvisor", "BudgetArguments"]

_REDRAWS = 50  # random draws for a configuration that is not taken yet, before the space is enumerated


class BudgetArguments(BaseModel):
    """What `classArgs` of both may hold."""

    model_config = ConfigDict(extra="forbid")

    R: int = Field(default=60, ge=1, description="The budget of a whole training, in units of your choice.")
    eta: int = Field(default=3, ge=2, description="One of so many goes on, with so many times the budget.")
    budget_key: str = Field(
        default="TRIAL_BUDGET",
        min_length=1,
        description="The key under which a trial finds its budget. STEPS in the first releases of NNI.",
    )


class BudgetAdvisor(Advisor):
    """Base of advisors that run configurations on budgets: random ones, unless `draw` is overridden.

    A trial's result is its final one or, if it SUCCEEDED without, its last intermediate one.

    Attributes:
        space: Of the experiment, once there is one.
    """

    space: SearchSpace

    def __init__(self, R: int, eta: int, budget_key: str) -> None:  # noqa: N803 (the paper's and NNI's name)
        self._maximum = R
        self._eta = eta
        self._budget_key = budget_key
        self._last: dict[int, float] = {}  # last intermediate results of running trials
        self._whole: set[Hashable] = set()  # configurations that ran on the whole budget, as keys

    def update_search_space(self, search_space: SearchSpace) -> None:
        if self._budget_key in search_space:
            raise SearchSpaceError(
                f"{self._budget_key}: trials find their budget under this name; rename the parameter, or set "
                "classArgs.budget_key"
            )
        self.space = search_space
        self._whole = set()

    def report_intermediate(self, parameter_id: int, value: float) -> bool:
        self._last[parameter_id] = value
        return True

    def trial_restart(self, parameter_id: int) -> None:
        self._last.pop(parameter_id, None)

    def import_data(self, data: Sequence[Observation]) -> None:
        """What ran on the whole budget elsewhere, or without any, need not be run again."""
        for observation in data:
            parameters = observation.parameters
            budget = parameters.get(self._budget_key, self._maximum)
            is_number = isinstance(budget, (int, float))
            if is_number and budget >= self._maximum and self.space.contains(parameters, extra=True):
                self._whole.add(self.space.key(parameters))

    def _with_budget(self, configuration: Parameters, budget: int) -> Parameters:
        return {**configuration, self._budget_key: budget}

    def result(self, parameter_id: int, state: TrialState, value: float | None) -> float | None:
        """Of a trial that is over; None if it has none. Its intermediate results are forgotten."""
        last = self._last.pop(parameter_id, None)
        return last if value is None and state is TrialState.SUCCEEDED else value

    def draw(self, rng: np.random.Generator, taken: Collection[Hashable]) -> Parameters | None:
        """A configuration to begin with, random and not `taken`; None when all are. Leaves no trace."""
        for _ in range(_REDRAWS):
            configuration = self.space.sample(rng)
            if self.space.key(configuration) not in taken:
                return configuration
        if not self.space.is_finite:
            return configuration  # so narrow that floats repeat
        free = (each for each in self.space.grid() if self.space.key(each) not in taken)
        return next(free, None)
