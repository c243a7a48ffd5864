"""Trials of tune in TensorBoard, while they run: an observer that `TUNE_TENSORBOARD` switches on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_core import hookimpl

if TYPE_CHECKING:
    from tune_core.experiment.view import ExperimentView, TrialView
    from tune_tensorboard.recorder import Recorder

VARIABLE = "TUNE_TENSORBOARD"

_recorders: dict[str, Recorder] = {}  # by the experiment's id


@hookimpl
def tune_trial_started(experiment: ExperimentView, trial: TrialView) -> None:
    if recorder := _recorder(experiment):
        recorder.tell("start", _run(trial), trial.id, dict(trial.parameters), time.time())


@hookimpl
def tune_metric_reported(experiment: ExperimentView, trial: TrialView, kind: str, value: Any) -> None:
    if recorder := _recorder(experiment):
        recorder.tell("metric", _run(trial), kind, value, trial.intermediates, time.time())


@hookimpl
def tune_trial_ended(experiment: ExperimentView, trial: TrialView) -> None:
    if recorder := _recorder(experiment):
        recorder.tell("end", _run(trial), trial.state, time.time())


@hookimpl
def tune_experiment_ended(experiment: ExperimentView) -> None:
    if recorder := _recorders.pop(experiment.id, None):
        recorder.finish()


def _recorder(experiment: ExperimentView) -> Recorder | None:
    """What writes for `experiment`; None where nothing is to be written."""
    where = os.environ.get(VARIABLE, "")
    if where in {"", "0"}:
        return None
    if experiment.id not in _recorders:
        from tune_tensorboard.recorder import Recorder

        folder = experiment.directory / "tensorboard" if where == "1" else Path(where, experiment.id)
        _recorders[experiment.id] = Recorder(folder.expanduser().absolute())
    return _recorders[experiment.id]


def _run(trial: TrialView) -> str:
    """The name of a trial in TensorBoard; a trial that was lost and runs again has one for each attempt."""
    return f"trial-{trial.sequence}" + (f"-attempt-{trial.attempt}" if trial.attempt else "")
