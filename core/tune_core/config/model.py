"""The configuration of an experiment: NNI's version 2, and what `tune` adds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from tune_core.config.checking import ConfigModel, check
from tune_core.config.problems import REQUIRED, Problem, error_of
from tune_core.config.values import Directory, Duration, FilePath, Indices
from tune_core.config.version1 import RENAMED
from tune_core.errors import PluginError
from tune_core.objectives import Bound
from tune_core.plugins import plugins

__all__ = ["AlgorithmConfig", "ExperimentConfig", "FailureBrake", "ServiceConfig", "TrialRetry"]

Count = Annotated[int, Field(ge=0, le=99_999)]
PositiveCount = Annotated[int, Field(ge=1, le=99_999)]
Text = Annotated[str, Field(min_length=1)]


class AlgorithmConfig(ConfigModel):
    """A tuner, assessor or advisor: an installed one by `name`, or a class of your own."""

    former: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("builtinTunerName", "builtinAssessorName", "builtinAdvisorName"), "name"),
        "codeDir": "codeDirectory",
    }

    name: Text | None = Field(
        default=None, description="An installed algorithm, in any case; `package:Name` if two share it."
    )
    class_name: Text | None = Field(default=None, description="A class of your own, as `module.Class`.")
    class_file_name: Text | None = Field(
        default=None, description="The file of the class, if `className` names no module."
    )
    code_directory: Directory | None = Field(
        default=None, description="Where that module is; the file's folder by default."
    )
    class_args: dict[str, Any] = Field(default_factory=dict, description="Arguments of the algorithm.")

    @model_validator(mode="before")
    @classmethod
    def _is_section(cls, data: Any) -> Any:
        if isinstance(data, str):
            raise error_of([Problem((), f"{data!r} is not a section; write `name: {data}` under it")])
        return data

    @field_validator("class_args", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> list[Problem]:
        name, class_name = data.get("name"), data.get("className")
        if name is not None and class_name is not None:
            return [Problem(("className",), "excludes name: an installed algorithm, or a class of your own")]
        if name is None and class_name is None:
            return [Problem(("name",), f"{REQUIRED}, or className for a class of your own")]
        return [
            Problem((key,), "goes with className, for a class of your own; leave it out with name")
            for key in ("classFileName", "codeDirectory")
            if name is not None and data.get(key) is not None
        ]

    @model_validator(mode="after")
    def _directory_of_class(self, info: ValidationInfo) -> AlgorithmConfig:
        if self.class_name and self.code_directory is None:
            self.code_directory = Path((info.context or {}).get("directory", "")).absolute()
        return self


class ServiceConfig(BaseModel):
    """A platform, and its own section checked against the model of its plugin."""

    platform: str
    config: BaseModel

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        section = self.config.model_dump(mode="json", by_alias=True)
        return {
            "platform": self.platform,
            **{key: each for key, each in section.items() if key != "platform"},
        }


def _service(value: Any, info: ValidationInfo) -> Any:
    """Check a `trainingService` section against its plugin's model."""
    if isinstance(value, ServiceConfig):
        return value
    if isinstance(value, list):
        raise error_of([Problem((), "a list of services (hybrid) is not supported yet; give one section")])
    if not isinstance(value, Mapping):
        platform = value if isinstance(value, str) and value.isidentifier() else "local"
        seen = "" if value is None else f"{value!r} "
        raise error_of([Problem((), f"{seen}is not a section; write `platform: {platform}` under it")])
    section = {"platform" if str(key).lower() == "platform" else key: each for key, each in value.items()}
    platform = section.pop("platform", None)
    if not isinstance(platform, str) or not platform:
        wrong = REQUIRED if platform in (None, "") else f"{platform!r} is not text"
        raise error_of([Problem(("platform",), f"{wrong}: the name of a training service, such as local")])
    try:
        found = plugins().find("training_service", platform)
        model: type[BaseModel] = found.load().Config
    except PluginError as err:
        raise error_of([Problem(("platform",), str(err))]) from err
    name = found.driver.name
    if "platform" in model.model_fields:
        section["platform"] = name
    return ServiceConfig.model_construct(platform=name, config=check(model, section, context=info.context))


class TrialRetry(ConfigModel):
    """How often a trial is tried again."""

    failed: Count = Field(default=0, description="After it failed by itself.")
    lost: Count = Field(default=3, description="After its machine or its process was lost.")


class FailureBrake(ConfigModel):
    """Stops submitting when trials fail as soon as they start."""

    trials: PositiveCount = Field(default=10, description="This many in a row,")
    within: Duration = Field(default=5, description="each within this time of its start.")


class BoundConfig(ConfigModel):
    """What a metric of a final result may be."""

    min: Annotated[float, Field(allow_inf_nan=False)] | None = Field(default=None, description="At least.")
    max: Annotated[float, Field(allow_inf_nan=False)] | None = Field(default=None, description="At most.")

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> list[Problem]:
        limits = [each for each in (data.get("min"), data.get("max")) if each is not None]
        if not limits:
            return [Problem((), "needs min, max or both")]
        if (
            len(limits) == 2
            and all(isinstance(each, int | float) for each in limits)
            and limits[0] > limits[1]
        ):
            return [Problem(("min",), f"{limits[0]!r} is above max, {limits[1]!r}")]
        return []


def _pattern(text: str) -> str:
    try:
        pattern = re.compile(text)
    except re.error as err:
        raise ValueError(f"{text!r} is not a regular expression: {err}") from err
    if not pattern.groups:
        raise ValueError(f"{text!r} has no group: put ( ) around what matches the number")
    if pattern.groups > 1 and not pattern.groupindex:
        raise ValueError(
            f"{text!r} has {pattern.groups} groups: name those that are metrics, like (?P<default>...), "
            "and write the others as (?:...)"
        )
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class MetricsConfig(ConfigModel):
    """Where the results of a program are that knows nothing of `tune`."""

    file: Text | None = Field(
        default=None,
        description="A JSON file that each trial writes; relative to its working directory, or below a "
        "variable such as `$TUNE_OUTPUT_DIR`.",
    )
    key: Text | None = Field(
        default=None,
        description="Where in the file the number is, like `test.accuracy`; unset: it is the metric.",
    )
    log: Pattern | None = Field(
        default=None,
        description="A regular expression with one group, or named ones. Each match in what is printed is an "
        "intermediate result, the last one the final result.",
    )
    final: Pattern | None = Field(
        default=None, description="The same for the final result alone; its last match counts."
    )

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> list[Problem]:
        given = {key for key, value in data.items() if value is not None}
        problems = []
        if not given & {"file", "log", "final"}:
            problems.append(Problem((), "needs file, log or final: where the results are"))
        if "key" in given and "file" not in given:
            problems.append(Problem(("key",), "is of a file, which is not given"))
        if {"file", "final"} <= given:
            problems.append(Problem(("final",), "excludes file: the final result is in one place"))
        return problems


def _not_yet(what: str) -> BeforeValidator:
    def refuse(value: Any) -> None:
        if value not in (None, False):
            raise ValueError(what)

    return BeforeValidator(refuse)


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ExperimentConfig(ConfigModel):
    """All that defines an experiment."""

    former: ClassVar[Mapping[str, str]] = {old: new for old, new in RENAMED.items() if old != new}

    experiment_name: str | None = Field(default=None, description="For people; shown in lists.")
    experiment_type: Literal["hpo"] = Field(default="hpo", description="What kind of experiment this is.")
    search_space: Any = Field(
        default=None, description="The search space itself. Excludes `searchSpaceFile`."
    )
    search_space_file: FilePath | None = Field(
        default=None, description="A JSON or YAML file that holds the search space."
    )
    initial_points: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Configurations to try first, in this order; the algorithm learns from them too.",
    )
    constraints: dict[Text, BoundConfig] = Field(
        default_factory=dict,
        description="Bounds on metrics of final results, such as `{latency: {max: 20}}`. What breaks one is "
        "kept, but is never the best.",
    )
    trial_command: Text = Field(
        description="Runs one trial; a line for the shell. `{lr}` stands for the value of the parameter `lr`."
    )
    trial_code_directory: Directory = Field(
        default=".", validate_default=True, description="Working directory of trials; relative to this file."
    )
    metrics: MetricsConfig | None = Field(
        default=None, description="Reads results from a file or the output of trials that do not report them."
    )
    trial_concurrency: PositiveCount = Field(description="The most trials at once.")
    trial_gpu_number: Count | None = Field(
        default=None, description="GPUs for each trial. 0 hides them all; unset leaves them alone."
    )
    trial_environment: dict[str, str] = Field(
        default_factory=dict,
        description="Variables for trials. `${env:NAME}` is looked up when a trial starts, and never stored.",
    )
    max_experiment_duration: Duration | None = Field(
        default=None, description="No trial is submitted after this time, of which only running time counts."
    )
    max_trial_number: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The most trials submitted, failed ones too."
    )
    max_trial_duration: Duration | None = Field(
        default=None, description="A trial that takes longer is stopped."
    )
    trial_retry: TrialRetry = Field(default=TrialRetry(), description="How often a trial is tried again.")
    failure_brake: FailureBrake | None = Field(
        default=FailureBrake(), description="Null lets every trial fail."
    )
    include_intermediate_results: bool = Field(
        default=False,
        description="The last result of a trial that an assessor stopped counts as its final one.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        default=None, description="Makes the proposals repeatable; drawn when unset."
    )
    tuner: AlgorithmConfig | None = Field(
        default=None,
        description="Proposes configurations. With neither `tuner` nor `advisor`, the installed one that "
        "prefers itself most; `tune validate` says which.",
    )
    assessor: AlgorithmConfig | None = Field(default=None, description="Stops trials that are not promising.")
    advisor: AlgorithmConfig | None = Field(
        default=None, description="Tuner and assessor in one; may stand under `tuner`."
    )
    tuner_gpu_indices: Indices | None = Field(
        default=None, description="GPUs that the algorithm may use; none by default."
    )
    training_service: Annotated[ServiceConfig, BeforeValidator(_service)] = Field(
        description="The platform that runs trials, and its options."
    )
    experiment_working_directory: Directory | None = Field(
        default=None,
        description="Where the experiment's folder is made; `$TUNE_HOME` or `~/tune-experiments` by default.",
    )
    debug: bool = Field(default=False, description="Log everything.")
    log_level: Literal["fatal", "error", "warning", "info", "debug", "trace"] = Field(
        default="info", description="What the manager's log holds, from this level up."
    )
    nni_manager_ip: str | None = Field(default=None, description="Has no effect: trials never call back.")
    use_annotation: bool = Field(
        default=False,
        description="The search space is in annotations of the code, which is rewritten for trials.",
    )
    shared_storage: Annotated[None, _not_yet("shared storage comes with a later version")] = Field(
        default=None, description="Not supported by this version.", exclude=True
    )

    _remarks: list[str] = PrivateAttr(default_factory=list)
    _picked: str = PrivateAttr(default="")

    @property
    def remarks(self) -> list[str]:
        """What a person should know although nothing is wrong; set by `load_config`."""
        return self._remarks

    @property
    def picked(self) -> str:
        """Why the tuner is what it is, if nobody named one; empty otherwise."""
        return self._picked

    @property
    def algorithm(self) -> AlgorithmConfig:
        """The tuner or the advisor; the one that was picked if none was named."""
        chosen = self.tuner or self.advisor
        assert chosen is not None
        return chosen

    @property
    def bounds(self) -> dict[str, Bound]:
        """The constraints."""
        return {key: Bound(each.min, each.max) for key, each in self.constraints.items()}

    @field_validator("trial_command")
    @classmethod
    def _command_says_something(cls, value: str) -> str:
        if not value.strip() or "\0" in value:
            raise ValueError("is not a command: it is blank, or holds a NUL character")
        return value

    @field_validator("trial_environment")
    @classmethod
    def _variables_have_names(cls, value: dict[str, str]) -> dict[str, str]:
        wrong = [name for name in value if not _VARIABLE.fullmatch(name)]
        if wrong:
            raise error_of([Problem((name,), "is not a name for an environment variable") for name in wrong])
        return value

    @field_validator("initial_points", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return [] if value is None else value

    @field_validator("constraints", mode="before")
    @classmethod
    def _none_is_no_constraint(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("trial_retry", mode="before")
    @classmethod
    def _none_is_default(cls, value: Any) -> Any:
        return {} if value is None else value

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> list[Problem]:
        given = {key for key, value in data.items() if value is not None}
        problems = []
        if {"searchSpace", "searchSpaceFile"} <= given:
            problems.append(Problem(("searchSpaceFile",), "excludes searchSpace: give one of them"))
        if data.get("useAnnotation") is True:
            text = "excludes useAnnotation, which takes the search space from the code"
            spaces = [key for key in ("searchSpace", "searchSpaceFile") if key in given]
            problems += [Problem((key,), text) for key in spaces]
        if not given & {"tuner", "advisor"}:
            try:
                plugins().preferred("tuner")
            except PluginError as err:
                problems.append(Problem(("tuner",), str(err)))
        if "advisor" in given:
            both = [
                Problem((key,), "excludes advisor, which is both in one") for key in ("tuner", "assessor")
            ]
            problems += [problem for problem in both if problem.path[0] in given]
        return problems

    @model_validator(mode="after")
    def _pick_tuner(self) -> ExperimentConfig:
        if self.tuner is None and self.advisor is None:
            try:
                found = plugins().preferred("tuner")
            except PluginError:
                return self  # `conflicts` has told
            # By the name that means this one whatever is installed later, so that a resume finds it.
            self.tuner = AlgorithmConfig(name=found.qualified)
            self._picked = f"no tuner is named: {found.qualified} is used, the default of what is installed"
        return self

    def to_json(self) -> str:
        """For the experiment's record: paths are absolute, secrets are references or asterisks."""
        return self.model_dump_json(by_alias=True)

    @classmethod
    def from_json(cls, text: str) -> ExperimentConfig:
        """What `to_json` wrote.

        Raises:
            ConfigError: It does not fit this version, or the plugin of its platform is not here.
        """
        data = json.loads(text)
        # A person may not give both, but the record has what the code said.
        space = data.pop("searchSpace", None) if data.get("useAnnotation") else None
        config = check(cls, data)
        if space is not None:
            config.search_space = space
        return config
