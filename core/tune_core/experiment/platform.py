"""The platform of an experiment, or of a configuration, when no manager is needed to reach it.

Making a service starts nothing, so any number of them may be made beside a manager's own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel

from tune_core.config.model import ExperimentConfig, ServiceConfig
from tune_core.errors import ExperimentNotFoundError, TuneError
from tune_core.plugins import plugins
from tune_core.services.base import Leftover, TrainingService
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.reader import Record, TrialRecord
from tune_core.trial import Attempt, AttemptKey

__all__ = ["clean", "fetch", "make_service", "stored_config"]

_LET_GO_S = 12.0  # a connection that was cut is noticed after ten
_LOOK_S = 0.3


def make_service(config: ServiceConfig) -> TrainingService:
    """The service that a section of the configuration describes."""
    make: Callable[[BaseModel], TrainingService] = plugins().find("training_service", config.platform).load()
    return make(config.config)


def stored_config(directory: ExperimentDirectory) -> ExperimentConfig | None:
    """What the experiment was created with; None for one whose trial is a Python function."""
    with Record(directory) as record:
        stored = record.state().get("config") or {}
    return ExperimentConfig.from_json(json.dumps(stored)) if "trainingService" in stored else None


async def clean(service: TrainingService, experiment_id: str, force: bool) -> Sequence[Leftover]:
    """Remove what an experiment without a manager has on its platform; returns what remains.

    A platform needs a moment to notice that a manager has ended, and until then keeps what is its.
    """
    deadline = time.monotonic() + _LET_GO_S
    while True:
        left = await service.clean([experiment_id], force=force)
        kept = {each.machine for each in left if each.experiment}
        if not kept or time.monotonic() > deadline:
            return left
        ours = [each for each in await service.survey() if each.experiment == experiment_id]
        if not kept & {each.machine for each in ours if each.managed}:
            # It stays for another reason, or was let go of since it was refused.
            return await service.clean([experiment_id], force=force)
        await asyncio.sleep(_LOOK_S)


async def fetch(directory: ExperimentDirectory, trial: TrialRecord, number: int, target: Path) -> None:
    """Copy what attempt `number` at `trial` left on its platform into the empty folder `target`.

    Raises:
        ExperimentNotFoundError: The attempt never started.
        TrainingServiceError: It cannot be had.
        TuneError: The trial was a function of a Python process, which leaves nothing.
    """
    config = stored_config(directory)
    if config is None:
        raise TuneError(f"the trials of experiment {directory.id} are Python functions and leave no files")
    with Record(directory) as record:
        starts = [
            data["identity"]
            for _, _, _, sequence, data in record.events(kinds=("started",))
            if sequence == trial.sequence and data["attempt"] == number
        ]
    if not starts:
        raise ExperimentNotFoundError(f"attempt {number} at trial {trial.sequence} has not started")
    attempt = Attempt(
        key=AttemptKey(trial.id, number),
        experiment_id=directory.id,
        sequence=trial.sequence,
        parameters=trial.parameters,
        command=config.trial_command,
        code_directory=Path(config.trial_code_directory),
        directory=directory.attempt(trial.id, number),
        gpu_number=config.trial_gpu_number,
    )
    await make_service(config.training_service).fetch(attempt, starts[-1], target)
