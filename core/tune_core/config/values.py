"""Values with a notation of their own: durations, sizes, paths, GPU numbers, secrets."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from tune_core.errors import ConfigError

__all__ = [
    "Directory",
    "Duration",
    "FilePath",
    "Indices",
    "Secret",
    "Size",
    "expand_references",
    "references",
    "resolve_environment",
    "seconds",
]

_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([smhd])\s*", re.IGNORECASE | re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 100 * 365 * 86400
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?b)\s*", re.IGNORECASE | re.ASCII)
_MIB = {"b": 2.0**-20, "kb": 2.0**-10, "mb": 1.0, "gb": 2.0**10, "tb": 2.0**20}
_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
MASK = "**********"


def seconds(value: Any) -> int:
    """Whole seconds, rounded up, from `0.5h` or a number of seconds.

    Raises:
        ValueError: It is no duration, or one that no experiment has.
    """
    wanted = "a duration: a number of seconds, or a number with a unit, like 90s, 30m, 0.5h or 7d"
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        number = math.ceil(float(match[1]) * _SECONDS[match[2].lower()])
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise ValueError(f"{value!r} is not {wanted}")
    if not 0 < number <= _LONGEST_S:
        raise ValueError(f"{value!r} is not a duration between one second and a hundred years")
    return number


def _size(value: Any) -> int:
    """MiB, from `1.5gb` or a number of MiB; rounded up to whole ones. The units are powers of 1024."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        mebibytes = math.ceil(float(match[1]) * _MIB[match[2].lower()])
    elif isinstance(value, int) and not isinstance(value, bool):
        mebibytes = value
    else:
        raise ValueError(
            f"{value!r} is not a size: a number of MB, or a number with a unit, like 512mb or 1.5gb"
        )
    if mebibytes <= 0:
        raise ValueError(f"{value!r} is not a size above zero")
    return mebibytes


def _indices(value: Any) -> tuple[int, ...]:
    """GPU numbers, from `0`, `[0, 1]` or `"0,1"`."""
    parts = (
        value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    )
    try:
        numbers = tuple(int(part) if isinstance(part, str) else part for part in parts)
    except ValueError:
        numbers = (-1,)
    if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in numbers):
        raise ValueError(f'{value!r} is not a list of GPU numbers, like 0, [0, 1] or "0,1"')
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{value!r} names a GPU twice")
    return numbers


def _path(value: Any, info: ValidationInfo) -> Path:
    """An absolute path; a relative one is relative to the configuration's folder."""
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise ValueError(f"{value!r} is not a path")
    base = (info.context or {}).get("directory", "")
    try:
        path = Path(os.path.abspath(Path(base, Path(value).expanduser())))  # noqa: PTH100 (links stay as they are)
        str(path).encode()
    except RuntimeError as err:
        raise ValueError(f"{str(value)!r}: no such user's home folder") from err
    except UnicodeEncodeError as err:
        raise ValueError(
            f"{str(path)!r} is no text in this locale\n  use one of UTF-8: LC_ALL=C.UTF-8 tune ..."
        ) from err
    return path


Duration = Annotated[
    int,
    BeforeValidator(seconds),
    WithJsonSchema({"type": ["integer", "string"], "examples": ["90s", "0.5h"]}),
]
"""Seconds."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": ["integer", "string"], "examples": ["512mb", "1.5gb"]}),
]
"""MiB."""

Indices = Annotated[
    tuple[int, ...],
    BeforeValidator(_indices),
    WithJsonSchema({"type": ["integer", "string", "array"], "items": {"type": "integer", "minimum": 0}}),
]

FilePath = Annotated[
    Path, BeforeValidator(_path), PlainSerializer(str), WithJsonSchema({"type": "string", "format": "path"})
]
Directory = FilePath


def references(text: str) -> list[str]:
    """The variables that `text` takes by `${env:NAME}`."""
    return _REFERENCE.findall(text)


def expand_references(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """`text` with each `${env:NAME}` replaced.

    Raises:
        ConfigError: A variable is not set.
    """
    for name in references(text):
        if name not in environ:
            raise ConfigError(f"${{env:{name}}}: the environment variable {name} is not set")
    return _REFERENCE.sub(lambda match: environ[match[1]], text)


def resolve_environment(
    variables: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """`variables` with their references replaced.

    Raises:
        ConfigError: Names each variable that is not set.
    """
    missing = {
        name: lost for name, text in variables.items() for lost in references(text) if lost not in environ
    }
    if missing:
        raise ConfigError(
            "\n".join(f"trialEnvironment.{name}: {lost} is not set here" for name, lost in missing.items())
        )
    return {name: expand_references(text, environ) for name, text in variables.items()}


class Secret:
    """A text that is never stored, logged or shown.

    Written as `${env:NAME}` or `${file:PATH}` it is stored as that, and looked up when it is used.
    Written in clear it works until the manager ends and is stored as asterisks.
    """

    _FILE = re.compile(r"\$\{file:([^}]+)\}")

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def reference(self) -> str:
        """What may be shown: the reference, or asterisks."""
        whole = _REFERENCE.fullmatch(self._text) or self._FILE.fullmatch(self._text)
        return self._text if whole else MASK

    def reveal(self) -> str:
        """The secret itself. Keep it out of messages, and of arguments of processes.

        Raises:
            ConfigError: It was given in clear in an earlier run, or what it refers to is not there.
        """
        if self._text == MASK:
            raise ConfigError(
                "a secret that was written in clear is not stored; "
                "write it as ${env:NAME} or ${file:PATH} so that the experiment can be resumed"
            )
        if match := self._FILE.fullmatch(self._text):
            try:
                return Path(match[1]).expanduser().read_text().rstrip("\r\n")
            except (OSError, ValueError) as err:
                raise ConfigError(f"{self._text}: the file cannot be read: {err}") from err
        return expand_references(self._text) if self.reference != MASK else self._text

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __str__(self) -> str:
        return self.reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validated, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "password", "examples": ["${env:NAME}", "${file:PATH}"]}

    @classmethod
    def _validated(cls, value: Any) -> Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise ValueError("is not text; a secret is written as text, ${env:NAME} or ${file:PATH}")  # noqa: TRY004
        return cls(value)
