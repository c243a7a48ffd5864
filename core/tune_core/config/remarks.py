"""What a person should know about a configuration although nothing is wrong with it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tune_core.config.algorithm import Choice
from tune_core.config.model import ExperimentConfig
from tune_core.config.problems import did_you_mean
from tune_core.config.values import MASK, references
from tune_core.errors import SearchSpaceError
from tune_core.experiment.command import fields_of, paths_of
from tune_core.objectives import Objectives
from tune_core.space import Numeric, SearchSpace

__all__ = ["remarks_on", "secrets_in_clear"]

_INTERPRETERS = {"python", "python3", "bash", "sh", "Rscript", "julia", "node", "perl", "ruby"}
_FOR_THE_SHELL = set("$`(){}[]*?;&|<>!~")


def remarks_on(config: ExperimentConfig, choices: Mapping[str, Choice]) -> list[str]:
    """One line for each thing worth knowing."""
    return [
        *([config.picked] if config.picked else []),
        *_about_modes(choices),
        *_of_algorithms(config, choices),
        *_about_steps(config),
        *_about_command(config),
        *_about_fields(config),
        *_about_environment(config),
        *secrets_in_clear(config),
        *_about_limits(config),
    ]


def secrets_in_clear(config: ExperimentConfig) -> list[str]:
    """One line for each secret of the platform that is not a reference: it would be missing on resume."""
    shown = config.training_service.config.model_dump(by_alias=True)
    return [
        f"trainingService{path}: stands in clear, and is therefore not stored: the experiment could not be "
        "resumed; write ${env:NAME} or ${file:PATH}"
        for path in _masked(shown)
    ]


def _masked(shown: Any, path: str = "") -> Iterator[str]:
    """The paths of what is shown as asterisks."""
    if shown == MASK:
        yield path
    elif isinstance(shown, Mapping):
        for key, value in shown.items():
            yield from _masked(value, f"{path}.{key}")
    elif isinstance(shown, (list, tuple)):
        for index, value in enumerate(shown):
            yield from _masked(value, f"{path}[{index}]")


def _about_modes(choices: Mapping[str, Choice]) -> list[str]:
    return [
        f"{key}.classArgs.optimize_mode is not set: {choice.name} {choice.optimize_mode}s"
        for key, choice in choices.items()
        if key != "assessor" and not choice.mode_given
    ]


def _of_algorithms(config: ExperimentConfig, choices: Mapping[str, Choice]) -> list[str]:
    """What the algorithms have to say themselves."""
    remarks = []
    for key, choice in choices.items():
        try:
            algorithm = choice.make()
            if key != "assessor":
                algorithm.set_seed(config.seed or 0)
                algorithm.update_search_space(SearchSpace.parse(config.search_space, allow_empty=True))
            text = algorithm.remark(Objectives.of(choice.modes, config.bounds), config.max_trial_number)
        except Exception as err:  # noqa: BLE001 (no reason to refuse the configuration)
            text = f"what it would say fails: {type(err).__name__}: {err}"
        remarks += [f"{choice.name}: {text}"] if text else []
    return remarks


def _about_steps(config: ExperimentConfig) -> list[str]:
    """Steps that leave out what is between low and high. NNI takes them, and a grid may count with q."""
    try:
        space = SearchSpace.parse(config.search_space or {}, allow_empty=True)
    except SearchSpaceError:
        return []  # reported already
    numeric = [(leaf.path, leaf.domain) for leaf in space.leaves if isinstance(leaf.domain, Numeric)]
    return [
        f"searchSpace.{path}: q {one.q:.15g} is greater than the range from {one.a:.15g} to {one.b:.15g}; "
        f"as a step it leaves {one.size} value{'s' if one.size > 1 else ''}"
        for path, one in numeric
        if one.q is not None and not one.is_normal and one.q > one.b - one.a
    ]


def _about_command(config: ExperimentConfig) -> list[str]:
    """What the command names and is not there. The shell may know better, so it is no error."""
    try:
        words = shlex.split(config.trial_command)
    except ValueError as err:
        return [f"trialCommand: {err}"]
    while words and words[0].partition("=")[1] and words[0].partition("=")[0].isidentifier():
        words = words[1:]  # VARIABLE=value before the command
    folder = config.trial_code_directory
    if not words or set(words[0]) & _FOR_THE_SHELL or not folder.is_dir():
        return []
    program, *arguments = words
    if "/" in program and not Path(folder, program).exists():
        return [f"trialCommand: no program {program!r} in {folder}"]
    if "/" not in program and not shutil.which(program) and program not in _SHELL_WORDS:
        return [f"trialCommand: no program {program!r} on this machine's PATH"]
    script = arguments[0] if arguments and Path(program).name in _INTERPRETERS else ""
    if (
        script
        and not script.startswith("-")
        and not set(script) & _FOR_THE_SHELL
        and not Path(folder, script).exists()
    ):
        return [f"trialCommand: no file {script!r} in {folder}"]
    return []


def _about_fields(config: ExperimentConfig) -> list[str]:
    """Braces in the command that nearly name a parameter, and parameters that nothing names."""
    try:
        space = SearchSpace.parse(config.search_space or {}, allow_empty=True)
    except SearchSpaceError:
        return []  # reported already
    known = paths_of(space)
    fields = set(fields_of(config.trial_command))
    remarks = [
        f"trialCommand: {{{field}}} names no parameter{near}"
        for field in sorted(fields - known)
        if (near := did_you_mean(field, known)) or _stands_alone(field, config.trial_command)
    ]
    used = {
        name for name in space.names if any(each.split(".")[0] == name or each == name for each in fields)
    }
    if unused := [name for name in space.names if name not in used] if used else []:
        names = ", ".join(unused)
        remarks.append(f"trialCommand: nothing stands for {names}; the trial has to ask for that itself")
    file = config.metrics.file if config.metrics else None
    if file and not file.startswith(("/", "~", "$")) and config.trial_concurrency > 1:
        remarks.append(
            f"metrics.file: trials on one machine may all write the same {file}; "
            "$TUNE_OUTPUT_DIR is a folder of each trial's own"
        )
    return remarks


def _stands_alone(field: str, command: str) -> bool:
    """Whether `{field}` is a word of its own, unlike the braces of awk, which are within quotes."""
    is_name = field.replace(".", "_").isidentifier()
    return is_name and bool(re.search(rf"(?:\s|=)\{{{re.escape(field)}\}}(?:\s|$)", command))


_SHELL_WORDS = {
    "cd",
    "exec",
    "export",
    "source",
    ".",
    "set",
    "ulimit",
    "eval",
    "for",
    "if",
    "while",
    "time",
    "umask",
}


def _about_environment(config: ExperimentConfig) -> list[str]:
    return [
        f"trialEnvironment.{name}: the environment variable {variable} is not set here"
        for name, text in config.trial_environment.items()
        for variable in references(text)
        if variable not in os.environ
    ]


def _about_limits(config: ExperimentConfig) -> list[str]:
    remarks = []
    if config.max_trial_number is None and config.max_experiment_duration is None:
        remarks.append(
            "neither maxTrialNumber nor maxExperimentDuration is set: it goes on until it is stopped"
        )
    if config.max_trial_number is not None and config.max_trial_number < config.trial_concurrency:
        remarks.append("maxTrialNumber is below trialConcurrency, which will never be reached")
    if config.nni_manager_ip is not None:
        remarks.append("nniManagerIp has no effect: trials never call back")
    return remarks
