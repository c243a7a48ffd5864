"""`TunerAdvisor`: a tuner with an optional assessor, as the one algorithm that the kernel knows.

Here is done, once for all tuners, what each would otherwise do in its own way: refusing
configurations that are no JSON objects, replacing repeats and what is forbidden, ending a finite
space that is used up.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tune_core.algorithms.base import Advisor, Assessor, Observation, Tuner
from tune_core.errors import AlgorithmError, NoMoreTrial, SearchSpaceError, SpaceProblem
from tune_core.json import dump_json
from tune_core.trial import Parameters, TrialState

if TYPE_CHECKING:
    from pathlib import Path

    from tune_core.space import SearchSpace

__all__ = ["TunerAdvisor", "check_configuration"]

_REDRAWS = 50  # random draws for a replacement before the space is enumerated instead


class TunerAdvisor(Advisor):
    """Composes `tuner` and `assessor`.

    Deduplication is NNI's: a repeat is replaced by a configuration that was not proposed before.
    Ours draws it at random first, because the next point of a grid is a corner of the space.
    """

    def __init__(self, tuner: Tuner, assessor: Assessor | None = None) -> None:
        self.tuner = tuner
        self.assessor = assessor
        self.listens = assessor is not None
        self.replays_proposals = tuner.replays_proposals
        # Each tuner has its own.
        self.default_optimize_mode = tuner.default_optimize_mode  # type: ignore[misc]
        self.many_objectives = tuner.many_objectives  # type: ignore[misc]
        self.handles_constraints = tuner.handles_constraints  # type: ignore[misc]
        self.needs_space = tuner.needs_space  # type: ignore[misc]
        self.needs_folder = tuner.needs_folder
        self.wants_reports = assessor is not None and assessor.wants_reports  # type: ignore[misc]
        self._parameters: dict[int, Parameters] = {}  # of trials that are not over
        self._histories: dict[int, list[float]] = {}
        self._seen: dict[Hashable, Parameters | None] = {}
        self._unseen: Iterator[Parameters] | None = None
        self._looked_at: Parameters | None = None  # the first of the grid that may not be seen yet

    @property
    def algorithm_name(self) -> str:
        return type(self.tuner).__name__

    def takes(self, parameters: Parameters) -> bool:
        return self.tuner.takes(parameters)

    def set_seed(self, seed: int) -> None:
        super().set_seed(seed)
        self.tuner.set_seed(seed)
        if self.assessor is not None:
            self.assessor.set_seed(seed)

    def set_directory(self, directory: Path) -> None:
        self.tuner.set_directory(directory)

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.tuner.update_search_space(search_space)
        self._space = search_space
        self._unseen = None
        # Keys mean nothing in another space, so what still fits is noted anew.
        kept = [parameters for parameters in self._seen.values() if parameters is not None]
        self._seen = {}
        for parameters in kept:
            if search_space.contains(parameters):
                self._note(parameters)

    def propose(self, parameter_id: int) -> Parameters | None:
        if not self.tuner.deduplicates and len(self._seen) >= self._space.size and self._all_seen():
            raise NoMoreTrial(f"all {self._space.size:,} configurations of the search space were proposed")
        parameters = self.tuner.generate_parameters(parameter_id)
        if parameters is None:
            return None
        _check_json(self.tuner, parameters)
        if self.tuner.deduplicates:
            return parameters
        if self._space.is_forbidden(parameters):
            parameters = self._space.repair(parameters, self.rng(parameter_id, stream=2))
        if self._key(parameters) not in self._seen:
            return parameters
        return self._replacement(parameter_id)

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        self._parameters[parameter_id] = parameters
        self._note(parameters)
        self.tuner.register_pending(parameter_id, parameters)

    def report_intermediate(self, parameter_id: int, value: float) -> bool:
        if self.assessor is None:
            return True
        history = self._histories.setdefault(parameter_id, [])
        history.append(value)
        return bool(self.assessor.assess_trial(str(parameter_id), history))

    def trial_restart(self, parameter_id: int) -> None:
        self._histories.pop(parameter_id, None)

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        parameters = self._parameters.pop(parameter_id)
        if value is not None:
            self.tuner.receive_trial_result(parameter_id, parameters, value)
        self.tuner.trial_end(parameter_id, value is not None)
        if self.assessor is not None and self._histories.pop(parameter_id, None) is not None:
            self.assessor.trial_end(str(parameter_id), state is TrialState.SUCCEEDED)

    def import_data(self, data: Sequence[Observation]) -> None:
        for observation in data:
            self._note(observation.parameters)
        self.tuner.import_data(data)

    def _note(self, parameters: Parameters) -> None:
        """Remember a configuration; whole where the space may be used up, to outlast a change of it."""
        self._seen[self._key(parameters)] = parameters if self._space.is_finite else None

    def _key(self, parameters: Parameters) -> Hashable:
        # A custom tuner may propose what the space does not know; equality of JSON is then the rule.
        if self._space.contains(parameters):
            return self._space.key(parameters)
        return dump_json(parameters)

    def _all_seen(self) -> bool:
        # It may hold configurations of an earlier search space, so its length decides nothing.
        return self._first_unseen() is None

    def _first_unseen(self) -> Parameters | None:
        """The first of the grid that was never proposed; each call goes on where the last one stopped."""
        if self._unseen is None:
            self._unseen = iter(self._space.grid())
            self._looked_at = next(self._unseen, None)
        while self._looked_at is not None and self._space.key(self._looked_at) in self._seen:
            self._looked_at = next(self._unseen, None)
        return copy.deepcopy(self._looked_at)

    def _replacement(self, parameter_id: int) -> Parameters:
        rng = self.rng(parameter_id, stream=1)
        for _ in range(_REDRAWS):
            parameters = self._space.sample(rng)
            if self._key(parameters) not in self._seen:
                return parameters
        if self._space.is_finite and (unseen := self._first_unseen()) is not None:
            return unseen
        return parameters  # a continuous space so narrow that floats repeat: repeating is all there is


def check_configuration(
    parameters: Any, space: SearchSpace, algorithm: Tuner | Advisor | None, *, extra: bool = False
) -> None:
    """Refuse what is neither a configuration of the space nor one of the algorithm's own.

    Args:
        algorithm: Asked if it is not one of the space; None if only that counts.
        extra: Let keys pass that are not of the space, such as Hyperband's TRIAL_BUDGET.

    Raises:
        SearchSpaceError: `problems` says what is wrong.
    """
    own = algorithm is not None and not algorithm.needs_space and not len(space)
    try:
        space.check(parameters, extra=extra and not own)
    except SearchSpaceError:
        if algorithm is None or not isinstance(parameters, dict) or not algorithm.takes(parameters):
            raise
    else:
        if own:  # it is nothing at all, which a space without parameters has no objection to
            raise SearchSpaceError("is empty", [SpaceProblem("", "is empty")])


def _check_json(tuner: Tuner, parameters: Any) -> None:
    name = type(tuner).__name__
    if not isinstance(parameters, dict):
        raise AlgorithmError(
            f"{name}.generate_parameters returned {type(parameters).__name__}; "
            "return a dictionary, None for 'not now', or raise NoMoreTrial"
        )
    try:
        dump_json(parameters)
    except (TypeError, ValueError) as err:
        raise AlgorithmError(f"{name}.generate_parameters returned what is not JSON: {err}") from err
