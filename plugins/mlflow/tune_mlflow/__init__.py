"""Trials of tune as runs in MLflow, while they run: an observer that `TUNE_MLFLOW` switches on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tune_core import hookimpl
from tune_core.observing import Recorders

if TYPE_CHECKING:
    from tune_core.experiment.view import ExperimentView, TrialView
    from tune_mlflow.runs import Runs


def _open(where: str, experiment: ExperimentView) -> Runs:
    from tune_mlflow.runs import Runs  # imports MLflow, which takes seconds

    return Runs(None if where == "1" else where, experiment)


_recorders = Recorders("MLflow", "TUNE_MLFLOW", _open)


@hookimpl
def tune_trial_started(experiment: ExperimentView, trial: TrialView) -> None:
    if recorder := _recorders.of(experiment):
        recorder.tell("start", trial, time.time())


@hookimpl
def tune_metric_reported(experiment: ExperimentView, trial: TrialView, kind: str, value: Any) -> None:
    if recorder := _recorders.of(experiment):
        recorder.tell("metric", trial, kind, value, time.time())


@hookimpl
def tune_trial_ended(experiment: ExperimentView, trial: TrialView) -> None:
    if recorder := _recorders.of(experiment):
        recorder.tell("end", trial, time.time())


@hookimpl
def tune_experiment_ended(experiment: ExperimentView) -> None:
    _recorders.finish(experiment)
