"""PPO: a recurrent policy writes architectures, and is made more likely to write those that did well.

Schulman, J. et al. (2017). Proximal policy optimization algorithms. https://arxiv.org/abs/1707.06347
Zoph, B. and Le, Q. V. (2017). Neural architecture search with reinforcement learning. ICLR 2017.
https://arxiv.org/abs/1611.01578

The policy is updated whenever `trials_per_update` results are there, whichever trials they came from, so that
no trial waits for the end of a batch: what an earlier policy proposed keeps the probability that it had then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tune_core import NoMoreTrial, Parameters, SearchSpace, Tuner
from tune_ppo.grammar import Grammar
from tune_ppo.learner import Learner, Settings
from tune_ppo.policy import Episode, Policy, new_weights
from tune_ppo.rewards import rewards

__all__ = ["PPOTuner"]

_WARMER = (1.5, 2.0, 3.0, 5.0, 10.0, 1000.0)  # temperatures, where the policy repeats itself
_DRAWS_EACH = 8
_MOST_REPEATS = 5  # in one proposal: a policy that is sure of itself would learn from them for ever


class PPOTuner(Tuner):
    """Searches architectures: spaces of `layer_choice`, `input_choice` and `choice`.

    Raises:
        SearchSpaceError: From `update_search_space`, for any other type and for nested choices.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes. NNI's names and defaults."""

        model_config = ConfigDict(extra="forbid")

        trials_per_update: int = Field(
            default=20, ge=1, description="Results from which the policy learns at a time."
        )
        epochs_per_update: int = Field(
            default=4, ge=1, description="How often it goes through them; the paper's K."
        )
        minibatch_size: int = Field(
            default=4, ge=1, description="Results in a step of the optimiser; it divides trials_per_update."
        )
        ent_coef: float = Field(default=0.0, ge=0, description="Weight of the entropy in the loss.")
        lr: float = Field(default=3e-4, gt=0, description="Learning rate of Adam.")
        vf_coef: float = Field(default=0.5, ge=0, description="Weight of the loss of values.")
        max_grad_norm: float = Field(default=0.5, gt=0, description="To which gradients are clipped.")
        gamma: float = Field(
            default=0.99, ge=0, le=1, description="By how much a reward counts less for each step before it."
        )
        lam: float = Field(
            default=0.95,
            ge=0,
            le=1,
            description="Of the generalised advantage: 0 trusts the values, 1 the rewards.",
        )
        cliprange: float = Field(
            default=0.2,
            gt=0,
            description="By which share a probability may change in an update; the paper's epsilon.",
        )

        @model_validator(mode="after")
        def _divides(self) -> PPOTuner.Arguments:
            if self.trials_per_update % self.minibatch_size:
                raise ValueError(
                    f"minibatch_size {self.minibatch_size} does not divide"
                    f" trials_per_update {self.trials_per_update}"
                )
            return self

    default_optimize_mode: ClassVar[str] = "maximize"
    # A sequence that was tried before teaches again without a trial, so proposing leaves traces.
    replays_proposals: ClassVar[bool] = True
    deduplicates: ClassVar[bool] = True

    def __init__(
        self,
        trials_per_update: int = 20,
        epochs_per_update: int = 4,
        minibatch_size: int = 4,
        ent_coef: float = 0.0,
        lr: float = 3e-4,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        gamma: float = 0.99,
        lam: float = 0.95,
        cliprange: float = 0.2,
    ) -> None:
        self._size = trials_per_update
        self._settings = Settings(
            epochs_per_update, minibatch_size, ent_coef, lr, vf_coef, max_grad_norm, gamma, lam, cliprange
        )
        self._outcomes: dict[Hashable, tuple[Parameters, float | None]] = {}  # of all that was tried
        self._running: dict[int, Parameters] = {}

    def update_search_space(self, search_space: SearchSpace) -> None:
        """A new policy; outcomes that are configurations of the new space too are kept."""
        self._grammar = Grammar(search_space)
        self._space = search_space
        self._learner = Learner(new_weights(self._grammar, self.rng(0, stream=3)), self._settings)
        self._policy = Policy(self._grammar, self._learner.weights)
        self._updates = 0
        self._batch: list[tuple[Episode, float | None]] = []
        self._waiting: dict[Hashable, list[Episode]] = defaultdict(list)  # for trials that run
        outcomes, running = list(self._outcomes.values()), dict(self._running)
        self._outcomes, self._running = {}, {}
        for parameters, value in outcomes:
            if search_space.contains(parameters):
                self._outcomes[search_space.key(parameters)] = parameters, value
        for parameter_id, parameters in running.items():
            self.register_pending(parameter_id, parameters)

    def generate_parameters(self, parameter_id: int) -> Parameters:
        """What the policy writes next that was not tried before; what was teaches it once more."""
        self._refuse_if_used_up()
        rng = self.rng(parameter_id)
        for _ in range(_MOST_REPEATS):
            parameters = self._policy.write(rng)
            if self._space.is_forbidden(parameters):
                continue
            if not self._is_known(parameters):
                return parameters
            self._learn_again(parameters)
        return self._something_new(rng)

    def _refuse_if_used_up(self) -> None:
        tried = self._outcomes.keys() | self._waiting.keys()
        if len(tried) >= self._space.size:
            raise NoMoreTrial(f"all {self._space.size:,} architectures of the search space were proposed")

    def _is_known(self, parameters: Parameters) -> bool:
        key = self._space.key(parameters)
        return key in self._outcomes or key in self._waiting

    def _learn_again(self, parameters: Parameters) -> None:
        """Count an architecture once more, with the result that it had or will have."""
        key, episode = self._space.key(parameters), self._policy.read(parameters)
        if key in self._waiting:
            self._waiting[key].append(episode)
        else:
            self._finish(episode, self._outcomes[key][1])

    def _something_new(self, rng: np.random.Generator) -> Parameters:
        """The policy repeats itself: what it would write with less and less conviction."""
        for temperature in _WARMER:
            for _ in range(_DRAWS_EACH):
                parameters = self._policy.write(rng, temperature)
                if not self._space.is_forbidden(parameters) and not self._is_known(parameters):
                    return parameters
        new = (each for each in self._space.grid() if not self._is_known(each))
        if (found := next(new, None)) is None:
            raise NoMoreTrial("all architectures of the search space that are not forbidden were proposed")
        return found

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """What the policy did not write counts as if it had: a configuration of the user's own teaches it."""
        if not self._space.contains(parameters, extra=True):
            return
        known = {name: parameters[name] for name in self._space.names}
        self._running[parameter_id] = known
        self._waiting[self._space.key(known)].append(self._policy.read(known))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self._end(parameter_id, float(value))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._end(parameter_id, None)

    def _end(self, parameter_id: int, value: float | None) -> None:
        """Nothing the second time: a trial with a result has ended by it."""
        if (parameters := self._running.pop(parameter_id, None)) is None:
            return
        key = self._space.key(parameters)
        self._outcomes[key] = parameters, value
        for episode in self._waiting.pop(key, ()):
            self._finish(episode, value)

    def _finish(self, episode: Episode, value: float | None) -> None:
        """Another result for the batch, and an update when it is full."""
        if not len(episode):
            return  # there was nothing to decide
        self._batch.append((episode, value))
        if len(self._batch) < self._size:
            return
        batch, self._batch = self._batch, []
        results = [value for _, value in self._outcomes.values() if value is not None]
        earned = rewards([value for _, value in batch], results)
        self._updates += 1
        self._learner.update([episode for episode, _ in batch], earned, self.rng(self._updates, stream=4))
        self._policy = Policy(self._grammar, self._learner.weights)
