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
from tune_core.algorithms.feasible_first import fitted
from tune_core.errors import MetricError, NoMoreTrial, TuneError
from tune_core.front import Front
from tune_core.metric import Metric, Mode, orient
from tune_core.objectives import Objectives
from tune_core.trial import Parameters, TrialState

if TYPE_CHECKING:
    from tune_core.space import SearchSpace

__all__ = ["AskTell", "Asked", "make_advisor"]


@dataclass
class Asked:
    """A configuration to evaluate.

    Attributes:
        value: The primary objective, in the user's orientation; set by `AskTell.tell`, as what follows is.
        metric: The whole result.
        is_feasible: Whether the result keeps the constraints; None before there is one.
    """

    id: int
    parameters: Parameters
    value: float | None = None
    state: TrialState = TrialState.RUNNING
    metric: Any = None
    is_feasible: bool | None = None


class AskTell:
    """Drives one algorithm by hand; the same object that an experiment drives.

    Args:
        algorithm: The name of an installed tuner or advisor, or an instance of one.
        search_space: A search-space dictionary, or a parsed one; `{}` for an algorithm that brings its own.
        mode: `maximize` or `minimize`; None takes the algorithm's default. For several objectives, a
            mapping of metric keys to modes, the primary one first.
        constraints: Bounds on metric keys, such as `{"latency": {"max": 20}}`.
        seed: Fixes every random choice.
        assessor: An assessor for `report`, by name or as an instance.
        arguments: What a configuration would have under `classArgs`; with a name only.

    Raises:
        SearchSpaceError: The space is wrong, or the algorithm cannot take it.
        ConfigError: The mode or a constraint is none, or the algorithm takes one objective only.
        PluginError: No algorithm of that name.
    """

    def __init__(
        self,
        algorithm: str | Tuner | Advisor,
        search_space: Mapping[str, Any] | SearchSpace,
        *,
        mode: Mode | Mapping[str, Mode] | None = None,
        constraints: Mapping[str, Any] | None = None,
        seed: int = 0,
        assessor: str | Assessor | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        from tune_core.space import SearchSpace

        made = make_advisor(algorithm, assessor, arguments)
        self.space = (
            search_space
            if isinstance(search_space, SearchSpace)
            else SearchSpace.parse(search_space, allow_empty=not made.needs_space)
        )
        self.objectives = Objectives.of(made.default_optimize_mode if mode is None else mode, constraints)
        self._advisor = fitted(made, self.objectives)
        self._advisor.set_seed(seed)
        self._advisor.update_search_space(self.space)
        self._asked: dict[int, Asked] = {}
        self._next = 0
        self.best: Asked | None = None
        """The best feasible one so far, by the primary objective; None before there is one."""
        self._front: Front[Asked] = Front()

    @property
    def mode(self) -> Mode:
        """Which way the primary objective is to go."""
        return self.objectives.mode

    @property
    def front(self) -> list[Asked]:
        """The Pareto front so far: the feasible ones that no other is better than, the best by the
        primary objective first."""
        return list(self._front)

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

    def report(self, asked: Asked, value: float | Mapping[str, Any]) -> bool:
        """An intermediate result. False: the algorithm would rather see it stopped."""
        number = _finite(self.objectives.read_intermediate(_plain(value))).value
        return self._advisor.report_intermediate(self._open(asked).id, orient(number, self.mode))

    def tell(
        self, asked: Asked, value: float | Mapping[str, Any] | None, *, state: TrialState | None = None
    ) -> None:
        """The final result of `asked`; None if it failed or was stopped.

        Args:
            asked: What `ask` returned.
            value: A number, or a dictionary with one for every objective and every constrained metric.
            state: FAILED where there is no value, SUCCEEDED where there is, unless it is given.

        Raises:
            MetricError: The value is not finite numbers.
            TuneError: Told before, or never asked.
        """
        self._open(asked)
        metric = None if value is None else _finite(self.objectives.read_final(_plain(value)))
        score = None if metric is None else self.objectives.score(metric)
        if metric is not None and score is not None:
            asked.value, asked.metric, asked.is_feasible = metric.value, metric.whole, score.is_feasible
        asked.state = state or (TrialState.FAILED if value is None else TrialState.SUCCEEDED)
        del self._asked[asked.id]
        self._advisor.trial_end(asked.id, asked.state, score)
        if score is not None and score.is_feasible:
            self._front.add(score.values, asked)
            if self.best is None or self.best.value is None or score < orient(self.best.value, self.mode):
                self.best = asked

    def add(self, points: Iterable[tuple[Parameters, float | Mapping[str, Any]]]) -> None:
        """Results from elsewhere, as `tell` takes them."""
        self._advisor.import_data(
            [
                Observation(
                    parameters, self.objectives.score(_finite(self.objectives.read_final(_plain(value))))
                )
                for parameters, value in points
            ]
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
    objectives: Objectives | None = None,
) -> Advisor:
    """An advisor from the name of an installed algorithm, or from an object.

    Args:
        algorithm, assessor: By name or as objects.
        arguments: What a configuration would have under `classArgs`; with a name only.
        objectives: What it will be told of; constraints that it does not know are seen to.

    Raises:
        PluginError: No algorithm of that name.
        ConfigError: It does not take these arguments, or several objectives.
    """
    made = _by_name("tuner", algorithm, arguments) if isinstance(algorithm, str) else algorithm
    if not isinstance(made, Advisor):
        made = TunerAdvisor(made, _by_name("assessor", assessor) if isinstance(assessor, str) else assessor)
    return made if objectives is None else fitted(made, objectives)


def _by_name(kind: str, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    from tune_core.config.algorithm import instantiate
    from tune_core.config.model import AlgorithmConfig

    config = AlgorithmConfig.model_validate({"name": name, "classArgs": dict(arguments or {})})
    return instantiate(kind, config)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _finite(metric: Metric) -> Metric:
    if not metric.is_finite:
        raise MetricError(f"the result is {metric}; tell a finite number, or None for a failed trial")
    return metric
