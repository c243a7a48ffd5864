"""Configurations of `nni.experiment`: the keys of a file of version 2, in snake case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "AlgorithmConfig",
    "ConfigBase",
    "CustomAlgorithmConfig",
    "ExperimentConfig",
    "LocalConfig",
    "RemoteConfig",
    "RemoteMachineConfig",
]


class ConfigBase:
    """A section: what is set to something else than None is in it.

    Names are checked, all at once, when the experiment starts.
    """

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return None  # of what is not set

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"

    def json(self) -> dict[str, Any]:
        """The section as it stands in a file.

        >>> ConfigBase(trial_command="python t.py", tuner=AlgorithmConfig()).json()
        {'trialCommand': 'python t.py'}
        """
        section = {_camel(name): _json(value) for name, value in vars(self).items()}
        return {key: value for key, value in section.items() if value is not None}


class AlgorithmConfig(ConfigBase):
    """A tuner, assessor or advisor: `name`, `class_args`; or `class_name`, `code_directory` of one's own.

    `class_args` is a dictionary from the start, for scripts that fill it in key by key.
    """

    def __init__(self, **values: Any) -> None:
        self.class_args: dict[str, Any] | None = {}
        super().__init__(**values)

    def json(self) -> dict[str, Any]:
        section = super().json()
        if not self.class_args:
            section.pop("classArgs", None)
        return section


class CustomAlgorithmConfig(AlgorithmConfig):
    """As `AlgorithmConfig`."""


class LocalConfig(ConfigBase):
    """Trials run on this machine: `use_active_gpu`, `max_trial_number_per_gpu`, `gpu_indices`."""

    def __init__(self, **values: Any) -> None:
        super().__init__(platform="local", **values)


class RemoteMachineConfig(ConfigBase):
    """A machine: `host`, `user`, `port`, `password`, `ssh_key_file`, `python_path`, ..."""


class RemoteConfig(ConfigBase):
    """Trials run on other machines: `machine_list` of `RemoteMachineConfig`, `reuse_mode`."""

    def __init__(self, **values: Any) -> None:
        super().__init__(platform="remote", **values)
        if self.machine_list is None:
            self.machine_list: list[RemoteMachineConfig] = []


_PLATFORMS = {"local": LocalConfig, "remote": RemoteConfig}


class ExperimentConfig(ConfigBase):
    """A whole configuration.

    Args:
        training_service_platform: The name of a platform, for `training_service`.
        values: Keys with their values.
    """

    def __init__(self, training_service_platform: str | None = None, **values: Any) -> None:
        self.tuner = AlgorithmConfig()
        self.assessor = AlgorithmConfig()
        self.advisor = AlgorithmConfig()
        if training_service_platform is not None:
            make = _PLATFORMS.get(training_service_platform)
            self.training_service = make() if make else ConfigBase(platform=training_service_platform)
        super().__init__(**values)

    @classmethod
    def load(cls, path: str | Path) -> ExperimentConfig:
        """The configuration in a file of version 1 or 2; relative paths in it start where the file is.

        Values are checked when the experiment starts.

        Raises:
            ConfigError: It is no YAML or JSON, or says in version 1 what cannot be said any more.
        """
        from tune_core.config.document import read_document
        from tune_core.config.load import Source
        from tune_core.config.problems import error_of

        source = Source(read_document(Path(path)))
        if source.problems:
            raise error_of(source.problems, str(path))
        content = {"trialCodeDirectory": ".", **source.keys()}
        service = dict(content.pop("trainingService", None) or {})
        folder = Path(path).absolute().parent
        config = cls(service.pop("platform", None), **_section(content, folder))
        for name, value in _section(service, folder).items():
            setattr(config.training_service, name, value)
        return config


_PATHS = {"search_space_file", "trial_code_directory", "experiment_working_directory", "code_directory"}


def _section(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The values of a section of a file, by the names that they have in Python."""
    section: dict[str, Any] = {}
    for key, value in content.items():
        name = _snake(key)
        if name in {"tuner", "assessor", "advisor"} and isinstance(value, Mapping):
            section[name] = AlgorithmConfig(**_section({"codeDirectory": ".", **value}, folder))
            if section[name].name is not None:
                del section[name].code_directory
        elif name == "machine_list" and isinstance(value, list):
            section[name] = [RemoteMachineConfig(**_section(each, folder)) for each in value]
        elif name in _PATHS and isinstance(value, str):
            section[name] = str(folder / Path(value).expanduser())
        else:
            section[name] = value
    return section


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _json(value: Any) -> Any:
    """JSON of a section; keys of dictionaries are the user's own and stay what they are."""
    if isinstance(value, ConfigBase):
        return value.json() or None
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    return str(value) if isinstance(value, Path) else value
