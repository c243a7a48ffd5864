"""SMAC: Bayesian optimisation with a random forest, which takes conditional spaces as they are.

Hutter, F., Hoos, H. H. and Leyton-Brown, K. (2011). Sequential model-based optimization for general algorithm
configuration. LION 5. https://doi.org/10.1007/978-3-642-25566-3_40

Lindauer, M. et al. (2022). SMAC3: a versatile Bayesian optimization package for hyperparameter optimization.
JMLR 23. https://jmlr.org/papers/v23/21-0888.html

SMAC's own loop keeps its state in files and random generators. Here its parts are asked anew for each block
of proposals, so that all state comes from what was registered and received.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import islice
from typing import ClassVar, NamedTuple

from ConfigSpace import Configuration
from pydantic import BaseModel, ConfigDict, Field

from tune_core import Parameters, SearchSpace, Tuner
from tune_smac.challengers import challengers, initial_design
from tune_smac.translation import Translation

__all__ = ["SMACTuner"]

_TRIES = 1_000  # challengers to look at for one that is new


class _Block(NamedTuple):
    """Proposals that come from one model.

    Attributes:
        first: The id of the first proposal, which is the seed too.
        known: How many trials had ended, results and failures, when it began.
    """

    first: int
    known: int


class SMACTuner(Tuner):
    """Random-forest Bayesian optimisation over all types of search spaces but `input_choice`.

    A failed trial counts as the worst result so far. A configuration that was on trial is not proposed
    again.

    Args:
        config_dedup: Of no effect.
        n_initial: Trials of the initial design. None: ten for each parameter, and 25 at the most.
        retrain_after: Proposals from one model.
        n_trees: Trees of the forest.
        random_share: Share of random proposals after the initial design.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        config_dedup: bool = Field(
            default=False, description="NNI's, without effect: no configuration is proposed twice anyhow."
        )
        n_initial: int | None = Field(
            default=None,
            ge=1,
            description="Trials of the initial design. Null: ten for each parameter, 25 at the most.",
        )
        retrain_after: int = Field(default=8, ge=1, description="Proposals that are made from one model.")
        n_trees: int = Field(default=10, ge=1, description="Trees of the forest.")
        random_share: float = Field(
            default=0.2, ge=0, le=1, description="Share of random proposals after the initial design."
        )

    replays_proposals: ClassVar[bool] = False

    def __init__(
        self,
        config_dedup: bool = False,
        n_initial: int | None = None,
        retrain_after: int = 8,
        n_trees: int = 10,
        random_share: float = 0.2,
    ) -> None:
        self._n_initial = n_initial
        self._retrain_after = retrain_after
        self._n_trees, self._random_share = n_trees, random_share
        self._ended: list[tuple[Parameters, float | None]] = []  # in order; None for a failure
        self._running: dict[int, Parameters] = {}

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Trials under an earlier space are kept if they are configurations of this one too."""
        translation = Translation(search_space)
        self._space, self._translation = search_space, translation
        self._ended = [each for each in self._ended if self._fits(each[0])]
        self._running = {number: each for number, each in self._running.items() if self._fits(each)}
        known = [*(each for each, _ in self._ended), *self._running.values()]
        self._seen: set[Hashable] = {search_space.key(each) for each in known}
        self._started = len(known)
        self._in_design = self._n_initial or min(25, 10 * len(translation.configspace))
        self._design: list[Configuration] | None = None
        self._block: _Block | None = None
        self._used = 0  # proposals of the block
        self._queue: tuple[_Block, list[Configuration], Iterator[Configuration]] | None = None

    def _fits(self, parameters: Parameters) -> bool:
        return self._space.contains(parameters, extra=True)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        if parameter_id >= 0 and self._has_model:
            self._block, self._used = self._next_block(parameter_id), self._used % self._retrain_after + 1
        if not self._fits(parameters):
            return
        self._running[parameter_id] = parameters
        self._seen.add(self._space.key(parameters))
        self._started += 1

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        if self._running.pop(parameter_id, None) is not None:
            self._ended.append((parameters, float(value)))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        failed = self._running.pop(parameter_id, None)
        if failed is not None:
            self._ended.append((failed, None))

    @property
    def _has_model(self) -> bool:
        """Whether the initial design is over, and there is a result to learn from."""
        return self._started >= self._in_design and any(value is not None for _, value in self._ended)

    def _next_block(self, parameter_id: int) -> _Block:
        """The block that the next proposal belongs to."""
        if self._block is None or self._used >= self._retrain_after:
            return _Block(parameter_id, len(self._ended))
        return self._block

    def generate_parameters(self, parameter_id: int) -> Parameters:
        rng = self.rng(parameter_id)
        if not len(self._translation.configspace):  # no parameter has more than one value
            return self._space.sample(rng)
        if self._has_model:
            proposals = self._challengers(self._next_block(parameter_id))
        else:
            proposals = iter(self._initial_design())
        for configuration in islice(proposals, _TRIES):
            parameters = self._translation.parameters(configuration)
            if self._space.key(parameters) not in self._seen and not self._space.is_forbidden(parameters):
                return parameters
        return self._space.sample(rng)  # the kernel sees to repeats, and to a space that is used up

    def _initial_design(self) -> list[Configuration]:
        if self._design is None:
            seed = int(self.rng(0, stream=3).integers(2**31))
            self._design = initial_design(self._translation.configspace, self._in_design, seed)
        return self._design

    def _challengers(self, block: _Block) -> Iterator[Configuration]:
        """All challengers of `block`, those that were looked at before included."""
        if self._queue is None or self._queue[0] != block:
            seed = int(self.rng(block.first).integers(2**31))
            results = self._results(block.known)
            found = challengers(results, seed, trees=self._n_trees, random_share=self._random_share)
            self._queue = block, [], found
        _, looked_at, others = self._queue
        yield from looked_at
        for configuration in others:
            looked_at.append(configuration)
            yield configuration

    def _results(self, known: int) -> list[tuple[Configuration, float]]:
        """The first `known` trials that ended."""
        ended = self._ended[:known]
        worst = max(value for _, value in ended if value is not None)
        return [
            (self._translation.configuration(parameters), worst if value is None else value)
            for parameters, value in ended
        ]
