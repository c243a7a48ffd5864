"""DEHB: the brackets of Hyperband, whose configurations come from differential evolution on every budget.

Awad, N., Mallik, N. and Hutter, F. (2021). DEHB: evolutionary Hyperband for scalable, robust and efficient
hyperparameter optimization. IJCAI 2021, 2147-2153. https://doi.org/10.24963/ijcai.2021/296
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import AliasChoices, Field
from tune_hyperband.brackets import brackets
from tune_hyperband.budgets import BudgetAdvisor, BudgetArguments

from tune_core import ConfigError, NoMoreTrial, Observation, Parameters, SearchSpace, TrialState
from tune_dehb.bracket import Bracket
from tune_dehb.evolution import Floats, crossed, mutant
from tune_dehb.population import Candidate, Individual, Population

__all__ = ["DehbAdvisor"]

_FEWEST_PARENTS = 4  # of three any mutant would be a combination of the same vectors
_USED_UP = "every configuration of the search space ran on the whole budget"
_REDRAWS = 20  # children that repeat what ran on their budget, before one is drawn at random


class _Place(NamedTuple):
    """What a trial is for: to win its candidate a place in a population, at the request of a bracket."""

    candidate: Candidate
    bracket: Bracket
    population: Population
    place: int


class DehbAdvisor(BudgetAdvisor):
    """Evolves a population for each budget; each is taught by the best of the next lower budget.

    Args:
        R: The budget of a whole training.
        eta: One of so many goes on, with so many times the budget.
        min_budget: The least budget.
        mutation_factor: The paper's F: how far a mutant is from its first parent, in differences of others.
        crossover_probability: The paper's p: the share of coordinates that a child has from its mutant.
        budget_key: The key under which a trial finds its budget.

    Raises:
        ConfigError: `min_budget` is above R.
    """

    class Arguments(BudgetArguments):
        """What `classArgs` may hold beside what the kernel takes."""

        R: int = Field(
            default=60,
            ge=1,
            validation_alias=AliasChoices("R", "max_budget"),
            description="The budget of a whole training, in units of your choice; max_budget is the same.",
        )
        min_budget: int = Field(default=1, ge=1, description="The least budget of a trial.")
        mutation_factor: float = Field(
            default=0.5, gt=0, le=2, description="How far mutants go from their first parent; the paper's F."
        )
        crossover_probability: float = Field(
            default=0.5, ge=0, le=1, description="The share of a mutant's values in a child; the paper's p."
        )

    def __init__(
        self,
        R: int = 60,  # noqa: N803 (Hyperband's name)
        eta: int = 3,
        min_budget: int = 1,
        mutation_factor: float = 0.5,
        crossover_probability: float = 0.5,
        budget_key: str = "TRIAL_BUDGET",
    ) -> None:
        super().__init__(R, eta, budget_key)
        if min_budget > R:
            raise ConfigError(f"min_budget {min_budget} is above R {R}, the budget of a whole training")
        self._plans = brackets(R, eta, min_budget)
        self._factor, self._probability = mutation_factor, crossover_probability
        self._whole_budget, self._key_of_budget = R, budget_key
        self._populations: dict[int, Population] = {}

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Begins with the first bracket; individuals that the new space could have given stay."""
        super().update_search_space(search_space)
        known = self._results()
        # As many places as the brackets have trials on a budget at most, as in the paper.
        rungs = [rung for ladder in self._plans for rung in ladder]
        sizes = {budget: max(r.size for r in rungs if r.budget == budget) for _, budget in self._plans[0]}
        self._populations = {budget: Population(budget, size) for budget, size in sizes.items()}
        self._next_number = 0  # of a bracket
        self._open: list[Bracket] = []
        self._on_trial: dict[int, _Place] = {}
        self._others: dict[int, Parameters] = {}  # trials of the user's own
        self._proposed: tuple[int, _Place] | None = None
        for parameters, value in known:
            self._learn(parameters, value)

    def propose(self, parameter_id: int) -> Parameters | None:
        if self._is_used_up(self._top):
            raise NoMoreTrial(_USED_UP)
        for bracket in [*self._open, *self._planned()]:
            candidate = self._candidate(bracket, self.rng(parameter_id)) if bracket.wants else None
            if candidate is not None:
                population = self._populations[bracket.budget]
                place = _Place(candidate, bracket, population, population.next_place)
                self._proposed = (parameter_id, place)
                return {**candidate.configuration, self._key_of_budget: population.budget}
        if self._on_trial:
            return None
        raise NoMoreTrial(_USED_UP)  # the size of a space that forbids much may be an upper bound

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """What was proposed is on trial now; a trial of the user's own belongs to no bracket."""
        if self._proposed is None or self._proposed[0] != parameter_id:
            self._others[parameter_id] = parameters
            return
        _, place = self._proposed
        self._proposed = None
        if place.bracket not in self._open:
            self._open.append(place.bracket)
            self._next_number = place.bracket.number + 1
        place.population.begin(place.candidate.key)
        place.bracket.start()
        self._on_trial[parameter_id] = place
        self._tidy()

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        value = self.result(parameter_id, state, value)
        parameters = self._others.pop(parameter_id, None)
        place = self._on_trial.pop(parameter_id, None)
        if place is not None:
            if value is not None:  # without a result it has lost, and the place is as it was
                place.population.challenge(place.place, Individual(place.candidate, value))
            place.bracket.end()
        elif parameters is not None and value is not None:
            self._learn(parameters, value)
        self._tidy()

    def import_data(self, data: Sequence[Observation]) -> None:
        for observation in data:
            self._learn(observation.parameters, observation.value)
        self._tidy()

    def _results(self) -> list[tuple[Parameters, float]]:
        """Of all individuals, as `_learn` takes them."""
        return [
            ({**one.candidate.configuration, self._key_of_budget: population.budget}, one.value)
            for population in self._populations.values()
            for one in population.ranking()
        ]

    def _learn(self, parameters: Parameters, value: float) -> None:
        """A result that no bracket asked for, on the budget that it names, or else on the whole one."""
        budget = parameters.get(self._key_of_budget, self._whole_budget)
        is_number = isinstance(budget, (int, float)) and not isinstance(budget, bool)
        population = self._populations.get(min(budget, self._whole_budget)) if is_number else None
        if population is not None and self.space.contains(parameters, extra=True):
            known = {name: parameters[name] for name in self.space.names}
            population.join(Individual(self._of_configuration(known), value))

    @property
    def _top(self) -> Population:
        return self._populations[self._whole_budget]

    def _is_used_up(self, population: Population) -> bool:
        return len(population.started) >= self.space.size

    def _planned(self) -> Iterator[Bracket]:
        """The next bracket, or the first after it that has something to run in what is left of the space."""
        for number in range(self._next_number, self._next_number + len(self._plans)):
            bracket = Bracket(number, self._plans[number % len(self._plans)])
            self._settle(bracket)
            if bracket.wants:
                yield bracket
                return

    def _tidy(self) -> None:
        for bracket in self._open:
            self._settle(bracket)
        self._open = [each for each in self._open if not each.is_over]

    def _settle(self, bracket: Bracket) -> None:
        """Go up where a rung is over; none waits for configurations that a small space has not got."""
        bracket.rise(self._count)
        while bracket.wants and self._is_used_up(self._populations[bracket.budget]):
            bracket.cut()
            bracket.rise(self._count)

    def _candidate(self, bracket: Bracket, rng: np.random.Generator) -> Candidate | None:
        """What the bracket runs next; None: there is nothing that has not run on this budget.

        The best of the next lower budget go on if they have not run here, and empty places are filled as
        Hyperband does it; so the first bracket is one of Hyperband's. All others evolve.
        """
        population = self._populations[bracket.budget]
        holder = population.at(population.next_place)
        if bracket.level > 0:
            ranking = self._populations[bracket.budget_below].ranking()
            best = ranking if holder is None else ranking[: bracket.size]
            for one in best:
                if one.candidate.key not in population.started:
                    return one.candidate
        if holder is None:
            return self._random(population, rng)
        return self._evolved(holder.candidate.units, population, self._parents(bracket, rng), rng)

    def _evolved(
        self, target: Floats, population: Population, parents: Floats, rng: np.random.Generator
    ) -> Candidate | None:
        """A child of `parents` that challenges `target`."""
        for _ in range(_REDRAWS):
            moved = mutant(parents, self._factor, rng)
            candidate = self._decoded(crossed(target, moved, self._probability, rng), rng)
            if candidate.key not in population.started:
                return candidate
        return self._random(population, rng)

    def _parents(self, bracket: Bracket, rng: np.random.Generator) -> Floats:
        """The best of the next lower budget, as many as Hyperband would promote; shape (n, dimensions).

        On the first rung, the population itself. Too few are filled up with the next best, then with others
        of all budgets, and with random points where these are too few as well.
        """
        ranking = self._populations[bracket.budget_below].ranking()
        chosen = ranking[: max(bracket.size, _FEWEST_PARENTS)] if bracket.level else ranking
        units = {one.candidate.key: one.candidate.units for one in chosen}
        if len(units) < _FEWEST_PARENTS:
            everyone = [one.candidate for each in self._populations.values() for one in each.ranking()]
            others = {one.key: one.units for one in everyone if one.key not in units}
            drawn = rng.permutation(len(others))[: _FEWEST_PARENTS - len(units)]
            units |= {key: others[key] for key in (list(others)[place] for place in drawn.tolist())}
        missing = max(_FEWEST_PARENTS - len(units), 0)
        return np.array([*units.values(), *rng.random((missing, self.space.dimensions))])

    def _random(self, population: Population, rng: np.random.Generator) -> Candidate | None:
        configuration = self.draw(rng, population.started)
        if configuration is None:
            return None
        return self._of_configuration(configuration)

    def _decoded(self, units: Floats, rng: np.random.Generator) -> Candidate:
        configuration = self.space.from_unit_cube(units.tolist())
        if not self.space.is_forbidden(configuration):
            return Candidate(configuration, units, self.space.key(configuration))
        return self._of_configuration(self.space.repair(configuration, rng))

    def _of_configuration(self, configuration: Parameters) -> Candidate:
        """One that did not evolve: in the middle of cells, as coordinates of inactive parameters are."""
        units = self.space.encode([configuration])[0][0]
        return Candidate(configuration, units, self.space.key(configuration))

    def _count(self, budget: int) -> int:
        return len(self._populations[budget].ranking())
