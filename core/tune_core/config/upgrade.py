"""Recognising configurations of NNI 1.x. This version does not read them yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_core.config.problems import Problem, error_of

__all__ = ["is_version_1", "upgrade"]

_MARK = "trainingServicePlatform"


def is_version_1(raw: Any) -> bool:
    """Whether `raw` is in NNI's first format: told, as NNI did, by `trainingServicePlatform`."""
    if not isinstance(raw, Mapping):
        return False
    return any(key.replace("_", "").lower() == _MARK.lower() and value for key, value in raw.items())


def upgrade(raw: Mapping[str, Any]) -> dict[str, Any]:
    """`raw`, in version 1, as version 2.

    Raises:
        ConfigError: Always, in this version of `tune`.
    """
    key = next(key for key in raw if key.replace("_", "").lower() == _MARK.lower())
    raise error_of(
        [
            Problem(
                (key,),
                "this is a configuration of NNI 1.x, which this version of tune does not read\n"
                "  write it in version 2: trainingService.platform instead of this key, trialCommand instead "
                "of trial.command, and so on; `tune config schema` has all keys",
            )
        ]
    )
