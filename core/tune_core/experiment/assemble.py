"""From a configuration to the parts of an experiment."""

from __future__ import annotations

import json
import secrets
import shlex
from dataclasses import replace
from pathlib import Path

from tune_core.algorithms.base import Advisor, Tuner
from tune_core.algorithms.compose import TunerAdvisor, check_configuration
from tune_core.algorithms.feasible_first import fitted
from tune_core.annotation import annotation
from tune_core.config.algorithm import Choice, choose
from tune_core.config.model import AlgorithmConfig, ExperimentConfig
from tune_core.config.problems import error_of
from tune_core.config.values import expand_references
from tune_core.errors import ConfigError
from tune_core.experiment.manager import Parts, create_record
from tune_core.experiment.platform import make_service
from tune_core.experiment.settings import Limits, Settings
from tune_core.objectives import Objectives
from tune_core.plugins import plugins
from tune_core.space import SearchSpace
from tune_core.store.directory import ExperimentDirectory, create_experiment, delete_experiment
from tune_core.store.reader import Record

__all__ = ["assemble", "create", "reopen"]


def assemble(config: ExperimentConfig) -> Parts:
    """Make what `config` describes; nothing is started.

    Raises:
        ConfigError, PluginError, SearchSpaceError: It cannot be made.
    """
    algorithm = _choose("tuner" if config.tuner else "advisor", config.algorithm)
    made = algorithm.make()
    assessor = _choose("assessor", config.assessor) if config.assessor else None
    gpus = config.tuner_gpu_indices
    settings = _settings(config, algorithm)
    return Parts(
        settings=settings,
        search_space=_space(config, made),
        advisor=fitted(_advisor(made, assessor), settings.objectives),
        check_space=algorithm.check_space,
        service=make_service(config.training_service),
        notify=plugins().notifier(),
        algorithm_gpus="" if gpus is None else ",".join(map(str, gpus)),
    )


def create(config: ExperimentConfig, experiment_id: str | None = None) -> tuple[ExperimentDirectory, Parts]:
    """Make a new experiment's folder and record; `manage` then runs it.

    Raises:
        ConfigError, PluginError, SearchSpaceError: It cannot be made.
        TrainingServiceError: The platform can never run its trials.
    """
    parts = assemble(config)
    parts.service.check(config.trial_gpu_number)
    directory = create_experiment(config.experiment_working_directory, experiment_id)
    try:
        if config.use_annotation:
            # Once, so that all trials run the same code, also those after a resume.
            directory.code.mkdir(mode=0o700)
            annotation().expand(config.trial_code_directory, directory.code)
            parts.settings = replace(parts.settings, code_directory=directory.code)
        create_record(directory, parts, json.loads(config.to_json()))
    except BaseException:
        delete_experiment(directory)
        raise
    return directory, parts


def reopen(directory: ExperimentDirectory, *, runs_trials: bool = True) -> Parts:
    """The parts of an experiment that exists, from its record.

    Args:
        runs_trials: False when no trial will be started, so that their code need not be there.

    Raises:
        ConfigError: It was started from Python with a function, which only Python can give again;
            or its configuration does not fit any more.
        TrainingServiceError: The platform can never run its trials.
    """
    with Record(directory) as record:
        state = record.state()
    if "trialCommand" not in (state["config"] or {}):
        raise ConfigError(
            f"experiment {directory.id} runs a Python function, which is not in its record\n"
            f"  go on from Python: Experiment.resume({directory.id!r}, function)"
        )
    config = ExperimentConfig.from_json(json.dumps(state["config"]))
    code = config.trial_code_directory
    if runs_trials and not code.is_dir():  # every trial would fail, and its number would be spent
        raise ConfigError(
            f"trialCodeDirectory: no folder {str(code)!r}, where experiment {directory.id} runs its trials\n"
            f"  put it back, or a link in its place: ln -s NEW {shlex.quote(str(code))}"
        )
    # What the algorithm is replayed from; the space in the state may be a later one.
    config.search_space = state["first_search_space"]
    parts = assemble(config)
    if config.use_annotation:
        parts.settings = replace(parts.settings, code_directory=directory.code)
    if runs_trials:
        parts.service.check(config.trial_gpu_number)
    return parts


def _space(config: ExperimentConfig, algorithm: Tuner | Advisor) -> SearchSpace:
    space = SearchSpace.parse(config.search_space, allow_empty=not algorithm.needs_space)
    for point in config.initial_points:
        check_configuration(point, space, None if algorithm.needs_space else algorithm)
    return space


def _choose(section: str, config: AlgorithmConfig) -> Choice:
    try:
        return choose(section, config)
    except ConfigError as err:
        raise error_of([problem.within((section,)) for problem in err.problems]) from err


def _advisor(made: Tuner | Advisor, assessor: Choice | None) -> Advisor:
    if isinstance(made, Advisor):
        return made
    return TunerAdvisor(made, assessor.make() if assessor else None)


def _settings(config: ExperimentConfig, algorithm: Choice) -> Settings:
    seed = next((given for given in (config.seed, algorithm.seed) if given is not None), secrets.randbits(32))
    brake = config.failure_brake
    return Settings(
        name=config.experiment_name or "",
        objectives=Objectives.of(algorithm.modes, config.bounds),
        seed=seed,
        command=config.trial_command,
        code_directory=Path(config.trial_code_directory),
        limits=Limits(config.trial_concurrency, config.max_trial_number, config.max_experiment_duration),
        gpu_number=config.trial_gpu_number,
        trial_duration_s=config.max_trial_duration,
        environment={name: expand_references(value) for name, value in config.trial_environment.items()},
        failed_retries=config.trial_retry.failed,
        lost_retries=config.trial_retry.lost,
        brake_trials=brake.trials if brake else 0,
        brake_within_s=brake.within if brake else 0.0,
        intermediate_counts=config.include_intermediate_results,
        initial_points=tuple(config.initial_points),
        platform=config.training_service.platform,
        metrics=config.metrics.model_dump(exclude_none=True) if config.metrics else None,
    )
