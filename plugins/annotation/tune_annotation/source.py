"""An annotated file, read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_annotation.grammar import PREFIXES, Annotation
from tune_core.config.problems import Place, Problem

__all__ = ["LINE_END", "MARKS", "Parameter", "Site", "Source", "Span"]

MARKS = tuple(f"@{prefix}.".encode() for prefix in PREFIXES)
"""A file without any of these has no annotation, and need not be parsed."""

LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Span:
    """A part of the text, in characters."""

    start: int
    end: int


@dataclass(frozen=True)
class Parameter:
    """One entry of the search space."""

    key: str
    spec: Mapping[str, Any]
    place: Place


@dataclass
class Site:
    """One annotation in the code.

    Attributes:
        literal: The string it is written in.
        mark: The `@` in it.
        subjects: What it is about: the value that is assigned, or the calls that are replaced.
        parameters: What it adds to the search space.
        keys: Of a layer each: its operation, and its inputs if there are any.
    """

    annotation: Annotation
    place: Place
    literal: Span
    mark: Span
    subjects: tuple[Span, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()


@dataclass
class Source:
    """A file of Python code, read.

    Attributes:
        text: With its line ends as they are.
        anchor: Where a statement may be put without a new line, and whether it goes before or after what
            is there; None where there is no such place.
    """

    shown: str
    text: str
    encoding: str
    sites: list[Site] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    anchor: tuple[int, bool] | None = None
