"""The runs of one experiment in MLflow: one for each trial, and for each further attempt at it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from tune_core import TrialState, TuneError
from tune_core.observing import Destination, Steps, UnreachableError, flat_parameters, numbers
from tune_core.store.directory import ExperimentDirectory

if TYPE_CHECKING:
    from tune_core.experiment.view import ExperimentView, TrialView

__all__ = ["Runs"]

STATUS = {
    TrialState.SUCCEEDED: "FINISHED",
    TrialState.EARLY_STOPPED: "FINISHED",  # it did what it was asked to, as long as it was
    TrialState.FAILED: "FAILED",
}
KILLED = "KILLED"
BATCH = 100  # of parameters in one request, MLflow's own limit; of metrics it takes 1000
LONGEST_KEY = 250  # MLflow's limit


class Runs(Destination):
    """Writes trials as runs. Every method may be called again after an `UnreachableError`.

    Runs are found by their tags, so that a manager which goes on with an experiment goes on with them.

    Args:
        uri: Of the tracking server or store; None for what MLflow's own variables say.

    Raises:
        UnreachableError: The server does not answer.
        TuneError: It does, and these runs cannot be written there.
    """

    def __init__(self, uri: str | None, experiment: ExperimentView) -> None:
        self._experiment = experiment
        try:
            self._client = MlflowClient(uri)
        except MlflowException as err:
            raise TuneError(f"{err}{_hint()}") from err
        self._group = self._find_experiment(
            os.environ.get("MLFLOW_EXPERIMENT_NAME") or experiment.name or experiment.id
        )
        self._runs: dict[str, str] = {}  # the ids of runs that have not ended, by names of ours
        self._waiting: dict[str, list[Metric]] = {}  # by the id of the run
        self._steps = Steps()

    def start(self, trial: TrialView, at_s: float) -> None:
        """An attempt at a trial has started, and those before it are over."""
        self._run(trial, at_s)
        self._steps.start(_name(trial))
        if trial.attempt:
            for run in self._search(trial, "attributes.status = 'RUNNING'"):
                if run.data.tags["tune.attempt"] != str(trial.attempt):
                    self._call(self._client.set_terminated, run.info.run_id, KILLED, _milliseconds(at_s))

    def metric(self, trial: TrialView, kind: str, value: Any, at_s: float) -> None:
        """A result; it is written with others that wait."""
        run_id = self._run(trial, at_s)
        waiting = self._waiting.setdefault(run_id, [])
        if len(waiting) >= BATCH:
            self._write(run_id)
        step = self._steps.next(_name(trial), trial.intermediates) if kind == "intermediate" else 0
        for name, number in numbers(kind, value):
            waiting.append(Metric(_key(name), number, _milliseconds(at_s), step))

    def end(self, trial: TrialView, at_s: float) -> None:
        """A trial has ended."""
        run_id = self._run(trial, at_s)
        self._write(run_id)
        tags = {"tune.state": trial.state.value, **({"tune.reason": trial.reason} if trial.reason else {})}
        self._call(self._client.log_batch, run_id, tags=[RunTag(*tag) for tag in tags.items()])
        status = STATUS.get(trial.state, KILLED)
        self._call(self._client.set_terminated, run_id, status, _milliseconds(at_s))
        self._runs.pop(_name(trial), None)
        self._waiting.pop(run_id, None)
        self._steps.end(_name(trial))

    def flush(self) -> None:
        """Write the metrics that wait."""
        for run_id in list(self._waiting):
            self._write(run_id)

    def close(self) -> None:
        """The experiment has ended: trials that run again when it is resumed have other runs then."""
        for name, run_id in list(self._runs.items()):
            self._write(run_id)
            self._call(self._client.set_terminated, run_id, KILLED)
            del self._runs[name]

    def _run(self, trial: TrialView, at_s: float) -> str:
        """The id of the run of an attempt, which is made if there is none."""
        name = _name(trial)
        if name not in self._runs:
            found = self._search(trial, f"tags.`tune.attempt` = '{trial.attempt}'")
            run_id = found[0].info.run_id if found else self._create(trial, at_s)
            # Again for one that was found: perhaps it was made, and then the server went away.
            params = [Param(_key(key), _text(value)) for key, value in flat_parameters(trial.parameters)]
            for first in range(0, len(params), BATCH):
                self._call(self._client.log_batch, run_id, params=params[first : first + BATCH])
            self._runs[name] = run_id
        return self._runs[name]

    def _create(self, trial: TrialView, at_s: float) -> str:
        directory = ExperimentDirectory(self._experiment.directory).attempt(trial.id, trial.attempt)
        tags = {
            "tune.experiment_id": self._experiment.id,
            "tune.trial_id": trial.id,
            "tune.trial": str(trial.sequence),
            "tune.attempt": str(trial.attempt),
            "tune.directory": str(directory),
        }
        create = self._client.create_run
        run_id: str = self._call(create, self._group, _milliseconds(at_s), tags, _name(trial)).info.run_id
        return run_id

    def _search(self, trial: TrialView, condition: str) -> Any:
        """Runs of this trial."""
        ours = f"tags.`tune.experiment_id` = '{self._experiment.id}' and tags.`tune.trial_id` = '{trial.id}'"
        return self._call(self._client.search_runs, [self._group], f"{ours} and {condition}")

    def _write(self, run_id: str) -> None:
        """Write the metrics of a run that wait; those that MLflow refuses are gone."""
        waiting = self._waiting.get(run_id, [])
        while waiting:
            batch, waiting[:] = waiting[:BATCH], waiting[BATCH:]
            try:
                self._call(self._client.log_batch, run_id, metrics=batch)
            except UnreachableError:
                waiting[:0] = batch
                raise

    def _find_experiment(self, name: str) -> str:
        """The id of MLflow's experiment of this name, which is made if there is none."""
        found = self._call(self._client.get_experiment_by_name, name)
        if found is None:
            try:
                made: str = self._call(self._client.create_experiment, name)
                return made
            except MlflowException as err:
                if err.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._call(self._client.get_experiment_by_name, name)
        if found.lifecycle_stage == "deleted":
            raise TuneError(
                f"its experiment {name!r} is deleted there\n"
                f"  `mlflow experiments restore --experiment-id {found.experiment_id}` brings it back"
            )
        experiment_id: str = found.experiment_id
        return experiment_id

    def _call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, **named)
        except MlflowException as err:
            if _is_silence(err):
                raise UnreachableError(str(err)) from err
            raise


def _is_silence(error: MlflowException) -> bool:
    """Whether there is nobody who answers, rather than an answer: that something is refused."""
    if error.error_code == "INTERNAL_ERROR" and not isinstance(error, RestException):
        # What MLflow makes of no answer, and of a server that fails at each attempt: at the next one as well.
        return "too many 500 error responses" not in str(error)
    return error.error_code in {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}


def _name(trial: TrialView) -> str:
    """The name of a run, the same as in TensorBoard."""
    return f"trial-{trial.sequence}" + (f"-attempt-{trial.attempt}" if trial.attempt else "")


def _key(name: str) -> str:
    """A name as MLflow takes it: of letters, digits and `_-. /`, and a path without detours."""
    parts = re.sub(r"[^\w\-. /]", "_", name).split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})[:LONGEST_KEY] or "_"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _milliseconds(at_s: float) -> int:
    return int(at_s * 1000)


def _hint() -> str:
    if importlib.util.find_spec("sqlalchemy"):
        return ""
    return "\n  without a server it takes the whole of MLflow: pip install mlflow"
