"""Hyperband: successive halving in brackets that trade the number of configurations for their budget.

Li, L. et al. (2018). Hyperband: a novel bandit-based approach to hyperparameter optimization. Journal of
Machine Learning Research 18, 1-52. https://jmlr.org/papers/v18/16-558.html
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from tune_core import ConfigError, NoMoreTrial, Observation, Parameters, SearchSpace, TrialState
from tune_hyperband.brackets import Rung, brackets, rungs
from tune_hyperband.budgets import BudgetAdvisor, BudgetArguments

__all__ = ["Bracket", "HyperbandAdvisor"]

_USED_UP = "every configuration of the search space ran on the whole budget"


class _Ended(NamedTuple):
    value: float
    number: int  # in order of start: of two equal results the older goes on
    configuration: Parameters


class Bracket:
    """One bracket under way.

    A rung is over when all of it was started and has ended. A trial without a result is ranked last, and
    does not go on: where too few have one, the next rung is smaller, and where none has, the bracket ends.

    Attributes:
        taken: The keys of the configurations that it began with.
        is_over: Nothing is left to start or to wait for.
    """

    def __init__(self, ladder: list[Rung]) -> None:
        self.taken: set[Hashable] = set()
        self.is_over = False
        self._ladder = ladder
        self._level = 0
        self._waiting: list[Parameters] = []  # those that go on and were not started yet
        self._running: dict[int, Parameters] = {}
        self._ended: list[_Ended] = []
        self._started = 0  # in this rung
        self._size = ladder[0].size  # of this rung

    @property
    def budget(self) -> int:
        return self._ladder[self._level].budget

    @property
    def wants_new(self) -> bool:
        """Whether its first rung is not full yet."""
        return self._level == 0 and self._started < self._size

    @property
    def next_to_go_on(self) -> Parameters | None:
        return self._waiting[0] if self._waiting else None

    def start(self, number: int, configuration: Parameters) -> None:
        """A new configuration, or the next to go on, is on trial as `number`."""
        if self._level > 0:
            self._waiting.pop(0)
        self._running[number] = configuration
        self._started += 1

    def end(self, number: int, value: float | None) -> None:
        """The trial is over; None: it has no result."""
        configuration = self._running.pop(number)
        if value is not None:
            self._ended.append(_Ended(value, number, configuration))
        self.look()

    def look(self) -> None:
        """Go up when this rung is over."""
        if self._started < self._size or self._running:
            return
        self._level += 1
        best = sorted(self._ended, key=lambda one: one[:2])
        if self._level == len(self._ladder) or not best:
            self.is_over = True
            return
        self._waiting = [one.configuration for one in best[: self._ladder[self._level].size]]
        self._size, self._started, self._ended = len(self._waiting), 0, []

    def cut(self) -> None:
        """Begin with no more configurations than there are by now: the search space has no others."""
        self._size = self._started
        self.look()


class HyperbandAdvisor(BudgetAdvisor):
    """Runs the brackets of Hyperband one after the other, for ever, or until a finite space is used up.

    Args:
        R: The budget of a whole training.
        eta: One of so many goes on.
        exec_mode: `parallelism` begins the next bracket as soon as there is nothing else to start, `serial`
            when one is over.
        min_budget: The least budget.
        budget_key: The key under which a trial finds its budget.

    Raises:
        ConfigError: `min_budget` is above R.
    """

    class Arguments(BudgetArguments):
        """What `classArgs` may hold beside what the kernel takes."""

        exec_mode: Literal["parallelism", "serial"] = Field(
            default="parallelism",
            description="parallelism: begin the next bracket as soon as there is nothing else to start; "
            "serial: when one is over.",
        )
        min_budget: int = Field(default=1, ge=1, description="The least budget of a trial.")

    def __init__(
        self,
        R: int = 60,  # noqa: N803 (the paper's and NNI's name)
        eta: int = 3,
        exec_mode: Literal["parallelism", "serial"] = "parallelism",
        min_budget: int = 1,
        budget_key: str = "TRIAL_BUDGET",
    ) -> None:
        super().__init__(R, eta, budget_key)
        if min_budget > R:
            raise ConfigError(f"min_budget {min_budget} is above R {R}, the budget of a whole training")
        self._plans = brackets(R, eta, min_budget)
        self._is_serial = exec_mode == "serial"

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Begins anew; trials that are running belong to no bracket any more."""
        super().update_search_space(search_space)
        self._opened = 0
        self._open: list[Bracket] = []
        self._bracket_of: dict[int, Bracket] = {}
        self._proposed: tuple[int, Bracket, Parameters] | None = None

    def propose(self, parameter_id: int) -> Parameters | None:
        if len(self._whole) >= self.space.size:
            raise NoMoreTrial(_USED_UP)
        for bracket in self._open:
            if (found := self._next_of(bracket, parameter_id)) is not None:
                break
        else:
            if self._is_serial and self._open:
                return None
            bracket = self._plan()
            found = self._next_of(bracket, parameter_id)
            if found is None:  # the size of a space that forbids much may be an upper bound
                raise NoMoreTrial(_USED_UP)
        self._proposed = (parameter_id, bracket, found)
        return self._with_budget(found, bracket.budget)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """What was proposed belongs to its bracket now; a trial of the user's own belongs to none."""
        if self._proposed is None or self._proposed[0] != parameter_id:
            return
        _, bracket, configuration = self._proposed
        self._proposed = None
        if bracket not in self._open:
            self._open.append(bracket)
            self._opened += 1
        if bracket.wants_new:
            bracket.taken.add(self.space.key(configuration))
        if bracket.budget == self._maximum:
            self._whole.add(self.space.key(configuration))
        bracket.start(parameter_id, configuration)
        self._bracket_of[parameter_id] = bracket
        self._tidy()

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        value = self.result(parameter_id, state, value)
        bracket = self._bracket_of.pop(parameter_id, None)
        if bracket is None:
            return
        bracket.end(parameter_id, value)
        self._tidy()

    def import_data(self, data: Sequence[Observation]) -> None:
        super().import_data(data)
        self._tidy()

    def _tidy(self) -> None:
        """Close what is over; no bracket waits for configurations that a small search space has not got."""
        for bracket in self._open:
            if bracket.wants_new and len(bracket.taken | self._whole) >= self.space.size:
                bracket.cut()
        self._open = [each for each in self._open if not each.is_over]

    def _next_of(self, bracket: Bracket, parameter_id: int) -> Parameters | None:
        if bracket.wants_new:
            return self.draw(self.rng(parameter_id), bracket.taken | self._whole)
        return bracket.next_to_go_on

    def _plan(self) -> Bracket:
        """The next bracket, no larger than the search space."""
        ladder = self._plans[self._opened % len(self._plans)]
        left = self.space.size - len(self._whole)
        if left < ladder[0].size:
            ladder = rungs(int(left), self._maximum, self._eta, len(ladder) - 1)
        return Bracket(ladder)
