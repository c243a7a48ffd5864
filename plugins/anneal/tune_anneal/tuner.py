"""Simulated annealing on the prior: draw near one of the best results, nearer the more results there are.

The rules are those of the anneal algorithm of hyperopt 0.3, written anew from its documentation:
Bergstra, J., Yamins, D. and Cox, D. D. (2013). Making a science of model search. ICML 2013.
https://proceedings.mlr.press/v28/bergstra13.html

- Which result to draw near: place k of the ranking, with k geometric of mean `avg_best_idx`. It serves all
  parameters that it has; for one in a branch that it did not take, another is chosen by the same rule among
  the results that have it, and serves the further parameters too.
- How near: with T results that have the parameter, 1 / (1 + T * `shrink_coef`) of the prior's width. An
  option is kept with the rest of the probability.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tune_anneal.neighbours import near, position_of
from tune_core import Parameters, SearchSpace, Tuner
from tune_core.space import Leaf, Numeric

__all__ = ["AnnealTuner"]


class AnnealTuner(Tuner):
    """Draws each parameter from its distribution, narrowed around one of the best results.

    Args:
        avg_best_idx: The mean place, from 1, of the result to draw near.
        shrink_coef: How fast the width shrinks with the number of results.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        avg_best_idx: float = Field(
            default=2.0,
            ge=1,
            description="Mean place in the ranking of the result to draw near; 1 is the best.",
        )
        shrink_coef: float = Field(
            default=0.1, ge=0, description="After T results 1 / (1 + T * shrink_coef) of the width is left."
        )
        parallel_optimize: bool = Field(
            default=False, description="NNI 1's; has no effect: running trials are nothing to draw near."
        )
        constant_liar_type: Literal["min", "max", "mean"] = Field(
            default="min", description="NNI 1's; has no effect."
        )

    default_optimize_mode: ClassVar[str] = "minimize"
    replays_proposals: ClassVar[bool] = False

    def __init__(
        self,
        avg_best_idx: float = 2.0,
        shrink_coef: float = 0.1,
        parallel_optimize: bool = False,  # both so that old configurations run
        constant_liar_type: str = "min",
    ) -> None:
        self._mean_place = avg_best_idx
        self._shrink_coef = shrink_coef
        self._results: list[tuple[Parameters, float]] = []

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Results that are configurations of the new space too are kept."""
        self._space = search_space
        self._positions: list[dict[int, float]] = []  # of each result: by leaf, what it has
        # For each leaf the results that have it: (value, number), best first, older first.
        self._rankings: list[list[tuple[float, int]]] = [[] for _ in search_space.leaves]
        results, self._results = self._results, []
        for parameters, value in results:
            self._learn(parameters, value)

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self._learn(parameters, value)

    def _learn(self, parameters: Parameters, value: float) -> None:
        if not self._space.contains(parameters, extra=True):
            return
        number = len(self._results)
        self._results.append((parameters, value))
        self._positions.append(_positions(self._space.parameters, parameters))
        for index in self._positions[number]:
            insort(self._rankings[index], (value, number))

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return self._draw(self._space.parameters, [], self.rng(parameter_id))

    def _draw(self, leaves: Sequence[Leaf], models: list[int], rng: np.random.Generator) -> Parameters:
        """Values for `leaves` and what hangs under them. `models`: the results chosen so far; grows."""
        drawn: Parameters = {}
        for leaf in leaves:
            share = 1.0 / (1.0 + len(self._rankings[leaf.index]) * self._shrink_coef)
            found = near(leaf.domain, self._model(leaf, models, rng), share, rng)
            if leaf.is_nested:
                inside = self._draw(leaf.branches[found], models, rng)
                drawn[leaf.name] = {"_name": leaf.domain.at(found), **inside}
            elif isinstance(leaf.domain, Numeric) and leaf.domain.type != "randint":
                drawn[leaf.name] = found
            else:
                drawn[leaf.name] = leaf.domain.at(found)
        return drawn

    def _model(self, leaf: Leaf, models: list[int], rng: np.random.Generator) -> float | None:
        """The position to draw `leaf` near to, None as long as no result has it."""
        ranking = self._rankings[leaf.index]
        if not ranking:
            return None
        for number in models:
            if leaf.index in self._positions[number]:
                return self._positions[number][leaf.index]
        place = min(int(rng.geometric(1.0 / self._mean_place)), len(ranking)) - 1
        number = ranking[place][1]
        models.append(number)
        return self._positions[number][leaf.index]


def _positions(leaves: Sequence[Leaf], parameters: Parameters) -> dict[int, float]:
    """The positions of all active leaves, by index."""
    found: dict[int, float] = {}
    for leaf in leaves:
        value: Any = parameters[leaf.name]
        position = position_of(leaf.domain, value["_name"] if leaf.is_nested else value)
        found[leaf.index] = position
        if leaf.is_nested:
            found |= _positions(leaf.branches[int(position)], value)
    return found
