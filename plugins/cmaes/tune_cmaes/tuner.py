"""CMA-ES: draw from a normal distribution, and move and turn it towards the better half of what was drawn.

Hansen, N. (2016). The CMA evolution strategy: a tutorial. https://arxiv.org/abs/1604.00772

Auger, A. and Hansen, N. (2005). A restart CMA evolution strategy with increasing population size. CEC 2005.
https://doi.org/10.1109/CEC.2005.1554902

The steps of the algorithm are those of the package `cmaes`; here is what an experiment needs around them:
results that come in any order, failures, repeats and restarts.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tune_cmaes.strategy import Sample, Strategy, columns_of
from tune_core import Parameters, SearchSpace, Tuner

__all__ = ["CMAESTuner"]

_REDRAWS = 100  # for a sample that was not evaluated before


class _Drawn(NamedTuple):
    key: Hashable
    sample: Sample
    run: int  # of the strategy, from 1


class CMAESTuner(Tuner):
    """CMA-ES over flat search spaces of all types.

    A generation is told when as many results as it has members have come, whichever they are; trials that
    take longer count in a later one. A trial without a result counts as the worst of its generation, and so
    does a sample that the space forbids. A configuration that was evaluated before is not proposed: its
    result is taken as it is.

    Args:
        population_size: Of a generation. None: 4 + floor(3 ln n) for n parameters; doubled at each restart.
        sigma: The standard deviation to begin with, as a share of each range.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        population_size: int | None = Field(
            default=None,
            ge=4,
            description="Trials of a generation. Null: 4 + floor(3 ln n) for n parameters, then doubled.",
        )
        sigma: float = Field(
            default=0.15,
            gt=0,
            le=1,
            description="Standard deviation to begin with, as a share of each range.",
        )

    def __init__(self, population_size: int | None = None, sigma: float = 0.15) -> None:
        self._first_size = population_size
        self._sigma = sigma
        self._results: list[tuple[Parameters, float]] = []
        self._runs = 0  # of the strategy, over all search spaces

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Begins anew, at the best result that is a configuration of the new space too."""
        columns = columns_of(search_space)
        self._space, self._columns = search_space, columns
        self._results = [each for each in self._results if search_space.contains(each[0])]
        self._values = {search_space.key(parameters): value for parameters, value in self._results}
        self._strategy: Strategy | None = None
        self._next_size: int | None = None  # of the next run; None: it is the first in this space
        self._generation: list[tuple[Sample, float | None]] = []
        self._proposed: tuple[int, _Drawn] | None = None
        self._running: dict[int, _Drawn] = {}

    def generate_parameters(self, parameter_id: int) -> Parameters:
        rng = self.rng(parameter_id)
        self._proposed = None
        if not self._columns.count:
            return self._space.sample(rng)
        seeded: Strategy | None = None
        for _ in range(_REDRAWS):
            if self._strategy is None:
                self._strategy = self._begin()
            if seeded is not self._strategy:
                seeded = self._strategy
                seeded.seed(rng)
            sample = seeded.draw()
            if sample is None:
                self._strategy = None
                continue
            parameters: Parameters
            [parameters] = self._space.decode(sample.units[None])
            drawn = _Drawn(self._space.key(parameters), sample, self._runs)
            if self._space.is_forbidden(parameters):
                self._count(drawn, None)
            elif drawn.key in self._values:
                self._count(drawn, self._values[drawn.key])
            elif all(drawn.key != other.key for other in self._running.values()):
                self._proposed = (parameter_id, drawn)
                return parameters
        self._strategy = None  # it has settled on what is known
        return self._space.sample(rng)

    def _begin(self) -> Strategy:
        """The next run: the first at the best result or in the middle, others anywhere, twice as large."""
        start: Any = np.full(self._space.dimensions, 0.5)
        if self._next_size is not None:
            start = self.rng(self._runs, stream=2).random(self._space.dimensions)
        elif self._results:
            best, _ = min(self._results, key=lambda each: each[1])
            start = self._space.encode([best])[0][0]
        self._runs += 1
        self._generation = []
        strategy = Strategy(self._columns, start, self._sigma, self._next_size or self._first_size)
        self._next_size = 2 * strategy.population_size
        return strategy

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """What was proposed counts for its generation; what replaced it, or is the user's own, does not."""
        if self._proposed is not None and self._proposed[0] == parameter_id:
            _, drawn = self._proposed
            if self._key(parameters) == drawn.key:
                self._running[parameter_id] = drawn
        self._proposed = None

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        key = self._key(parameters)
        if key is not None:
            known = {name: parameters[name] for name in self._space.names}
            self._results.append((known, value))
            self._values.setdefault(key, value)
        drawn = self._running.pop(parameter_id, None)
        if drawn is not None:
            self._count(drawn, value)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        drawn = self._running.pop(parameter_id, None)
        if drawn is not None:
            self._count(drawn, None)

    def _key(self, parameters: Parameters) -> Hashable:
        """None for what is no configuration of this space."""
        return self._space.key(parameters) if self._space.contains(parameters, extra=True) else None

    def _count(self, drawn: _Drawn, value: float | None) -> None:
        """Add a result, None for a failure, to the generation; tell the generation if that fills it."""
        if drawn.run != self._runs or self._strategy is None:
            return  # from before a restart
        self._generation.append((drawn.sample, value))
        if len(self._generation) < self._strategy.population_size:
            return
        generation, self._generation = self._generation, []
        values = [math.inf if value is None else value for _, value in generation]
        ranking = sorted(range(len(values)), key=values.__getitem__)  # of equal ones the older first
        is_flat = values[ranking[0]] == values[ranking[-1]]
        if is_flat or not self._strategy.tell([generation[place][0] for place in ranking]):
            self._strategy = None
