"""Gaussian process tuner: a model of all results, and the configuration that promises most under it.

Jones, D. R., Schonlau, M. and Welch, W. J. (1998). Efficient global optimization of expensive black-box
functions. Journal of Global Optimization 13, 455-492. https://doi.org/10.1023/A:1008306431147

Song, X. et al. (2024). The Vizier Gaussian process bandit algorithm. https://arxiv.org/abs/2408.11527

The deviation is conditioned on running trials as well, the mean on finished ones only:
Desautels, T., Krause, A. and Burdick, J. W. (2014). Parallelizing exploration-exploitation tradeoffs in
Gaussian process bandit optimization. JMLR 15. https://jmlr.org/papers/v15/desautels14a.html
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tune_core import Parameters, SearchSpace, Tuner
from tune_core.algorithms.threads import one_thread
from tune_core.space import Leaf
from tune_gp.acquisition import Acquisition, Aim, Utility
from tune_gp.embedding import Bools, Embedding, Floats, Indices
from tune_gp.history import History
from tune_gp.process import Smoothness
from tune_gp.search import Branch, Effort, Points, candidates, reach, search
from tune_gp.surrogate import Belief, Surrogate

__all__ = ["GPTuner"]

_LEAST_STARTUP = 6  # results before the model is used, when others are running
_YOUNG = 3  # times as many results as at the start: a batch then begins to explore
_BEST = 5  # results that candidates are mutated from
_LENGTH = 0.25  # length scale to expect of the only parameter that is active, as a share of its range
_NEAR = 1e-3  # from a running trial, in every coordinate: the same


class GPTuner(Tuner):
    """Bayesian optimisation over all types of search spaces, nested ones included.

    Proposals are the maximum of the utility under a Gaussian process over finished trials. Running
    trials take away the deviation around them; failed ones count as bad as many others around them failed.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes. NNI's names."""

        model_config = ConfigDict(extra="forbid")

        utility: Utility = Field(
            default="ei",
            description="What is maximised: expected improvement, upper confidence bound, or probability "
            "of improvement.",
        )
        kappa: float = Field(
            default=5.0, ge=0, description="For ucb: how many standard deviations are added to the mean."
        )
        xi: float = Field(
            default=0.0,
            ge=0,
            description="For ei and poi: by how much, in units of the result, to improve on the best.",
        )
        nu: float = Field(
            default=2.5, gt=0, description="Smoothness of the Matern kernel; .inf is the squared exponential."
        )
        alpha: float = Field(
            default=1e-6,
            ge=1e-10,
            description="Variance of the noise, of standardised results, to which the fitted one is added.",
        )
        cold_start_num: int | None = Field(
            default=None,
            ge=1,
            description="Results to have before the model is used. Null: number of parameters active on "
            "average + 2, between 6 and 10, of which all but 6 may still be running. NNI: 10.",
        )
        selection_num_warm_up: int = Field(
            default=384, ge=2, description="Candidates whose utility is compared. NNI: 100000."
        )
        selection_num_starting_points: int = Field(
            default=4,
            ge=0,
            description="The best candidates from which the gradient of the utility is followed. NNI: 250.",
        )
        most_modelled: int = Field(
            default=200,
            ge=20,
            description="Results that the model holds at most: it bounds the time of an ask.",
        )
        warp: bool = Field(
            default=True,
            description="Show the model results warped to a normal distribution. NNI: false.",
        )

    default_optimize_mode: ClassVar[str] = "maximize"
    # All state comes from what was registered and received; proposing leaves no trace.
    replays_proposals: ClassVar[bool] = False

    def __init__(
        self,
        utility: Utility = "ei",
        kappa: float = 5.0,
        xi: float = 0.0,
        nu: float = 2.5,
        alpha: float = 1e-6,
        cold_start_num: int | None = None,
        selection_num_warm_up: int = 384,
        selection_num_starting_points: int = 4,
        most_modelled: int = 200,
        warp: bool = True,
    ) -> None:
        self._utility: Utility = utility
        self._kappa, self._xi = kappa, xi
        self._nu, self._alpha = nu, alpha
        self._cold_start = cold_start_num
        half = selection_num_warm_up // 2
        self._effort = Effort(
            random=selection_num_warm_up - half, near=half, climbs=selection_num_starting_points
        )
        self._most, self._warp = most_modelled, warp
        self._space = SearchSpace({}, ())
        self._history = History(0)

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Results under an earlier space are kept if they are configurations of this one too."""
        space, history = self._space, self._history
        self._space = search_space
        self._history = History(search_space.dimensions)
        active = _active_on_average(search_space.leaves)
        # The more parameters there are the less each matters: with the root of their number the model says
        # as much in many dimensions as in few (Hvarfner et al., 2024).
        form = Smoothness(self._nu, self._alpha, length=_LENGTH * math.sqrt(max(active, 1.0)))
        embedding = Embedding(search_space.leaves)
        self._surrogate = Surrogate(embedding, self._history, form, most=self._most, straighten=self._warp)
        self._ordered = np.array([leaf.domain.is_ordered for leaf in search_space.leaves], dtype=np.bool_)
        fitting = int(np.clip(round(active) + 2, _LEAST_STARTUP, 10))
        self._n_startup = self._cold_start or fitting
        self._carry_over(space, history)

    def _carry_over(self, space: SearchSpace, history: History) -> None:
        finished, failed = history.finished, history.failed
        for number, parameters in enumerate(space.decode(finished.units)):
            self.register_pending(-1 - number, parameters)
            self._history.finish(-1 - number, float(finished.values[number]))
        for parameters in space.decode(failed.units):
            self.register_pending(-1, parameters)
            self._history.fail(-1)
        for parameter_id, (units, _) in history.pending.items():
            self.register_pending(parameter_id, space.decode(units[None])[0])

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """A configuration of the user's own that is not in the space teaches nothing."""
        if self._space.contains(parameters, extra=True):
            units, active = self._space.encode([parameters])
            self._history.start(parameter_id, units[0], active[0])

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self._history.finish(parameter_id, value)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._history.fail(parameter_id)

    def generate_parameters(self, parameter_id: int) -> Parameters:
        aim: Aim = "pe" if self._explores(parameter_id) else self._utility
        return self.propose(parameter_id, aim, self._kappa)

    def _explores(self, parameter_id: int) -> bool:
        """Whether to learn where the best may be, beside trials that run: every other time, and not while
        the model is so young that it may be nearly anywhere."""
        history = self._history
        if self._utility != "ei" or not history.pending or history.finished.n < _YOUNG * self._n_startup:
            return False
        return bool(self.rng(parameter_id, stream=5).random() < 0.5)

    def propose(
        self, parameter_id: int, utility: Aim, kappa: float, branch: Branch | None = None
    ) -> Parameters:
        """`generate_parameters` with a utility for this once.

        Args:
            branch: Where to look. What is improved on is then the best in there.
        """
        if self.is_starting:
            return self._space.decode(self._design_point(parameter_id)[None])[0]
        with one_thread():
            return self._propose(parameter_id, utility, kappa, branch)

    def _propose(self, parameter_id: int, utility: Aim, kappa: float, branch: Branch | None) -> Parameters:
        belief = self.believe()
        units = self._history.finished.units[belief.rows]
        inside = np.flatnonzero(branch.holds(units)) if branch else np.arange(len(units))
        ranking = inside[np.argsort(belief.means[inside], kind="stable")]
        ranking = ranking if len(ranking) else np.argsort(belief.means, kind="stable")
        best = float(belief.means[ranking[0]])
        acquisition = Acquisition(utility, best, kappa, self._xi * belief.factor)
        rng = self.rng(parameter_id)
        return self._first_fresh(self._ranked(belief, acquisition, ranking[:_BEST], branch, rng))

    @property
    def startup_trials(self) -> int:
        """How many trials come before the model; known with the search space."""
        return self._n_startup

    @property
    def is_starting(self) -> bool:
        """Whether there are too few results for the model. By our own rule those that are under way count:
        they are part of the design, and waiting for them would draw yet more trials blindly."""
        n, running = self._history.finished.n, len(self._history.pending)
        if self._cold_start is not None:
            return n < self._cold_start
        return n < _LEAST_STARTUP or n + running < self._n_startup

    def believe(self) -> Belief:
        """What the model says of all that was received. Only when it `is_starting` no more."""
        with one_thread():
            return self._surrogate.believe()

    def _design_point(self, parameter_id: int) -> Floats:
        """The middle of all ranges, then rows of a Latin hypercube: the first proposals meet every part of
        every range, and every option as often as any other. Shape (dimensions,)."""
        n = self._n_startup
        square, row = divmod(max(parameter_id - 1, 0), n)
        rng = self.rng(square, stream=2)
        cells = np.argsort(rng.random((n, self._space.dimensions)), axis=0)
        point: Floats = (cells[row] + rng.random((n, self._space.dimensions))[row]) / n
        return np.where(self._ordered, 0.5, point) if parameter_id == 0 else point

    def _ranked(
        self,
        belief: Belief,
        acquisition: Acquisition,
        parents: Indices,
        branch: Branch | None,
        rng: np.random.Generator,
    ) -> Points:
        """Configurations of high utility, the highest first.

        Args:
            parents: Places of the results, among those that are modelled, to look near of.
        """

        def score(units: Floats, active: Bools) -> Floats:
            values = acquisition(*belief.predict(units, active))
            return values if branch is None else np.where(branch.holds(units), values, -np.inf)

        def climb(units: Floats, active: Bools) -> tuple[Floats, Floats]:
            mean, deviation, mean_slope, deviation_slope = belief.slopes(units, active)
            by_mean, by_deviation = acquisition.slopes(mean, deviation)
            slope = by_mean[:, None] * mean_slope + by_deviation[:, None] * deviation_slope
            return acquisition(mean, deviation), slope

        finished = self._history.finished
        tried = finished.units[belief.rows], finished.active[belief.rows]
        best = tried[0][parents], tried[1][parents]
        radius = reach(finished.n, float(tried[1].sum(axis=1).mean()))
        pool = candidates(self._space, tried, best, self._effort, radius, rng, branch)
        numeric = belief.embedding.numeric
        found, _ = search(self._space, pool, score, climb, numeric, self._effort, radius, rng)
        return found

    def _first_fresh(self, ranked: Points) -> Parameters:
        """The first that is not forbidden, was never on trial, and is not next to one that is."""
        running = np.array([units for units, _ in self._history.pending.values()])
        for units in ranked[0]:
            if self._history.has_seen(units):
                continue
            if len(running) and (np.abs(running - units).max(axis=1) < _NEAR).any():
                continue
            [parameters] = self._space.decode(units[None])
            if not self._space.is_forbidden(parameters):
                return parameters
        return self._space.decode(ranked[0][:1])[0]


def _active_on_average(leaves: tuple[Leaf, ...]) -> float:
    """The mean number of active leaves of a random configuration, those of one value left out."""
    shares: list[float] = []
    for leaf in leaves:
        above = 1.0 if leaf.parent is None else shares[leaf.parent] / leaves[leaf.parent].domain.size
        shares.append(above)
    return sum(share for share, leaf in zip(shares, leaves, strict=True) if leaf.domain.size > 1)
