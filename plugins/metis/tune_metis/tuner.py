"""Metis: a tuner that says where the optimum is, and which measurement would tell most about it.

Li, Z. L., Liang, C.-J. M., He, W., Zhu, L., Dai, W., Jiang, J. and Sun, G. (2018). Metis: robustly optimizing
tail latencies of cloud systems. USENIX ATC 2018. https://www.usenix.org/conference/atc18/presentation/li-zhao

Made for systems whose measurements are noisy and costly: candidates of several kinds (least known, most like
the good ones, hardest to believe) compete by what their measurement is expected to gain.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from tune_gp.embedding import Bools, Embedding, Floats
from tune_gp.process import Smoothness
from tune_gp.search import Effort, Points, candidates, search

from tune_core import NoMoreTrial, Parameters, SearchSpace, Tuner
from tune_core.algorithms.threads import one_thread
from tune_metis.belief import Belief, Model
from tune_metis.mixture import fit_mixture
from tune_metis.samples import Samples

__all__ = ["MetisTuner", "Optimum"]

_log = logging.getLogger(__name__)

_GOOD = 0.34  # share of results that the mixture of good ones is fitted to
_FROM_MIXTURES = 12  # results, from which on the mixtures have a say
_FROM_RESAMPLING = 50  # different configurations, from which on results are doubted
_MOST_RESULTS = 3  # of one configuration
_MOST_DOUBTED = 3  # results that are candidates at a time
_MOST_MODELLED = 200
_PLACES = 32  # where the optimum may turn out to be, once a candidate has been measured
_BEST = 5  # results that candidates are mutated from
_LENGTH = 0.25  # length scale to expect of the only parameter that is active, as a share of its range
_DRAWS = 50
_SAME_PLACE = 1e-3  # closer than this to a trial that runs, as a share of a range, is where that one is


@dataclass(frozen=True)
class Optimum:
    """The configuration with the lowest expected result.

    Attributes:
        value: What to expect there, lower is better: negated where results are maximised.
        deviation: By how much that may be wrong, as a standard deviation.
    """

    parameters: Parameters
    value: float
    deviation: float


@dataclass(frozen=True)
class _Candidate:
    reason: str
    units: Floats
    active: Bools


class MetisTuner(Tuner):
    """Searches every type of search space, nested ones included."""

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes. NNI's names and defaults."""

        model_config = ConfigDict(extra="forbid")

        no_resampling: bool = Field(
            default=True,
            description="Measure nothing twice. When false, results that the model does not believe are "
            "candidates for another measurement, three of each configuration at the most.",
        )
        no_candidates: bool = Field(
            default=False,
            description="Look for no candidates: what is not the predicted optimum is random.",
        )
        selection_num_starting_points: int = Field(
            default=600, ge=2, description="Configurations at which each search for a candidate begins."
        )
        cold_start_num: int = Field(
            default=10, ge=1, description="Results to have before the model is used; so far it is random."
        )
        exploration_probability: float = Field(
            default=0.9,
            ge=0,
            le=1,
            description="How often the candidate with the highest expected gain is tried, and not the "
            "predicted optimum.",
        )

    default_optimize_mode: ClassVar[str] = "maximize"
    # All state comes from what was registered and received; proposing leaves no trace.
    replays_proposals: ClassVar[bool] = False
    deduplicates: ClassVar[bool] = True  # a configuration is measured again where that is meant

    def __init__(
        self,
        no_resampling: bool = True,
        no_candidates: bool = False,
        selection_num_starting_points: int = 600,
        cold_start_num: int = 10,
        exploration_probability: float = 0.9,
    ) -> None:
        self._resamples = not no_resampling
        self._has_candidates = not no_candidates
        near = selection_num_starting_points // 3
        self._effort = Effort(random=selection_num_starting_points - near, near=near, rounds=1)
        self._cold_start = cold_start_num
        self._exploration = exploration_probability
        self._space = SearchSpace({}, ())
        self._seen: dict[object, Parameters] = {}
        self._samples = Samples(0)
        self._running: dict[int, Parameters] = {}

    def update_search_space(self, search_space: SearchSpace) -> None:
        """What was measured in an earlier space is kept if it is a configuration of this one too."""
        earlier, samples, seen = self._space, self._samples, list(self._seen.values())
        self._space = search_space
        self._seen, self._samples = {}, Samples(search_space.dimensions)
        for row, parameters in enumerate(earlier.decode(samples.rows.units)):
            for value in samples.results(row):
                self._learn(parameters, value)
        for parameters in seen:
            self._note(parameters)
        # As many active parameters, as much longer are the length scales to expect: see tune-gp.
        length = _LENGTH * math.sqrt(max(1, len(search_space)))
        self._embedding = Embedding(search_space.leaves)
        form = Smoothness(length=length)
        self._model = Model(self._embedding, self._samples, form, most=_MOST_MODELLED)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        self._running[parameter_id] = parameters
        self._note(parameters)

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self._learn(parameters, float(value))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._running.pop(parameter_id, None)

    def _note(self, parameters: Parameters) -> None:
        if self._space.contains(parameters, extra=True):
            self._seen[self._space.key(parameters)] = parameters

    def _learn(self, parameters: Parameters, value: float) -> None:
        """A configuration of the user's own that is not in the space teaches nothing."""
        if self._space.contains(parameters, extra=True):
            units, active = self._space.encode([parameters])
            self._samples.add(self._space.key(parameters), units[0], active[0], value)

    def generate_parameters(self, parameter_id: int) -> Parameters:
        rng = self.rng(parameter_id)
        if len(self._samples) < self._cold_start:
            return self._fresh(self._space.sample(rng), rng)
        with one_thread():
            return self._propose(rng)

    def predicted_optimum(self) -> Optimum | None:
        """Where the lowest result is to be expected; None while there are too few results to say."""
        if len(self._samples) < self._cold_start:
            return None
        with one_thread():
            belief = self._believe()
            (units, active), _ = self._lowest_mean(belief, self.rng(0, stream=3))
            return self._optimum(belief, units[:1], active[:1])

    def _propose(self, rng: np.random.Generator) -> Parameters:
        belief = self._believe()
        (units, active), _ = self._lowest_mean(belief, rng)
        optimum = self._optimum(belief, units[:1], active[:1])
        _log.info(
            "predicted optimum %s: %.6g, standard deviation %.2g (lower is better)",
            optimum.parameters,
            optimum.value,
            optimum.deviation,
        )
        if rng.random() >= self._exploration and not self._is_tried(units[0], active[0]):
            return self._fresh(optimum.parameters, rng)
        if not self._has_candidates:
            return self._fresh(self._space.sample(rng), rng)
        chosen = self._most_telling(belief, (units[:_PLACES], active[:_PLACES]), rng)
        [parameters] = self._space.decode(chosen.units[None])
        _log.info("next is %s: %s", parameters, chosen.reason)
        return parameters if chosen.reason == "resampling" else self._fresh(parameters, rng)

    def _believe(self) -> Belief:
        return self._model.believe(self._pending)

    @property
    def _pending(self) -> Points:
        """Where trials run, shape (n, dimensions) each."""
        return self._space.encode(
            [each for each in self._running.values() if self._space.contains(each, extra=True)]
        )

    def _optimum(self, belief: Belief, units: Floats, active: Bools) -> Optimum:
        mean, deviation = belief.predict(units, active)
        value, error = belief.in_units_of_the_result(float(mean[0]), float(deviation[0]))
        return Optimum(self._space.decode(units)[0], value, error)

    def _most_telling(self, belief: Belief, places: Points, rng: np.random.Generator) -> _Candidate:
        """The candidate after whose measurement the lowest mean is expected to be lowest."""
        found = list(self._candidates(belief, places, rng))
        after = [belief.optimum_after(each.units, each.active, places) for each in found]
        return found[int(np.argmin(after))]

    def _candidates(self, belief: Belief, places: Points, rng: np.random.Generator) -> Iterator[_Candidate]:
        yield _Candidate("exploration", *self._least_known(belief, rng))
        if not self._runs_nearby(places[0][0], places[1][0]):
            yield _Candidate("predicted optimum", places[0][0], places[1][0])
        if len(self._samples) >= _FROM_MIXTURES and len(belief.rows) > 1:
            yield _Candidate("exploitation", *self._most_like_the_good(belief, places, rng))
        if self._resamples and self._samples.rows.n >= _FROM_RESAMPLING:
            rows = self._samples.rows
            doubted = [
                row for row in belief.rows[belief.surprises()] if self._samples.times(row) < _MOST_RESULTS
            ]
            for row in doubted[:_MOST_DOUBTED]:
                yield _Candidate("resampling", rows.units[row], rows.active[row])

    def _lowest_mean(self, belief: Belief, rng: np.random.Generator) -> tuple[Points, Floats]:
        def score(units: Floats, active: Bools) -> Floats:
            return -belief.mean(units, active)

        def climb(units: Floats, active: Bools) -> tuple[Floats, Floats]:
            mean, _, slope, _ = belief.slopes(units, active)
            return -mean, -slope

        numeric = self._embedding.numeric
        return search(self._space, self._pool(belief, rng), score, climb, numeric, self._effort, 1.0, rng)

    def _least_known(self, belief: Belief, rng: np.random.Generator) -> tuple[Floats, Bools]:
        """Where the interval of the expected result is widest: the lowest confidence."""

        def score(units: Floats, active: Bools) -> Floats:
            return belief.predict(units, active)[1]

        units, active = self._pool(belief, rng)
        return self._first_fresh((units, active), score(units, active))

    def _most_like_the_good(
        self, belief: Belief, places: Points, rng: np.random.Generator
    ) -> tuple[Floats, Bools]:
        """Where the mixture of good results has most density for that of the bad ones."""
        rows = self._samples.rows
        order = belief.rows[np.argsort(belief.values, kind="stable")]
        features = self._embedding(rows.units[order], rows.active[order])
        count = max(1, int(_GOOD * len(order)))
        good, bad = fit_mixture(features[:count]), fit_mixture(features[count:])
        units, active = (np.concatenate(parts) for parts in zip(self._pool(belief, rng), places, strict=True))
        x = self._embedding(units, active)
        return self._first_fresh((units, active), good.log_density(x) - bad.log_density(x))

    def _first_fresh(self, points: Points, scores: Floats) -> tuple[Floats, Bools]:
        """The one of the highest score that was not tried, or else of the highest score."""
        units, active = points
        order = np.argsort(-scores, kind="stable")
        for place in order.tolist():
            if not self._is_tried(units[place], active[place]):
                return units[place], active[place]
        return units[order[0]], active[order[0]]

    def _is_tried(self, units: Floats, active: Bools) -> bool:
        """Whether it was on trial, or is next to what runs."""
        [parameters] = self._space.decode(units[None])
        return self._space.key(parameters) in self._seen or self._runs_nearby(units, active)

    def _runs_nearby(self, units: Floats, active: Bools) -> bool:
        """Whether a trial runs at nearly the same place, so that the result there is on its way.

        No running trial moves the lowest mean, and all of a batch would measure it, a rounding error from
        each other.
        """
        running, where = self._pending
        apart = np.abs(np.where(active, running - units, 0.0)).max(axis=1, initial=0.0)
        return bool(((apart < _SAME_PLACE) & (where == active).all(axis=1)).any())

    def _pool(self, belief: Belief, rng: np.random.Generator) -> Points:
        rows = self._samples.rows
        best = belief.rows[np.argsort(belief.values, kind="stable")[:_BEST]]
        near = rows.units[best], rows.active[best]
        return candidates(self._space, near, near, self._effort, 1.0, rng)

    def _fresh(self, parameters: Parameters, rng: np.random.Generator) -> Parameters:
        """`parameters`, or another configuration where they are forbidden or were on trial before.

        Raises:
            NoMoreTrial: All of a finite space were.
        """
        parameters = self._space.repair(parameters, rng)
        for _ in range(_DRAWS):
            if self._space.key(parameters) not in self._seen:
                return parameters
            parameters = self._space.sample(rng)
        if not self._space.is_finite:
            return parameters  # so narrow that floating point repeats itself
        unseen = (each for each in self._space.grid() if self._space.key(each) not in self._seen)
        if (found := next(unseen, None)) is None:
            raise NoMoreTrial(f"all {self._space.size:,} configurations of the search space were proposed")
        return found
