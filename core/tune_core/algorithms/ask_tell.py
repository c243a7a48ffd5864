"""Any algorithm without an experiment: ask for a configuration, tell how it did.

>>> from tune_core import AskTell                                    # doctest: +SKIP
>>> study = AskTell("TPE", {"x": {"_type": "uniform", "_value": [-1, 1]}}, mode="minimize")
>>> for _ in range(50):
...     trial = study.ask()
...     study.tell(trial, trial.parameters["x"] ** 2)
>>> study.best.parameters
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tune_core.algorithms.base import Advisor, Assessor, Observation, Tuner
from tune_core.algorithms.compose import TunerAdvisor
from tune_core.errors import MetricError, NoMoreTrial, TuneError
from tune_core.metric import Metric, Mode, orient
from tune_core.trial import Parameters, TrialState

if TYPE_CHECKING:
    from tune_core.space import SearchSpace

__all__ = ["AskTell", "Asked", "make_advisor"]


@dataclass
class Asked:
    """A configuration to evaluate. `value` is set by `AskTell.tell`, in the user's orientation."""

    id: int
    parameters: Parameters
    value: float | None = None
    state: TrialState = TrialState.RUNNING


class AskTell:
    """Drives one algorithm by hand; the same object that an experiment drives.

    Args:
        algorithm: The name of an installed tuner or advisor, or an instance of one.
        search_space: A search-space dictionary, or a parsed one.
        mode: `maximize` or `minimize`; None takes the algorithm's default.
        seed: Fixes every random choice.
        assessor: An assessor for `report`, by name or as an instance.
        arguments: What a configuration would have under `classArgs`; with a name only.

    Raises:
        SearchSpaceError: The space is wrong, or the algorithm cannot take it.
        PluginError: No algorithm of that name.
    """

    def __init__(
        self,
        algorithm: str | Tuner | Advisor,
        search_space: Mapping[str, Any] | SearchSpace,
        *,
        mode: Mode | None = None,
        seed: int = 0,
        assessor: str | Assessor | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        from tune_core.space import SearchSpace

        if mode not in ("maximize", "minimize", None):
            raise TuneError(f"mode is {mode!r}; use 'maximize' or 'minimize'")
        self.space = (
            search_space if isinstance(search_space, SearchSpace) else SearchSpace.parse(search_space)
        )
        self._advisor = make_advisor(algorithm, assessor, arguments)
        self.mode = mode or self._advisor.default_optimize_mode
        self._advisor.set_seed(seed)
        self._advisor.update_search_space(self.space)
        self._asked: dict[int, Asked] = {}
        self._next = 0
        self.best: Asked | None = None
        """The best so far, None before the first `tell` with a value."""

    def ask(self) -> Asked | None:
        """A configuration to evaluate, or None: tell more results first.

        Raises:
            NoMoreTrial: The search is over.
        """
        parameters = self._advisor.propose(self._next)
        if parameters is None:
            return None
        asked = Asked(self._next, parameters)
        self._next += 1
        self._advisor.register_pending(asked.id, parameters)
        self._asked[asked.id] = asked
        return asked

    def report(self, asked: Asked, value: float) -> bool:
        """An intermediate result. False: the algorithm would rather see it stopped."""
        return self._advisor.report_intermediate(self._open(asked).id, orient(_finite(value), self.mode))

    def tell(self, asked: Asked, value: float | None, *, state: TrialState | None = None) -> None:
        """The final result of `asked`; None if it failed or was stopped.

        Raises:
            MetricError: The value is not a finite number.
            TuneError: Told before, or never asked.
        """
        self._open(asked)
        value = None if value is None else _finite(value)
        asked.value = value
        asked.state = state or (TrialState.FAILED if value is None else TrialState.SUCCEEDED)
        del self._asked[asked.id]
        self._advisor.trial_end(asked.id, asked.state, None if value is None else orient(value, self.mode))
        if value is not None and (
            self.best is None
            or self.best.value is None
            or orient(value, self.mode) < orient(self.best.value, self.mode)
        ):
            self.best = asked

    def add(self, points: Iterable[tuple[Parameters, float]]) -> None:
        """Results from elsewhere, in the user's orientation."""
        self._advisor.import_data(
            [Observation(parameters, orient(_finite(value), self.mode)) for parameters, value in points]
        )

    def __iter__(self) -> AskTell:
        return self

    def __next__(self) -> Asked:
        """Ask until the search is over; an algorithm that must wait for results ends the loop."""
        try:
            asked = self.ask()
        except NoMoreTrial:
            raise StopIteration from None
        if asked is None:
            raise StopIteration
        return asked

    def _open(self, asked: Asked) -> Asked:
        if self._asked.get(asked.id) is not asked:
            raise TuneError(f"configuration {asked.id} was told before, or comes from another search")
        return asked


def make_advisor(
    algorithm: str | Tuner | Advisor,
    assessor: str | Assessor | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Advisor:
    """An advisor from the name of an installed algorithm, or from an object.

    Raises:
        PluginError: No algorithm of that name.
        ConfigError: It does not take these arguments.
    """
    made = _by_name("tuner", algorithm, arguments) if isinstance(algorithm, str) else algorithm
    if isinstance(made, Advisor):
        return made
    return TunerAdvisor(made, _by_name("assessor", assessor) if isinstance(assessor, str) else assessor)


def _by_name(kind: str, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    from tune_core.config.algorithm import instantiate
    from tune_core.config.model import AlgorithmConfig

    config = AlgorithmConfig.model_validate({"name": name, "classArgs": dict(arguments or {})})
    return instantiate(kind, config)


def _finite(value: float) -> float:
    metric = Metric.read(value)
    if not metric.is_finite:
        raise MetricError(f"the result is {value!r}; tell a finite number, or None for a failed trial")
    return metric.default
