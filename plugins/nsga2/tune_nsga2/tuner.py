"""NSGA-II: a population whose best front survives and spreads, generation after generation.

Deb, K., Pratap, A., Agarwal, S. and Meyarivan, T. (2002). A fast and elitist multiobjective genetic
algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 182-197.
https://doi.org/10.1109/4235.996017

The paper's generations are of one piece. Here a child is made whenever a slot is free, of the parents that
there are; as soon as as many children have results as there are parents, the best of all become the next
parents. No slot waits for the slowest trial of a generation.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from tune_core import Parameters, Score, SearchSpace, Tuner
from tune_nsga2.selection import standings, survivors, tournament
from tune_nsga2.variation import Parent, Variation

__all__ = ["NSGA2Tuner"]

_TRIES = 20  # for a child that was never on trial


class _Individual(NamedTuple):
    parameters: Parameters
    score: Score


class NSGA2Tuner(Tuner):
    """NSGA-II over all types of search spaces, nested ones included.

    Args:
        population_size: Parents; so many trials are random at first.
        crossover_probability: Of a child having two parents.
        crossover_eta: Distribution index of simulated binary crossover; larger is nearer to the parents.
        mutation_probability: Of each parameter. None: one in the mean.
        mutation_eta: Distribution index of polynomial mutation; larger is a smaller step.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        population_size: int = Field(
            default=50, ge=4, description="Parents of a generation; so many trials are random at first."
        )
        crossover_probability: float = Field(
            default=0.9, ge=0, le=1, description="Of a child having two parents."
        )
        crossover_eta: float = Field(
            default=20.0, ge=0, description="The larger, the nearer are children to their parents."
        )
        mutation_probability: float | None = Field(
            default=None, ge=0, le=1, description="Of each parameter. Null: one parameter in the mean."
        )
        mutation_eta: float = Field(default=20.0, ge=0, description="The larger, the smaller are mutations.")

    many_objectives: ClassVar[bool] = True
    handles_constraints: ClassVar[bool] = True
    # All state comes from what was registered and received; proposing leaves no trace.
    replays_proposals: ClassVar[bool] = False

    def __init__(
        self,
        population_size: int = 50,
        crossover_probability: float = 0.9,
        crossover_eta: float = 20.0,
        mutation_probability: float | None = None,
        mutation_eta: float = 20.0,
    ) -> None:
        self._size = population_size
        self._rates = (crossover_probability, crossover_eta, mutation_probability, mutation_eta)
        self._parents: list[_Individual] = []
        self._children: list[_Individual] = []  # with results, since the parents were chosen

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Individuals that are no configurations of the new space are forgotten."""
        self._space = search_space
        self._variation = Variation(search_space, *self._rates)
        known = [one for one in [*self._parents, *self._children] if search_space.contains(one.parameters)]
        self._seen: set[Hashable] = {search_space.key(one.parameters) for one in known}
        self._parents, self._children = [], known
        self._turn()

    def generate_parameters(self, parameter_id: int) -> Parameters:
        rng = self.rng(parameter_id)
        if not self._parents:
            return self._space.sample(rng)
        for _ in range(_TRIES):
            first, second = (self._mates[tournament(self._standings, rng)] for _ in range(2))
            child = self._variation.child(first, second, rng)
            parameters: Parameters = self._space.decode(child[None])[0]
            if self._space.key(parameters) not in self._seen:
                break
        return parameters

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        if self._space.contains(parameters, extra=True):
            self._seen.add(self._space.key(parameters))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        """A configuration of the user's own that is not in the space is nobody's parent."""
        if self._space.contains(parameters, extra=True):
            own = {name: parameters[name] for name in self._space.names}
            self._children.append(_Individual(own, Score.of(value)))
            self._turn()

    def _turn(self) -> None:
        """Choose new parents once there are as many children as a generation has."""
        if len(self._children) < self._size:
            return
        everyone = [*self._parents, *self._children]
        chosen = survivors([one.score for one in everyone], self._size)
        self._parents, self._children = [everyone[number] for number in chosen], []
        self._standings = standings([one.score for one in self._parents])
        units, active = self._space.encode([one.parameters for one in self._parents])
        self._mates = [Parent(*pair) for pair in zip(units, active, strict=True)]
