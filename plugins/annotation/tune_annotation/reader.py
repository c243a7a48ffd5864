"""`AnnotatedCode`: the search space out of annotated code, and the code that trials run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_annotation.finding import read_source
from tune_annotation.folder import Folder, fill, survey
from tune_annotation.rewriting import Values, expanded, generated
from tune_annotation.source import MARKS, Parameter, Source
from tune_core import Annotation, ConfigError, Parameters
from tune_core.annotation import ORIGIN
from tune_core.config.problems import Place, Problem, error_of

__all__ = ["AnnotatedCode"]

_SDK = ("tune.py", "tune/__init__.py")  # what would be imported in place of `tune`


class AnnotatedCode(Annotation):
    """Python code with strings such as `\"\"\"@nni.variable(nni.uniform(0, 1), name=x)\"\"\"`."""

    def search_space(self, code: Path) -> dict[str, Any]:
        return {parameter.key: dict(parameter.spec) for parameter in _read(code).parameters}

    def expand(self, code: Path, target: Path) -> None:
        found = _read(code, target)
        rewritten = {path: _encoded(source, expanded(source)) for path, source in found.sources.items()}
        fill(code, found.folder, target, rewritten, copies=False)
        (target / ORIGIN).write_bytes(os.fsencode(os.path.realpath(code)) + b"\n")

    def generate(self, code: Path, parameters: Parameters, target: Path) -> None:
        found = _read(code, target, needs_sdk=False)
        values = Values(parameters)
        rewritten = {
            path: _encoded(source, generated(source, values)) for path, source in found.sources.items()
        }
        if values.missing:
            keys = ", ".join(dict.fromkeys(values.missing))
            raise ConfigError(
                f"{_shown(code)}: the trial has no value that fits for {keys}\n"
                "  the code is not any more what the experiment was started with"
            )
        fill(code, found.folder, target, rewritten, copies=True)


@dataclass(frozen=True)
class _Code:
    """What was read.

    Attributes:
        sources: The annotated files by their paths, in the order in which they are walked.
    """

    folder: Folder
    sources: dict[str, Source]
    parameters: list[Parameter]


def _read(code: Path, target: Path | None = None, *, needs_sdk: bool = True) -> _Code:
    """Read all annotations.

    Raises:
        ConfigError: With all that is wrong in any file.
    """
    try:
        top = survey(code, target)
    except OSError as err:
        raise ConfigError(f"{_shown(code)}: cannot be read: {err.strerror}") from err
    sources: dict[str, Source] = {}
    for folder in top.walk():
        for name in folder.code:
            path = f"{folder.path}/{name}" if folder.path else name
            if name.endswith(".py") and (source := _read_file(code, path)) is not None:
                sources[path] = source
    problems = [problem for source in sources.values() for problem in source.problems]
    parameters, contradictions = _merged(list(sources.values()))
    problems += contradictions
    if needs_sdk and sources:
        problems += _shadows(code, list(sources))
    if not sources:
        text = (
            "nothing is annotated in the Python files here\n"
            '  write """@nni.variable(nni.choice(50, 100), name=batch_size)""" before an assignment'
        )
        problems.append(Problem((), text, Place(_shown(code))))
    if problems:
        raise error_of(sorted(problems, key=lambda each: each.place or Place("")), _shown(code))
    return _Code(top, sources, parameters)


def _read_file(code: Path, path: str) -> Source | None:
    """A file that is annotated; None for others."""
    data = (code / path).read_bytes()
    if not any(mark in data for mark in MARKS):
        return None
    source = read_source(data, path.removesuffix(".py").replace("/", "."), _shown(code / path))
    return source if source.sites or source.problems else None


def _merged(sources: list[Source]) -> tuple[list[Parameter], list[Problem]]:
    """One parameter for each key, and the keys that two places want to be different things."""
    found: dict[str, Parameter] = {}
    problems = []
    for source in sources:
        for site in source.sites:
            for parameter in site.parameters:
                first = found.setdefault(parameter.key, parameter)
                if first.spec != parameter.spec:
                    text = (
                        f"{parameter.key} is something else in {first.place}: {_spec(first)} there, "
                        f"{_spec(parameter)} here\n  give both the same, or the variables different names"
                    )
                    problems.append(Problem(("annotation",), text, parameter.place))
    return list(found.values()), problems


def _spec(parameter: Parameter) -> str:
    return f"{parameter.spec['_type']} {parameter.spec['_value']}"


def _shadows(code: Path, paths: list[str]) -> list[Problem]:
    """Modules that annotated code would import in place of the SDK."""
    folders = dict.fromkeys(["", *(os.path.dirname(path) for path in paths)])  # noqa: PTH120 (text it is)
    return [
        Problem(
            (), "is imported in place of `tune`, which annotated code needs: rename it", Place(_shown(file))
        )
        for folder in folders
        for name in _SDK
        if (file := code / folder / name).is_file()
    ]


def _encoded(source: Source, text: str) -> bytes:
    return text.encode(source.encoding)


def _shown(path: Path) -> str:
    """A path as short as it can be."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 (links stay what they are)
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)
