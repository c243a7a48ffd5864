"""Naive evolution: of two individuals the worse dies, and a mutant of the better takes its place.

Real, E. et al. (2017). Large-scale evolution of image classifiers. ICML 2017, section 3.1.
https://proceedings.mlr.press/v70/real17a.html

The population is `population_size` individuals: those with a result, those on trial, and those still to be
drawn at random. A trial that fails is replaced by one to be drawn. With as many trials running as there are
individuals there is nothing to pair, and the next proposal waits for a result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tune_core import Parameters, SearchSpace, Tuner
from tune_evolution.mutation import mutate

__all__ = ["EvolutionTuner"]


class _Individual(NamedTuple):
    parameters: Parameters
    value: float


class EvolutionTuner(Tuner):
    """Evolves a population by tournaments of two and mutations of one parameter.

    Args:
        population_size: Individuals; should be a multiple of the number of trials that run at once.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        population_size: int = Field(
            default=32, ge=1, description="Individuals; several times the number of trials that run at once."
        )

    def __init__(self, population_size: int = 32) -> None:
        self._size = population_size
        self._to_draw = population_size
        self._population: list[_Individual] = []  # those with a result
        self._running: set[int] = set()  # those of the population; trials of the user's own are guests
        # What the last call of generate_parameters would change; it does change once it is registered.
        self._proposed: tuple[int, int | None] | None = None  # (parameter id, who dies)

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Individuals that are not configurations of the new space are replaced by ones to be drawn."""
        self._space = search_space
        self._population = [one for one in self._population if search_space.contains(one.parameters)]
        self._keep_size()

    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        rng = self.rng(parameter_id)
        self._proposed = (parameter_id, None)
        if self._to_draw > 0:
            return self._space.sample(rng)
        if len(self._running) >= self._size or not self._population:
            return None
        winner, loser = self._tournament(rng)
        self._proposed = (parameter_id, loser)
        return mutate(self._space, self._population[winner].parameters, rng)

    def _tournament(self, rng: np.random.Generator) -> tuple[int, int | None]:
        """The places of the better and the worse of two; one alone wins and lives."""
        if len(self._population) == 1:
            return 0, None
        pair = rng.choice(len(self._population), size=2, replace=False)
        winner, loser = sorted(pair.tolist(), key=lambda place: self._population[place].value)
        return winner, loser

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """What `generate_parameters` would change is changed now."""
        if self._proposed is None or self._proposed[0] != parameter_id:
            return  # submitted by the user, or imported
        _, loser = self._proposed
        self._proposed = None
        self._running.add(parameter_id)
        if self._to_draw > 0:
            self._to_draw -= 1
        elif loser is not None:
            del self._population[loser]

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        """Results of the user's own trials and imported ones join the population too."""
        self._running.discard(parameter_id)
        if self._space.contains(parameters, extra=True):
            known = {name: parameters[name] for name in self._space.names}
            self._population.append(_Individual(known, value))
        self._keep_size()

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._running.discard(parameter_id)
        self._keep_size()

    def _keep_size(self) -> None:
        """Draw new individuals for those that failed; of too many, leave out the undrawn, then the worst."""
        room = self._size - len(self._running) - len(self._population)
        self._to_draw = max(room, 0)
        for _ in range(min(-room, len(self._population))):
            self._population.remove(max(self._population, key=lambda one: one.value))
