"""Trials of tune in TensorBoard, while they run: an observer that `TUNE_TENSORBOARD` switches on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_core import hookimpl
from tune_core.observing import Recorders

if TYPE_CHECKING:
    from tune_core.experiment.view import ExperimentView, TrialView
    from tune_tensorboard.events import EventFiles


def _open(where: str, experiment: ExperimentView) -> EventFiles:
    from tune_tensorboard.events import EventFiles  # imports TensorBoard, which takes a while

    folder = experiment.directory / "tensorboard" if where == "1" else Path(where, experiment.id)
    return EventFiles(folder.expanduser().absolute())


_recorders = Recorders("TensorBoard", "TUNE_TENSORBOARD", _open)


@hookimpl
def tune_trial_started(experiment: ExperimentView, trial: TrialView) -> None:
    if recorder := _recorders.of(experiment):
        recorder.tell("start", _run(trial), trial.id, dict(trial.parameters), time.time())


@hookimpl
def tune_metric_reported(experiment: ExperimentView, trial: TrialView, kind: str, value: Any) -> None:
    if recorder := _recorders.of(experiment):
        recorder.tell("metric", _run(trial), kind, value, trial.intermediates, time.time())


@hookimpl
def tune_trial_ended(experiment: ExperimentView, trial: TrialView) -> None:
    if recorder := _recorders.of(experiment):
        recorder.tell("end", _run(trial), trial.state, time.time())


@hookimpl
def tune_experiment_ended(experiment: ExperimentView) -> None:
    _recorders.finish(experiment)


def _run(trial: TrialView) -> str:
    """The name of a trial in TensorBoard; a trial that was lost and runs again has one for each attempt."""
    return f"trial-{trial.sequence}" + (f"-attempt-{trial.attempt}" if trial.attempt else "")
