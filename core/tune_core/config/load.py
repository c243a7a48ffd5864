"""Reading an experiment's configuration and checking all that it needs. Nothing is started."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tune_core.algorithms.compose import check_configuration
from tune_core.algorithms.feasible_first import refusal
from tune_core.annotation import annotation
from tune_core.config.algorithm import Choice, choose, needs_space
from tune_core.config.checking import check, forgive_keys
from tune_core.config.document import Document, read_document
from tune_core.config.model import AlgorithmConfig, ExperimentConfig
from tune_core.config.problems import REQUIRED, KeyPath, Place, Problem, error_of, near_file, without_echoes
from tune_core.config.remarks import remarks_on
from tune_core.config.version1 import Upgraded, is_version_1, upgrade
from tune_core.errors import ConfigError, PluginError, SearchSpaceError, TrainingServiceError
from tune_core.objectives import Objectives
from tune_core.plugins import plugins
from tune_core.space import SearchSpace

__all__ = ["Source", "annotated_space", "load_config", "read_config", "verify"]

T = TypeVar("T")
_SECTIONS = ("tuner", "assessor", "advisor")


def load_config(path: str | Path) -> ExperimentConfig:
    """The configuration in the file at `path`, complete and checked.

    `searchSpace` holds the search space, also when it came from a file. `remarks` holds what a
    person should know although nothing is wrong.

    Raises:
        ConfigError: `problems` holds everything that is wrong, each with its place.
    """
    path = Path(path)
    source = Source(read_document(path))
    raw = source.keys()
    context = {"directory": path.absolute().parent}
    problems: list[Problem] = []
    config = _gather(problems, lambda: check(ExperimentConfig, raw, context=context))
    space_file = _gather(problems, lambda: _read_space_file(raw, path)) if "searchSpaceFile" in raw else None
    if config is not None:
        if space_file is not None:
            config.search_space, config.search_space_file = space_file.value, None
        if config.use_annotation:
            config.search_space = _gather(problems, lambda: annotated_space(config.trial_code_directory))
        if config.search_space is not None or not (config.search_space_file or config.use_annotation):
            problems += verify(config)
    else:  # what other keys name is checked all the same, as far as it can be
        space = space_file.value if space_file else raw.get("searchSpace")
        code = _code_folder(raw, context["directory"])
        if raw.get("useAnnotation") is True and code is not None and code.is_dir():
            space = _gather(problems, lambda: annotated_space(code))
        sections = {
            key: _gather([], lambda: check(AlgorithmConfig, raw[key], context=context))  # noqa: B023 (called at once)
            for key in _SECTIONS
            if raw.get(key) is not None
        }
        if raw.get("searchSpaceFile") is None and not raw.get("useAnnotation"):
            problems += _missing_space(sections, space)
        problems += _check_algorithms(sections, space, None, {})
        if code is not None:
            problems += _check_folder(code)
    problems += source.problems
    if problems:
        placed = dict.fromkeys(source.placed(problem, space_file) for problem in problems)
        raise error_of(sorted(without_echoes(placed), key=lambda each: each.place or Place("")), str(path))
    assert config is not None
    config.remarks[:0] = source.remarks
    return config


def read_config(config: str | Path | Mapping[str, Any] | ExperimentConfig) -> ExperimentConfig:
    """The configuration in a file, in a dictionary with the same keys, or in a model, complete and checked.

    Raises:
        ConfigError: With every problem.
    """
    if isinstance(config, str | Path):
        return load_config(config)
    model = config if isinstance(config, ExperimentConfig) else check(ExperimentConfig, dict(config))
    if model.use_annotation:
        model.search_space = annotated_space(model.trial_code_directory)
    elif model.search_space is None and model.search_space_file is not None:
        model.search_space = read_document(model.search_space_file).value
        model.search_space_file = None
    problems = verify(model)
    if problems:
        raise error_of(problems)
    return model


class Source:
    """A configuration as it is written, in any version, and what it says in the present one.

    Attributes:
        value: In version 2.
        problems: What an older version says and the present one cannot, each with its place.
        remarks: What means nothing any more.
    """

    def __init__(self, document: Document) -> None:
        raw = document.value
        if not isinstance(raw, Mapping):
            what = "empty" if raw is None else "a list" if isinstance(raw, list) else "a single value"
            raise error_of(
                [Problem((), f"is {what}; a configuration has lines of `key: value`", document.place(()))]
            )
        self._document = document
        self._upgraded: Upgraded | None = upgrade(raw) if is_version_1(raw) else None
        self.value: Mapping[str, Any] = raw
        self.problems: list[Problem] = []
        self.remarks: list[str] = []
        if self._upgraded is not None:
            self.value = self._upgraded.value
            found = self._upgraded.problems
            self.problems = [replace(each, place=document.place(each.path)) for each in found]
            self.remarks = [
                "this is a configuration of NNI 1; `tune config upgrade` prints it as one of version 2",
                *self._upgraded.remarks,
            ]

    def keys(self) -> dict[str, Any]:
        """The configuration in version 2, its keys spelt as ours."""
        try:
            forgiven: dict[str, Any] = forgive_keys(ExperimentConfig, self.value)
        except ConfigError as err:
            raise error_of([self.placed(each) for each in err.problems], self._document.file) from None
        return forgiven

    def placed(self, problem: Problem, space_file: Document | None = None) -> Problem:
        """`problem` with the place where it is written, and the keys that are written there."""
        if problem.place is not None:
            return problem
        path: KeyPath = problem.path
        if space_file is not None and path[:1] == ("searchSpace",):
            return replace(problem, path=path[1:], place=space_file.place(path[1:]))
        if self._upgraded is not None:
            path = self._upgraded.origin(path)
        return replace(problem, path=path, place=self._document.place(path))


def _code_folder(raw: Mapping[str, Any], directory: Path) -> Path | None:
    """Where the code of a configuration is that is wrong in other ways."""
    folder = raw.get("trialCodeDirectory", ".")
    return Path(directory, os.path.expanduser(folder)) if isinstance(folder, str) else None  # noqa: PTH111 (as below)


def annotated_space(code: Path) -> dict[str, Any]:
    """The search space in the annotated code in a folder.

    Raises:
        ConfigError: With the files and lines that are wrong.
    """
    try:
        reader = annotation()
    except PluginError as err:
        raise error_of([Problem(("useAnnotation",), str(err))]) from err
    if problems := _check_folder(code):
        raise error_of(problems)
    return reader.search_space(code)


def verify(config: ExperimentConfig) -> list[Problem]:
    """What is wrong with a configuration although each key by itself is right; sets its remarks."""
    choices: dict[str, Choice] = {}
    sections = {key: getattr(config, key) for key in _SECTIONS}
    problems = _missing_space(sections, config.search_space)
    if config.search_space is None and not problems:
        config.search_space = {}
    problems += _check_algorithms(sections, config.search_space, config.seed, choices)
    problems += _check_folder(config.trial_code_directory)
    problems += _check_command(config)
    problems += _check_service(config)
    problems += _check_sight(config, choices)
    problems += _check_points(config, choices)
    problems += _check_objectives(config, choices)
    config.remarks[:] = remarks_on(config, choices)
    return problems


def _gather(problems: list[Problem], action: Callable[[], T], *prefix: str) -> T | None:
    """What `action` returns; what it finds wrong is added to `problems`."""
    try:
        return action()
    except ConfigError as err:
        problems += [each.within(prefix) for each in err.problems or [Problem((), str(err))]]
    except SearchSpaceError as err:
        found = [Problem(("searchSpace", *each.keys), each.message) for each in err.problems]
        problems += found or [Problem(prefix, str(err))]
    return None


def _read_space_file(raw: Mapping[str, Any], path: Path) -> Document | None:
    name = raw["searchSpaceFile"]
    if not isinstance(name, str) or raw.get("searchSpace") is not None:
        return None  # reported already
    file = Path(path.absolute().parent, os.path.expanduser(name))  # noqa: PTH111 (unknown users stay as they are)
    shown = str(path.parent / name)
    try:
        return read_document(file, shown)
    except ConfigError as err:
        if any(each.place and each.place.line for each in err.problems):
            raise
        near = "" if file.exists() else near_file(file)
        raise error_of([Problem(("searchSpaceFile",), f"{each}{near}") for each in err.problems]) from None


def _check_algorithms(
    sections: Mapping[str, AlgorithmConfig | None],
    raw_space: Any,
    seed: int | None,
    choices: dict[str, Choice],
) -> list[Problem]:
    """What is wrong with the algorithms and the space, and with both together; fills `choices`."""
    problems: list[Problem] = []
    needed = _need_space(sections)
    space = _gather(problems, lambda: _space(raw_space, needed)) if raw_space is not None else None
    for key, section in sections.items():
        if section is None:
            continue
        choice = _gather(problems, lambda: choose(key, section), key)  # noqa: B023 (called at once)
        if choice is not None:
            choices[key] = choice
            shown = None if key == "assessor" else space
            _gather(problems, lambda: _try(choice, shown, seed), key)  # noqa: B023
    tuner, assessor = choices.get("tuner"), choices.get("assessor")
    if tuner and tuner.kind == "advisor" and sections.get("assessor") is not None:
        problems.append(Problem(("assessor",), f"{tuner.name} is an advisor, which stops trials itself"))
    elif tuner and assessor:
        problems += _contradiction(tuner, assessor)
    return problems


def _check_folder(folder: Path) -> list[Problem]:
    if folder.is_dir():
        return []
    return [Problem(("trialCodeDirectory",), f"no folder {str(folder)!r}{near_file(folder)}")]


def _check_command(config: ExperimentConfig) -> list[Problem]:
    """A command that would run the code as it was before it was rewritten."""
    folder = str(config.trial_code_directory)
    if not config.use_annotation or not re.search(rf"{re.escape(folder)}(?![\w.-])", config.trial_command):
        return []
    text = f"names {folder} in full, where annotations are not expanded; trials run in a folder like it"
    return [Problem(("trialCommand",), f"{text}\n  write the path from there: train.py, lib/train.py")]


def _missing_space(sections: Mapping[str, AlgorithmConfig | None], raw_space: Any) -> list[Problem]:
    if raw_space is not None or not _need_space(sections):
        return []
    return [Problem(("searchSpace",), f"{REQUIRED}: each parameter, with what it may be")]


def _need_space(sections: Mapping[str, AlgorithmConfig | None]) -> bool:
    """Whether there has to be a search space."""
    chosen = [(key, each) for key in ("tuner", "advisor") if (each := sections.get(key)) is not None]
    return all(needs_space(key, section) for key, section in chosen)


def _check_points(config: ExperimentConfig, choices: Mapping[str, Choice]) -> list[Problem]:
    """Initial points that are no configurations, neither of the search space nor to the algorithm."""
    choice = choices.get("tuner") or choices.get("advisor")
    if not config.initial_points or choice is None:
        return []
    try:
        space = SearchSpace.parse(config.search_space, allow_empty=not choice.needs_space)
        algorithm = None if choice.needs_space else choice.make()
    except (ConfigError, SearchSpaceError):
        return []  # which is told elsewhere
    problems = []
    for number, point in enumerate(config.initial_points):
        try:
            check_configuration(point, space, algorithm)
        except SearchSpaceError as err:
            for each in err.problems:
                what = f"{each.path}: {each.message}" if each.path and not each.keys else each.message
                problems.append(Problem(("initialPoints", number, *each.keys), what))
    return problems


def _check_objectives(config: ExperimentConfig, choices: Mapping[str, Choice]) -> list[Problem]:
    """What is asked of results, and is beyond the algorithm or the other keys."""
    problems = []
    for key in ("tuner", "advisor"):
        if (choice := choices.get(key)) is None:
            continue
        objectives = Objectives.of(choice.modes, config.bounds)
        if objectives.are_many and not getattr(choice.cls, "many_objectives", False):
            problems.append(Problem((key, "classArgs", "optimize_mode"), refusal(choice.name, objectives)))
        if config.include_intermediate_results and not objectives.is_plain:
            what = "several objectives" if objectives.are_many else "constraints"
            text = f"excludes {what}: an intermediate result has the first objective only"
            problems.append(Problem(("includeIntermediateResults",), text))
    return problems


def _check_service(config: ExperimentConfig) -> list[Problem]:
    """What the platform can never run."""
    service = plugins().find("training_service", config.training_service.platform).load()
    try:
        service(config.training_service.config).check(config.trial_gpu_number)
    except TrainingServiceError as err:
        return [Problem(("trialGpuNumber",), str(err))]
    except ConfigError as err:
        return [each.within(("trainingService",)) for each in err.problems or [Problem((), str(err))]]
    return []


def _check_sight(config: ExperimentConfig, choices: Mapping[str, Choice]) -> list[Problem]:
    """Trials that have to see a folder of this machine, on a platform where they do not."""
    platform = config.training_service.platform
    if plugins().find("training_service", platform).load().sees_folders:
        return []
    problems = []
    for key in ("tuner", "advisor"):
        if (choice := choices.get(key)) is None:
            continue
        try:
            remedy = choice.make().needs_folder
        except ConfigError:
            continue  # which is told elsewhere
        if remedy:
            text = (
                f"{choice.name} needs a folder that all trials see, and those on {platform} do not see this"
            )
            problems.append(Problem((key, "classArgs"), f"{text} machine's; {remedy}"))
    return problems


def _space(raw: Any, needed: bool) -> SearchSpace:
    if not isinstance(raw, Mapping):
        raise error_of(
            [Problem(("searchSpace",), "is not a section of parameters, each with _type and _value")]
        )
    return SearchSpace.parse(raw, allow_empty=not needed)


def _try(choice: Choice, space: SearchSpace | None, seed: int | None) -> None:
    """Make the algorithm and show it the space, so that it refuses what it cannot take now."""
    algorithm = choice.make()
    if space is None:
        return
    choice.check_space(space)
    algorithm.set_seed(seed or 0)
    try:
        algorithm.update_search_space(space)
    except (ConfigError, SearchSpaceError):
        raise
    except Exception as err:
        raise error_of(
            [Problem((), f"{choice.name} fails on this search space: {type(err).__name__}: {err}")]
        ) from err


def _contradiction(tuner: Choice, assessor: Choice) -> list[Problem]:
    if not assessor.mode_given or tuner.optimize_mode == assessor.optimize_mode:
        return []
    said = "" if tuner.mode_given else " (its default)"
    text = f"the assessor is to {assessor.optimize_mode}, but the tuner is to {tuner.optimize_mode}{said}"
    return [Problem(("assessor", "classArgs", "optimize_mode"), text)]
