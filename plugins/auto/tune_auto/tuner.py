"""The tuner that chooses the algorithm itself, for every proposal, by what the results so far say.

Two models hear of every trial: a Gaussian process over the whole tree of the search space (tune-gp) and the
tree-structured Parzen estimator (tune-tpe). The first is the better the more of the results it can predict,
and this is what is looked at: each result is predicted from all others, which costs nothing beside the model.
Where there are several objectives all proposals are TPE's, which looks for a whole front.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict
from tune_gp.embedding import Floats
from tune_gp.search import Branch
from tune_gp.tuner import GPTuner
from tune_tpe.tuner import TPETuner

from tune_core import Objectives, Parameters, Score, SearchSpace, Tuner

__all__ = ["AutoTuner", "Way", "has_settled", "share_of_tpe"]

_log = logging.getLogger(__name__)

Way: TypeAlias = Literal["start", "GP", "GP exploring", "TPE"]

TRUSTED = 0.25  # the share of the variance that a process predicts which gets nearly all proposals
LEAST, MOST = 0.03, 0.9  # share of TPE
PATIENCE = 10  # trials without a gain worth mentioning, after which every other proposal explores
GAIN = 1e-3  # worth mentioning, as a share of what was gained over the median so far
LOUD, MOST_OF_NOISE = 0.2, 0.5  # noise from which TPE gets more, and the share that this can bring it
QUIET = 0.05  # noise, as a share of how much the results vary, that does not count
KAPPA = 2.5  # deviations that count when exploring
SEVERAL = "TPE, which looks for a whole front, since there are several objectives"


def share_of_tpe(explained: float, noise: float) -> float:
    """The probability of a proposal by TPE.

    Args:
        explained: The share of the variance of the results that the process predicts.
        noise: Standard deviation of the noise, as a share of that of the function. TPE compares many
            results with many and is hardly misled by it.

    >>> [share_of_tpe(explained, 0.0) for explained in (-0.2, 0.125, 0.8)]
    [0.9, 0.5, 0.03]
    >>> [round(share_of_tpe(0.8, noise), 2) for noise in (0.1, 0.5, 2.0)]
    [0.03, 0.3, 0.5]
    """
    unexplained = np.clip(1.0 - explained / TRUSTED, LEAST, MOST)
    return float(max(unexplained, min(noise - LOUD, MOST_OF_NOISE)))


def has_settled(expected: Sequence[float] | Floats) -> bool:
    """Whether the newest trials brought no gain worth mentioning.

    Args:
        expected: What the process expects at each trial, oldest first, lower is better: by luck alone
            nothing is gained.

    >>> has_settled([5.0, 4.0, 3.0, 1.0] + [2.0] * 9), has_settled([5.0, 4.0, 3.0, 1.0] + [2.0] * 10)
    (False, True)
    """
    known = np.asarray(expected)
    if len(known) < PATIENCE + 4:
        return False
    before, best = known[:-PATIENCE].min(), known.min()
    return bool(before - best <= GAIN * (np.median(known) - best))


class AutoTuner(Tuner):
    """A Gaussian process where it predicts the results, TPE where it does not.

    Both are given every trial, also those that the other proposed. When the results stop getting better,
    every other proposal goes where the process is least sure, or into another branch.
    """

    class Arguments(BaseModel):
        """There is nothing to set but `optimize_mode` and `seed`, which the kernel takes."""

        model_config = ConfigDict(extra="forbid")

    default_optimize_mode: ClassVar[str] = "minimize"
    many_objectives: ClassVar[bool] = True
    # All state comes from what was registered and received; proposing leaves no trace.
    replays_proposals: ClassVar[bool] = False

    def __init__(self) -> None:
        self._gp, self._tpe = GPTuner(), TPETuner()
        self._best: Parameters | None = None
        self._lowest = 0.0  # its value
        self._are_many = False  # objectives; told by the first result
        self._told = ""  # what the log says already

    def set_seed(self, seed: int) -> None:
        super().set_seed(seed)
        self._gp.set_seed(seed)
        self._tpe.set_seed(seed)

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Results under an earlier space are kept if they are configurations of this one too."""
        self._gp.update_search_space(search_space)
        self._tpe.update_search_space(search_space)
        self._space = search_space
        if self._best is not None and not search_space.contains(self._best, extra=True):
            self._best = None

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        self._gp.register_pending(parameter_id, parameters)
        self._tpe.register_pending(parameter_id, parameters)

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self._gp.receive_trial_result(parameter_id, parameters, value)
        self._tpe.receive_trial_result(parameter_id, parameters, value)
        self._are_many = len(Score.of(value).values) > 1
        is_best = self._best is None or value < self._lowest
        if is_best and self._space.contains(parameters, extra=True):
            self._best, self._lowest = parameters, value

    def remark(self, objectives: Objectives, trials: int | None) -> str:
        """What it will do, as far as the space, the objectives and the number of trials decide it."""
        if objectives.are_many:
            return SEVERAL
        start = self._gp.startup_trials
        if trials is not None and trials <= start:
            return f"a Latin hypercube throughout, since a model needs more than {start} trials"
        return f"a Latin hypercube of {start}, then a Gaussian process where it predicts results, else TPE"

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self._gp.trial_end(parameter_id, success)
        self._tpe.trial_end(parameter_id, success)

    def generate_parameters(self, parameter_id: int) -> Parameters:
        way = self._way(parameter_id)
        if way == "TPE":
            return self._tpe.generate_parameters(parameter_id)
        if way == "GP exploring":
            return self._explore(parameter_id)
        return self._gp.generate_parameters(parameter_id)

    def _explore(self, parameter_id: int) -> Parameters:
        """Where the process is least sure or, where there are nested choices, the best of another branch:
        a model that knows a branch badly does not know what the best of it would be."""
        choices = [leaf for leaf in self._space if leaf.is_nested and leaf.domain.size > 1]
        if not choices or self._best is None:
            return self._gp.propose(parameter_id, "ucb", KAPPA)
        rng = self.rng(parameter_id, stream=4)
        leaf = choices[int(rng.integers(len(choices)))]
        size = int(leaf.domain.size)
        taken = int(self._space.encode([self._best])[0][0, leaf.index] * size)
        other = (taken + 1 + int(rng.integers(size - 1))) % size
        return self._gp.propose(parameter_id, "ei", 0.0, Branch(leaf.index, other, size))

    def _way(self, parameter_id: int) -> Way:
        if self._gp.is_starting:
            self._tell("a Latin hypercube until there are results enough for a model")
            return "start"
        if self._are_many:
            self._tell(SEVERAL)
            return "TPE"
        belief = self._gp.believe()
        share = share_of_tpe(belief.explained, belief.noise)
        # Where there is noise, the best is not known for sure however long it has been the best.
        settled = belief.noise < QUIET and has_settled(belief.means)
        self._tell(_reason(share, settled))
        of_models, of_aims = self.rng(parameter_id, stream=3).random(2)
        if of_models < share:
            return "TPE"
        return "GP exploring" if settled and of_aims < 0.5 else "GP"

    def _tell(self, reason: str) -> None:
        """Put what is chosen, and why, into the log when it changes."""
        if reason != self._told:
            self._told = reason
            _log.info("auto: %s", reason)


def _reason(share: float, settled: bool) -> str:
    if share > MOST_OF_NOISE:
        return "TPE, since a Gaussian process predicts less than an eighth of how results differ"
    if share > 0.1:
        return "Gaussian process, and TPE now and then, since results are noisy or partly unexplained"
    if settled:
        return "Gaussian process, every other proposal away from the best: no gain for a while"
    return "Gaussian process, which predicts how results differ"
