"""Hyperopt's own algorithms, asked for one configuration at a time.

Bergstra, J., Yamins, D. and Cox, D. D. (2013). Making a science of model search: hyperparameter optimization
in hundreds of dimensions for vision architectures. ICML 2013.
https://proceedings.mlr.press/v28/bergstra13.html

Nothing of an algorithm is here: each proposal hands hyperopt all trials so far and a seed. Hyperopt takes a
trial without a result, running or failed, for one whose loss is infinite.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from hyperopt import (  # type: ignore[import-untyped]
    JOB_STATE_DONE,
    STATUS_FAIL,
    STATUS_NEW,
    STATUS_OK,
    anneal,
    rand,
    tpe,
)
from hyperopt.base import Domain, trials_from_docs  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field

from tune_core import Parameters, SearchSpace, Tuner
from tune_hyperopt.translation import Point, Translation

__all__ = ["HyperoptAnnealTuner", "HyperoptRandomTuner", "HyperoptTPETuner"]

Liar = Literal["min", "max", "mean", "best", "worst"]

_LIES_AFTER = 20  # results; as in NNI

# It tells each proposal at the level of information, in the log of the experiment.
logging.getLogger("hyperopt").setLevel(logging.WARNING)


class _Trial:
    """One trial as hyperopt is told of it. `value` is its loss, None without a result."""

    def __init__(self, parameters: Parameters, point: Point) -> None:
        self.parameters = parameters
        self.point = point
        self.value: float | None = None
        self.is_over = False

    def document(self, number: int, lie: float | None) -> dict[str, Any]:
        loss = self.value if self.is_over else lie
        status = STATUS_OK if loss is not None else STATUS_FAIL if self.is_over else STATUS_NEW
        return {
            "tid": number,
            "spec": None,
            "state": JOB_STATE_DONE,
            "result": {"status": status} if loss is None else {"status": status, "loss": loss},
            "misc": {
                "tid": number,
                "idxs": {label: [number] * len(values) for label, values in self.point.items()},
                "vals": self.point,
            },
        }


class HyperoptRandomTuner(Tuner):
    """Hyperopt's `rand.suggest`. Also what the others have in common.

    Args:
        parallel_optimize: Give running trials a result that is made up, once there are 20 real ones.
        constant_liar_type: Which: the least of the losses so far, the greatest, or their mean.
    """

    default_optimize_mode: ClassVar[str] = "minimize"
    replays_proposals: ClassVar[bool] = False

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

    def __init__(self, parallel_optimize: bool = False, constant_liar_type: Liar = "min") -> None:
        self._lies = parallel_optimize
        self._liar = {"best": "min", "worst": "max"}.get(constant_liar_type, constant_liar_type)
        self._trials: dict[int, _Trial] = {}  # in order of their start

    def update_search_space(self, search_space: SearchSpace) -> None:
        """Trials of an earlier space that are configurations of this one too are kept."""
        self._space = search_space
        self._translation = Translation(search_space)
        self._domain = Domain(_nothing, self._translation.space)
        self._trials = {
            number: trial for number, trial in self._trials.items() if self._fits(trial.parameters)
        }
        for trial in self._trials.values():
            trial.point = self._translation.point(trial.parameters)

    def _fits(self, parameters: Parameters) -> bool:
        return self._space.contains(parameters, extra=True)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        if self._fits(parameters):
            self._trials[parameter_id] = _Trial(parameters, self._translation.point(parameters))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        if parameter_id in self._trials:  # else it is no configuration of the space
            self._trials[parameter_id].value = float(value)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        if parameter_id in self._trials:
            self._trials[parameter_id].is_over = True

    def generate_parameters(self, parameter_id: int) -> Parameters:
        if not self._translation.labels:  # no parameter has more than one value
            return self._space.sample(self.rng(parameter_id))
        lie = self._lie()
        documents = [trial.document(number, lie) for number, trial in enumerate(self._trials.values())]
        trials = trials_from_docs(documents, validate=False)
        seed = int(self.rng(parameter_id).integers(2**32))
        [proposed] = self._suggest([len(documents)], self._domain, trials, seed)
        return self._translation.parameters(proposed["misc"]["vals"])

    def _lie(self) -> float | None:
        """The loss that running trials are said to have; None: hyperopt takes it for infinite."""
        losses = [trial.value for trial in self._trials.values() if trial.value is not None]
        if not self._lies or len(losses) <= _LIES_AFTER:
            return None
        return {"min": min(losses), "max": max(losses), "mean": _mean(losses)}[self._liar]

    def _suggest(self, *asked: Any) -> Any:
        return rand.suggest(*asked)


class _LiarArguments(BaseModel):
    """NNI's, of the two algorithms that learn."""

    model_config = ConfigDict(extra="forbid")

    parallel_optimize: bool = Field(
        default=False,
        description="Give running trials a made-up result once there are more than 20 real ones; otherwise "
        "they count as infinitely bad.",
    )
    constant_liar_type: Liar = Field(
        default="min",
        description="The made-up result: the least loss so far (`min`, `best`), the greatest (`max`, "
        "`worst`) or their mean.",
    )


class HyperoptTPETuner(HyperoptRandomTuner):
    """Hyperopt's `tpe.suggest`.

    Args:
        parallel_optimize: As of `HyperoptRandomTuner`.
        constant_liar_type: As of `HyperoptRandomTuner`.
        options: Hyperopt's own, by its names.
    """

    class Arguments(_LiarArguments):
        """What `classArgs` may hold beside what the kernel takes."""

        n_startup_jobs: int = Field(default=20, ge=1, description="Trials to have before the model is used.")
        n_EI_candidates: int = Field(default=24, ge=1, description="Draws of each parameter to choose from.")  # noqa: N815 (hyperopt's name)
        gamma: float = Field(default=0.25, gt=0, description="Of N trials gamma sqrt(N) count as good.")
        prior_weight: float = Field(
            default=1.0, gt=0, description="Weight of the prior beside that of one trial."
        )

    def __init__(
        self, parallel_optimize: bool = False, constant_liar_type: Liar = "min", **options: float
    ) -> None:
        super().__init__(parallel_optimize, constant_liar_type)
        self._options: Mapping[str, float] = options

    def _suggest(self, *asked: Any) -> Any:
        return tpe.suggest(*asked, verbose=False, **self._options)


class HyperoptAnnealTuner(HyperoptRandomTuner):
    """Hyperopt's `anneal.suggest`.

    Args:
        parallel_optimize: As of `HyperoptRandomTuner`.
        constant_liar_type: As of `HyperoptRandomTuner`.
        options: Hyperopt's own, by its names.
    """

    class Arguments(_LiarArguments):
        """What `classArgs` may hold beside what the kernel takes."""

        avg_best_idx: float = Field(
            default=2.0,
            ge=1,
            description="Mean place in the ranking of the trial to draw near; 1 is the best.",
        )
        shrink_coef: float = Field(
            default=0.1, ge=0, description="After T trials 1 / (1 + T * shrink_coef) of the width is left."
        )

    def __init__(
        self, parallel_optimize: bool = False, constant_liar_type: Liar = "min", **options: float
    ) -> None:
        super().__init__(parallel_optimize, constant_liar_type)
        self._options: Mapping[str, float] = options

    def _suggest(self, *asked: Any) -> Any:
        return anneal.suggest(*asked, **self._options)


def _mean(losses: list[float]) -> float:
    return sum(loss / len(losses) for loss in losses)  # of huge ones too


def _nothing(_: object) -> float:
    """Hyperopt wants the function that it is not going to call."""
    raise AssertionError("hyperopt is only asked for proposals")
