"""Regularized evolution: the best of a random sample mutates, and the oldest of the population dies.

Real, E., Aggarwal, A., Huang, Y. and Le, Q. V. (2019). Regularized evolution for image classifier
architecture search. AAAI 2019, algorithm 1. https://doi.org/10.1609/aaai.v33i01.33014780

That the oldest dies and not the worst is the regularization: what survives must do well again and again, not
once by luck. Trials run at the same time, so the population is the newest `population_size` results.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tune_core import Parameters, SearchSpace, SearchSpaceError, Tuner
from tune_core.space import changed

__all__ = ["RegularizedEvolutionTuner", "mutate"]


class _Individual(NamedTuple):
    architecture: Parameters
    value: float


class RegularizedEvolutionTuner(Tuner):
    """Evolves architectures: spaces of `layer_choice` and `input_choice`, and of `choice` and `randint`.

    Args:
        population_size: The newest results, among which parents are chosen; so many are random at first.
        sample_size: How many are drawn, with replacement, of which the best becomes a parent.

    Raises:
        SearchSpaceError: From `update_search_space`, for any other type and for nested choices.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        population_size: int = Field(
            default=100, ge=1, description="The newest results, which have children."
        )
        sample_size: int = Field(
            default=25, ge=1, description="Individuals that are drawn, with replacement, for a tournament."
        )

    # All state comes from what was registered and received; proposing leaves no trace.
    replays_proposals: ClassVar[bool] = False

    def __init__(self, population_size: int = 100, sample_size: int = 25) -> None:
        self._size = population_size
        self._sample_size = sample_size
        self._population: deque[_Individual] = deque(maxlen=population_size)  # the oldest first
        self._running: set[int] = set()

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Individuals that are no configurations of the new space are forgotten."""
        for leaf in search_space:
            if leaf.is_nested or leaf.domain.type not in (
                "layer_choice",
                "input_choice",
                "choice",
                "randint",
            ):
                kind = "a nested choice" if leaf.is_nested else leaf.domain.type
                raise SearchSpaceError(
                    f"{leaf.path}: RegularizedEvolution takes layer_choice, input_choice, choice and "
                    f"randint, not {kind}; Evolution takes every type"
                )
        self._space = search_space
        self._can_mutate = any(leaf.domain.size > 1 for leaf in search_space)
        kept = [one for one in self._population if search_space.contains(one.architecture)]
        self._population = deque(kept, maxlen=self._size)

    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        rng = self.rng(parameter_id)
        if len(self._population) + len(self._running) < self._size or not self._can_mutate:
            return self._space.sample(rng)
        if not self._population:
            return None  # the whole first generation is running
        drawn = rng.integers(len(self._population), size=self._sample_size)
        parent = min((self._population[place] for place in drawn.tolist()), key=lambda one: one.value)
        return mutate(self._space, parent.architecture, rng)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        self._running.add(parameter_id)

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        if self._space.contains(parameters, extra=True):
            known = {name: parameters[name] for name in self._space.names}
            self._population.append(_Individual(known, value))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._running.discard(parameter_id)


def mutate(space: SearchSpace, architecture: Parameters, rng: np.random.Generator) -> Parameters:
    """A copy of `architecture` in which one decision has another value, any with equal probability.

    Args:
        space: Without nested choices; something in it can be decided in more than one way.
    """
    leaves = [leaf for leaf in space if leaf.domain.size > 1]
    leaf = leaves[int(rng.integers(len(leaves)))]
    before: Any = leaf.domain.key(architecture[leaf.name])
    number = int(rng.integers(int(leaf.domain.size) - 1))
    value = leaf.domain.at(number)
    # The values but the present one, which the last stands in for.
    if leaf.domain.key(value) == before:
        value = leaf.domain.at(int(leaf.domain.size) - 1)
    return changed(space, architecture, {leaf.index: value})
