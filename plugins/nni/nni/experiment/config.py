"""Configurations of `nni.experiment`: the keys of a file of version 2, in snake case."""

from __future__ import annotations

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
    """A tuner, assessor or advisor: `name`, `class_args`; or `class_name`, `code_directory` of one's own."""


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
