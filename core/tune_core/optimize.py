"""`minimize` and `maximize`: the shortest way from a Python function to its best parameters.

>>> from tune_core import minimize                                             # doctest: +SKIP
>>> space = {"x": {"_type": "uniform", "_value": [-5, 5]}}
>>> result = minimize(lambda parameters: parameters["x"] ** 2, space, trials=50)
>>> result.best.parameters
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tune_core.api import Experiment
from tune_core.errors import TuneError

if TYPE_CHECKING:
    from tune_core.algorithms.base import Advisor, Assessor, Tuner
    from tune_core.experiment.view import ExperimentView

__all__ = ["maximize", "minimize"]


def minimize(
    function: Callable[..., Any],
    search_space: Mapping[str, Any] | None = None,
    *,
    objectives: Sequence[str] | Mapping[str, str] | None = None,
    constraints: Mapping[str, Any] | None = None,
    trials: int | None = 100,
    duration_s: float | None = None,
    concurrency: int = 1,
    tuner: str | Tuner | Advisor | None = None,
    assessor: str | Assessor | None = None,
    initial_points: Sequence[Mapping[str, Any]] = (),
    seed: int | None = None,
    name: str = "",
    progress: Callable[[ExperimentView], None] | bool = False,
) -> Experiment:
    """Find the parameters for which `function` is least.

    Args:
        function: Takes a dictionary of parameters and returns a number; with a second argument it
            gets a `FunctionTrial`, through which it reports intermediate results. With several
            objectives, or constraints, it returns a dictionary that has them all.
        search_space: As in a search-space file. None: what the hints and defaults of the function's own
            parameters say, which is then called with these by name, and first with its defaults. Its
            parameter `trial`, if there is one, is the `FunctionTrial`.
        objectives: Keys of that dictionary to minimise, the primary one first; or a mapping of each to
            `minimize` or `maximize`. None: the number returned, or what is under `default`.
        constraints: Bounds on keys of it, such as `{"latency": {"max": 20}}`.
        trials, duration_s: When to end; None for no limit.
        concurrency: Trials at once, in threads.
        tuner, assessor: By name or as objects; None takes the installed default, and no assessor.
        initial_points: Configurations to try first.
        seed: Fixes every random choice; the search repeats exactly at concurrency 1.
        name: For people; the function's own by default.
        progress: Called with an `ExperimentView` twice a second; True prints it.

    Returns:
        The experiment, ended: `.best.parameters`, `.best.value`, `.front`, `.trials()`. `best` is None if no
        result keeps the constraints.

    Raises:
        TuneError: The algorithm failed, or every trial did.
    """
    experiment = Experiment.of_function(
        function,
        search_space,
        mode=_modes("minimize", objectives),
        constraints=constraints,
        trials=trials,
        duration_s=duration_s,
        concurrency=concurrency,
        tuner=tuner,
        assessor=assessor,
        initial_points=initial_points,
        seed=seed,
        name=name,
    )
    return _finish(experiment, progress)


def maximize(
    function: Callable[..., Any],
    search_space: Mapping[str, Any] | None = None,
    *,
    objectives: Sequence[str] | Mapping[str, str] | None = None,
    constraints: Mapping[str, Any] | None = None,
    trials: int | None = 100,
    duration_s: float | None = None,
    concurrency: int = 1,
    tuner: str | Tuner | Advisor | None = None,
    assessor: str | Assessor | None = None,
    initial_points: Sequence[Mapping[str, Any]] = (),
    seed: int | None = None,
    name: str = "",
    progress: Callable[[ExperimentView], None] | bool = False,
) -> Experiment:
    """Find the parameters for which `function` is greatest; arguments as those of `minimize`."""
    experiment = Experiment.of_function(
        function,
        search_space,
        mode=_modes("maximize", objectives),
        constraints=constraints,
        trials=trials,
        duration_s=duration_s,
        concurrency=concurrency,
        tuner=tuner,
        assessor=assessor,
        initial_points=initial_points,
        seed=seed,
        name=name,
    )
    return _finish(experiment, progress)


def _modes(mode: str, objectives: Sequence[str] | Mapping[str, str] | None) -> str | Mapping[str, str]:
    if objectives is None or isinstance(objectives, Mapping):
        return mode if objectives is None else objectives
    if isinstance(objectives, str):
        raise TypeError(f"objectives is {objectives!r}; give a list of keys, or a mapping of keys to modes")
    return dict.fromkeys(objectives, mode)


def _finish(experiment: Experiment, progress: Callable[[ExperimentView], None] | bool) -> Experiment:
    try:
        status = experiment.run(progress)
    except KeyboardInterrupt:
        how = f"Experiment.resume({experiment.id!r}, function)"
        raise KeyboardInterrupt(f"experiment {experiment.id} is stopped; to go on: {how}") from None
    with experiment.record() as record:
        if status == "ERROR":
            raise TuneError(str(record.state()["reason"]))
        last = next(record.trials(newest_first=True, limit=1), None)
        if last is not None and not record.has_results():
            raise TuneError(f"no trial had a result; the last one: {last.reason}")
    return experiment
