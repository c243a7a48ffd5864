"""BOHB: the brackets of Hyperband, begun with what a model of earlier results finds promising.

Falkner, S., Klein, A. and Hutter, F. (2018). BOHB: robust and efficient hyperparameter optimization at scale.
ICML 2018, PMLR 80, 1437-1446, algorithm 2. https://proceedings.mlr.press/v80/falkner18a.html
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from tune_hyperband.hyperband import HyperbandAdvisor

from tune_bohb.model import Result, Results
from tune_core import ConfigError, Observation, Parameters, SearchSpace, TrialState

__all__ = ["BohbAdvisor"]


class BohbAdvisor(HyperbandAdvisor):
    """Hyperband whose new configurations come from a model, but for a random fraction of them.

    A trial that failed counts as worse than all results; one that was stopped or canceled does not count.
    What the user submits and what is imported counts on the budget it names, or else on the whole one.

    Args:
        min_budget: The least budget.
        max_budget: The budget of a whole training.
        eta: One of so many goes on, with so many times the budget.
        min_points_in_model: How many results are good, and how many bad, at least. None, or fewer than that:
            one more than there are parameters.
        top_n_percent: The share of results that are good.
        num_samples: How many candidates the model compares for one configuration.
        random_fraction: The share of configurations that are random even so.
        bandwidth_factor: How many times wider than the model candidates are drawn around good results.
        min_bandwidth: The smallest bandwidth, of parameters on a scale from 0 to 1.
        budget_key: The key under which a trial finds its budget.

    Raises:
        ConfigError: `min_budget` is above `max_budget`.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        min_budget: int = Field(default=1, ge=1, description="The least budget of a trial.")
        max_budget: int = Field(default=3, ge=1, description="The budget of a whole training.")
        eta: int = Field(
            default=3, ge=2, description="One of so many goes on, with so many times the budget."
        )
        min_points_in_model: int | None = Field(
            default=None,
            ge=1,
            description="How many results are good, and how many bad, at least. Null: parameters + 1.",
        )
        top_n_percent: int = Field(default=15, ge=1, le=99, description="Per cent of results that are good.")
        num_samples: int = Field(default=64, ge=1, description="Candidates compared for one configuration.")
        random_fraction: float = Field(
            default=1 / 3, ge=0, le=1, description="The share of configurations that are random even so."
        )
        bandwidth_factor: float = Field(
            default=3.0, gt=0, description="How many times wider than the model candidates are drawn."
        )
        min_bandwidth: float = Field(default=1e-3, gt=0, description="The smallest bandwidth.")
        budget_key: str = Field(
            default="TRIAL_BUDGET", min_length=1, description="The key under which a trial finds its budget."
        )

    def __init__(
        self,
        min_budget: int = 1,
        max_budget: int = 3,
        eta: int = 3,
        min_points_in_model: int | None = None,
        top_n_percent: int = 15,
        num_samples: int = 64,
        random_fraction: float = 1 / 3,
        bandwidth_factor: float = 3.0,
        min_bandwidth: float = 1e-3,
        budget_key: str = "TRIAL_BUDGET",
    ) -> None:
        if min_budget > max_budget:
            raise ConfigError(f"min_budget {min_budget} is above max_budget {max_budget}")
        super().__init__(R=max_budget, eta=eta, min_budget=min_budget, budget_key=budget_key)
        self._whole_budget, self._key_of_budget = max_budget, budget_key
        self._model_arguments = (min_points_in_model, top_n_percent, min_bandwidth)
        self._candidates, self._reach = num_samples, bandwidth_factor
        self._random_fraction = random_fraction
        self._on_trial: dict[int, Parameters] = {}
        self._results: Results | None = None

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Begins with the first bracket; results that the new space could have given are kept."""
        super().update_search_space(search_space)
        known = [] if self._results is None else self._results.all
        self._results = Results(search_space, *self._model_arguments)
        for result in known:
            self._results.add(result)

    def draw(self, rng: np.random.Generator, taken: Collection[Hashable]) -> Parameters | None:
        """From the model if there is one, and this is not one of the random ones."""
        is_random = rng.random() < self._random_fraction
        model = None if is_random or self._results is None else self._results.model(rng)
        if model is not None:
            for configuration in model.proposals(rng, self._candidates, self._reach):
                if not self.space.is_forbidden(configuration) and self.space.key(configuration) not in taken:
                    return configuration
        return super().draw(rng, taken)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        super().register_pending(parameter_id, parameters)
        self._on_trial[parameter_id] = parameters

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        value = self.result(parameter_id, state, value)
        super().trial_end(parameter_id, state, value)
        parameters = self._on_trial.pop(parameter_id, None)
        if parameters is not None and (value is not None or state is TrialState.FAILED):
            self._learn(parameters, math.inf if value is None else value)

    def import_data(self, data: Sequence[Observation]) -> None:
        super().import_data(data)
        for observation in data:
            self._learn(observation.parameters, observation.value)

    def _learn(self, parameters: Parameters, loss: float) -> None:
        budget = parameters.get(self._key_of_budget, self._whole_budget)
        is_number = isinstance(budget, (int, float)) and not isinstance(budget, bool)
        if self._results is not None and is_number and 0 < budget < math.inf:
            self._results.add(Result(parameters, budget, loss))
