"""DNGO: Bayesian optimisation whose cost grows linearly with the number of results.

Snoek, J. et al. (2015). Scalable Bayesian optimization using deep neural networks. ICML 2015.
https://arxiv.org/abs/1502.05700

A network is trained on the results, and its hidden layers are the basis of a Bayesian linear regression.
Where the paper draws the precisions of the regression by slice sampling, those of highest evidence are taken,
and what that believes to know too well is corrected by a second network, which has not seen all results.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial import cKDTree
from tune_gp.acquisition import log_expected_improvement
from tune_gp.embedding import Bools, Embedding, Floats
from tune_gp.history import History
from tune_gp.search import Effort, candidates
from tune_gp.warp import warp

from tune_core import Parameters, SearchSpace, Tuner
from tune_core.algorithms.threads import one_thread
from tune_dngo.network import Basis, train
from tune_dngo.regression import Regression, caution, most_evident
from tune_dngo.trainings import Trainings

__all__ = ["DNGOTuner"]

_AHEAD = 4  # one in so many of the results between two trainings comes while the network is trained
_BEST = 5  # results that candidates are mutated from
_SPACING = 0.1  # to keep from what was tried, as a share of the distance of points that lie evenly
_HELD_OUT = 5  # one result in so many is kept from the second network


class Network(NamedTuple):
    """What a training gives: a basis, and the factor by which variances on it are too small."""

    basis: Basis
    caution: float


class DNGOTuner(Tuner):
    """Searches every type of search space, nested ones included."""

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes. NNI's names and defaults."""

        model_config = ConfigDict(extra="forbid")

        sample_size: int = Field(
            default=1000, ge=2, description="Candidates whose expected improvement is compared."
        )
        trials_per_update: int = Field(
            default=20,
            ge=1,
            description="Results between two trainings of the network; so many trials are random at first.",
        )
        num_epochs_per_training: int = Field(
            default=500, ge=1, description="How often a training goes through all results."
        )

    default_optimize_mode: ClassVar[str] = "maximize"
    # All state comes from what was registered and received; proposing leaves no trace.
    replays_proposals: ClassVar[bool] = False

    def __init__(
        self, sample_size: int = 1000, trials_per_update: int = 20, num_epochs_per_training: int = 500
    ) -> None:
        half = sample_size // 2
        self._effort = Effort(random=sample_size - half, near=half)
        self._every = trials_per_update
        self._epochs = num_epochs_per_training
        self._space = SearchSpace({}, ())
        self._history = History(0)
        self._trainings: Trainings[Network] | None = None

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Results under an earlier space are kept if they are configurations of this one too."""
        if self._trainings is not None:
            self._trainings.close()
        space, history = self._space, self._history
        self._space = search_space
        self._embedding = Embedding(search_space.leaves)
        self._history = History(search_space.dimensions)
        self._trainings = Trainings(self._training(self._history, self._embedding))
        for number, parameters in enumerate(space.decode(history.finished.units)):
            self.register_pending(-1 - number, parameters)
            self.receive_trial_result(-1 - number, parameters, float(history.finished.values[number]))
        for parameter_id, (units, _) in history.pending.items():
            self.register_pending(parameter_id, space.decode(units[None])[0])

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """A configuration of the user's own that is not in the space teaches nothing."""
        if self._space.contains(parameters, extra=True):
            units, active = self._space.encode([parameters])
            self._history.start(parameter_id, units[0], active[0])

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        before = self._history.finished.n
        self._history.finish(parameter_id, value)
        results = self._history.finished.n
        if results > before and (results + self._ahead) % self._every == 0:
            assert self._trainings is not None
            self._trainings.begin((results + self._ahead) // self._every)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._history.fail(parameter_id)

    @property
    def _ahead(self) -> int:
        """How many results before its turn a network begins to be trained."""
        return self._every // _AHEAD

    def _training(
        self, history: History, embedding: Embedding
    ) -> Callable[[int, Callable[[], bool]], Network | None]:
        """Trains network `number` on the results that there were when it began."""

        def train_one(number: int, wanted: Callable[[], bool]) -> Network | None:
            results = number * self._every - self._ahead
            finished = history.finished
            with one_thread():
                inputs = _inputs(embedding, finished.units[:results], finished.active[:results])
                targets, _ = warp(finished.values[:results])
                return _trained(inputs, targets, self._epochs, self.rng(number, stream=3), wanted)

        return train_one

    def generate_parameters(self, parameter_id: int) -> Parameters:
        rng = self.rng(parameter_id)
        number = self._history.finished.n // self._every
        if not number:
            return self._space.sample(rng)
        assert self._trainings is not None
        network = self._trainings.result(number)
        with one_thread():
            return self._propose(network, rng)

    def _propose(self, network: Network, rng: np.random.Generator) -> Parameters:
        finished = self._history.finished
        order = np.argsort(finished.values, kind="stable")[:_BEST]
        best = finished.units[order], finished.active[order]
        units, active = candidates(self._space, best, best, self._effort, 1.0, rng)
        improvement = self._improvement(network, units, active)
        return self._first_fresh(units[np.argsort(-improvement, kind="stable")])

    def _improvement(self, network: Network, units: Floats, active: Bools) -> Floats:
        """Log of the expected improvement on the lowest mean at a result, shape (m,)."""
        finished, basis = self._history.finished, network.basis
        known = basis(_inputs(self._embedding, finished.units, finished.active))
        targets, _ = warp(finished.values)
        precisions = most_evident(known, targets)
        regression = Regression(known, targets, precisions)
        lowest = float((known @ regression.mean).min())
        if self._history.pending:
            # Trials that run have the result that is expected of them: the mean stays, the variance shrinks.
            pending = [np.array(part) for part in zip(*self._history.pending.values(), strict=True)]
            running = basis(_inputs(self._embedding, *pending))
            believed = np.concatenate([targets, running @ regression.mean])
            regression = Regression(np.concatenate([known, running]), believed, precisions)
        mean, variance = regression.predict(basis(_inputs(self._embedding, units, active)))
        return log_expected_improvement(mean, np.sqrt(network.caution * variance), lowest)

    def _first_fresh(self, ranked: Floats) -> Parameters:
        """The first that is not forbidden, was never on trial, and is not next to one that was.

        What the regression cannot follow it takes for noise, and would measure there again and again.
        """
        finished, pending = self._history.finished.units, self._history.pending.values()
        tried = np.concatenate([finished, *(units[None] for units, _ in pending)])
        numeric = len(self._embedding.numeric)
        least = _SPACING * len(tried) ** (-1.0 / numeric) if numeric else 0.0
        apart = cKDTree(tried).query(ranked, p=np.inf)[0]
        # Should all of them be crowded, the best of those will do.
        for units in np.concatenate([ranked[apart >= least], ranked[apart < least]]):
            if self._history.has_seen(units):
                continue
            [parameters] = self._space.decode(units[None])
            if not self._space.is_forbidden(parameters):
                return parameters
        return self._space.decode(ranked[:1])[0]


def _trained(
    inputs: Floats, targets: Floats, epochs: int, rng: np.random.Generator, wanted: Callable[[], bool]
) -> Network | None:
    """A network of all results; None when it is not wanted any more."""
    order = rng.permutation(len(targets))
    held_out, rest = np.split(order, [len(targets) // _HELD_OUT])
    basis = train(inputs, targets, epochs, rng, wanted)
    if basis is None or not len(held_out):
        return None if basis is None else Network(basis, 1.0)
    second = train(inputs[rest], targets[rest], epochs, rng, wanted)
    if second is None:
        return None
    known = second(inputs[rest])
    regression = Regression(known, targets[rest], most_evident(known, targets[rest]))
    return Network(basis, caution(regression, second(inputs[held_out]), targets[held_out]))


def _inputs(embedding: Embedding, units: Floats, active: Bools) -> Floats:
    """Features with mean 0 and variance 1, if configurations are spread evenly; shape (n, features)."""
    return (embedding(units, active) - 0.5) * math.sqrt(12.0)
