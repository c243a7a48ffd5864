"""ASHA: asynchronous successive halving. Whatever is among the best of its rung by now goes on at once.

Li, L. et al. (2020). A system for massively parallel hyperparameter tuning. MLSys 2020, algorithm 2.
https://proceedings.mlsys.org/paper/2020/hash/a06f20b349c6cf09a6b171c71b88bbfc-Abstract.html
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable
from typing import NamedTuple

from pydantic import Field

from tune_core import ConfigError, NoMoreTrial, Parameters, SearchSpace, TrialState
from tune_hyperband.brackets import halvings, rungs
from tune_hyperband.budgets import BudgetAdvisor, BudgetArguments

__all__ = ["AshaAdvisor"]

_MOST_HALVINGS = 3  # by default: R, R/3, R/9 and R/27 with eta = 3


class _Ended(NamedTuple):
    value: float
    number: int
    configuration: Parameters


class _Rung:
    """The trials that have ended at one budget."""

    def __init__(self, budget: int, eta: int) -> None:
        self.budget = budget
        self._eta = eta
        self._ranking: list[_Ended] = []  # those with a result, best first
        self._count = 0  # those without a result, too: they are ranked last
        self._promoted: set[int] = set()

    def end(self, number: int, value: float | None, configuration: Parameters) -> None:
        self._count += 1
        if value is not None:
            insort(self._ranking, _Ended(value, number, configuration), key=lambda one: one[:2])

    def promotable(self) -> _Ended | None:
        """The best that was not promoted yet, of the best 1/eta."""
        best = self._ranking[: self._count // self._eta]
        return next((one for one in best if one.number not in self._promoted), None)

    def promote(self, number: int) -> None:
        self._promoted.add(number)


class AshaAdvisor(BudgetAdvisor):
    """Promotes from the highest rung that has somebody to promote, else begins with a new configuration.

    Args:
        R: The budget of a whole training.
        eta: One of so many goes on.
        min_budget: The least budget; None: R / eta^3.
        budget_key: The key under which a trial finds its budget.

    Raises:
        ConfigError: `min_budget` is above R.
    """

    class Arguments(BudgetArguments):
        """What `classArgs` may hold beside what the kernel takes."""

        min_budget: int | None = Field(
            default=None, ge=1, description="The least budget of a trial. Null: R / eta^3, at least 1."
        )

    def __init__(
        self,
        R: int = 60,  # noqa: N803 (the paper's and NNI's name)
        eta: int = 3,
        min_budget: int | None = None,
        budget_key: str = "TRIAL_BUDGET",
    ) -> None:
        super().__init__(R, eta, budget_key)
        if min_budget is not None and min_budget > R:
            raise ConfigError(f"min_budget {min_budget} is above R {R}, the budget of a whole training")
        count = min(halvings(R, eta), _MOST_HALVINGS) if min_budget is None else halvings(R, eta, min_budget)
        self._budgets = [rung.budget for rung in rungs(1, R, eta, count)]

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Begins anew; trials that are running belong to no rung any more."""
        super().update_search_space(search_space)
        self._rungs = [_Rung(budget, self._eta) for budget in self._budgets]
        self._begun: set[Hashable] = set()
        self._running: dict[int, tuple[_Rung, Parameters]] = {}
        # What was proposed: number, rung, configuration, and who is promoted from where.
        self._proposed: tuple[int, _Rung, Parameters, tuple[_Rung, int] | None] | None = None

    def propose(self, parameter_id: int) -> Parameters | None:
        for below, above in reversed(list(zip(self._rungs, self._rungs[1:], strict=False))):
            if (best := below.promotable()) is not None:
                self._proposed = (parameter_id, above, best.configuration, (below, best.number))
                return self._with_budget(best.configuration, above.budget)
        configuration = self.draw(self.rng(parameter_id), self._begun | self._whole)
        if configuration is None:
            if self._running:
                return None
            raise NoMoreTrial("every configuration of the search space was begun, and none is to go on")
        self._proposed = (parameter_id, self._rungs[0], configuration, None)
        return self._with_budget(configuration, self._rungs[0].budget)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """What was proposed is on its rung now; a trial of the user's own is on none."""
        if self._proposed is None or self._proposed[0] != parameter_id:
            return
        _, rung, configuration, promotion = self._proposed
        self._proposed = None
        self._running[parameter_id] = (rung, configuration)
        if promotion is None:
            self._begun.add(self.space.key(configuration))
        else:
            below, number = promotion
            below.promote(number)

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        value = self.result(parameter_id, state, value)
        rung, configuration = self._running.pop(parameter_id, (None, {}))
        if rung is not None:
            rung.end(parameter_id, value, configuration)
