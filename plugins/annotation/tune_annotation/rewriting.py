"""An annotated file rewritten: for trials, which look their values up, or with the values of one trial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_annotation.grammar import (
    FunctionChoice,
    Layer,
    MutableLayers,
    NextParameter,
    Option,
    Report,
    Variable,
)
from tune_annotation.source import LINE_END, Site, Source, Span

__all__ = ["Values", "expanded", "generated"]

_MODULE = "tune.annotated"
_NAME = "_tune_annotated"


@dataclass(frozen=True)
class _Edit:
    span: Span
    code: str


class _Words(ABC):
    """How a value, a choice or a report is said in the code."""

    @abstractmethod
    def value(self, key: str) -> str: ...

    @abstractmethod
    def among(self, key: str, options: Sequence[Option]) -> str:
        """The option that is chosen; no other is evaluated."""

    @abstractmethod
    def inputs(self, key: str, candidates: Sequence[Option]) -> str:
        """Items of a list: the candidates that are taken."""

    @abstractmethod
    def report(self, function: str, code: str) -> str: ...

    @abstractmethod
    def next_parameter(self) -> str: ...


class _Lookups(_Words):
    """Code that asks what the trial's parameters are."""

    def __init__(self, name: str) -> None:
        self._name = name

    def value(self, key: str) -> str:
        return f"{self._name}.value({key!a})"

    def among(self, key: str, options: Sequence[Option]) -> str:
        if all(option.is_plain for option in options):
            return self.value(key)
        # Conditions and not a table of lambdas: names of a class body, `await` and `yield` work in them.
        branches = [
            f"({option.code}) if {self._name}.is_chosen({key!a}, {option.value!a}) else "
            for option in options
        ]
        return f"({''.join(branches)}{self._name}.no_option({key!a}))"

    def inputs(self, key: str, candidates: Sequence[Option]) -> str:
        return ", ".join(
            f"*([{each.code}] if {self._name}.takes({key!a}, {each.value!a}) else [])" for each in candidates
        )

    def report(self, function: str, code: str) -> str:
        return f"{self._name}.{function}({code})"

    def next_parameter(self) -> str:
        return f"{self._name}.get_next_parameter()"


class Values(_Words):
    """Code with the values of one trial, which needs nothing of `tune`.

    Attributes:
        unused: Keys that no code has asked for.
        missing: Keys that the trial has no value for, or one that is none of the options.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self.unused = set(parameters)
        self.missing: list[str] = []

    def value(self, key: str) -> str:
        return ascii(self._take(key))

    def among(self, key: str, options: Sequence[Option]) -> str:
        chosen = self._take(key)
        for option in options:
            if option.value == chosen and isinstance(option.value, bool) == isinstance(chosen, bool):
                return f"({option.code})" if not option.is_plain else option.code
        self.missing.append(key)
        return "None"

    def inputs(self, key: str, candidates: Sequence[Option]) -> str:
        chosen = self._take(key)
        return ", ".join(each.code for each in candidates if each.value in (chosen or ()))

    def report(self, function: str, code: str) -> str:
        return f"print({function.removeprefix('report_').replace('_', ' ') + ':'!r}, {code})"

    def next_parameter(self) -> str:
        return ""

    def _take(self, key: str) -> Any:
        self.unused.discard(key)
        if key not in self._parameters:
            self.missing.append(key)
            return None
        found = self._parameters[key]
        return found["_value"] if isinstance(found, Mapping) and "_value" in found else found


def expanded(source: Source) -> str:
    """The text for trials."""
    name = _NAME
    while name in source.text:
        name += "_"
    edits = []
    if source.anchor is None:  # no simple statement to put it beside
        name = f'__import__("{_MODULE}").annotated'
    else:
        offset, before = source.anchor
        words = f"import {_MODULE} as {name}"
        edits.append(_Edit(Span(offset, offset), f"{words}; " if before else f"; {words}"))
    return _applied(source.text, [*edits, *_edits(source, _Lookups(name))])


def generated(source: Source, values: Values) -> str:
    """The text with values in place."""
    return _applied(source.text, list(_edits(source, values)))


def _edits(source: Source, words: _Words) -> Iterator[_Edit]:
    for site in source.sites:
        annotation = site.annotation
        if isinstance(annotation, Report):
            yield _Edit(site.literal, words.report(annotation.function, annotation.code))
        elif isinstance(annotation, NextParameter) and words.next_parameter():
            yield _Edit(site.literal, words.next_parameter())
        elif isinstance(annotation, MutableLayers):
            yield _Edit(site.literal, "; ".join(_layers(site, annotation, words)))
        else:
            yield _Edit(site.mark, "")  # stays as a remark
            if isinstance(annotation, Variable | FunctionChoice):
                (parameter,) = site.parameters
                code = (
                    words.among(parameter.key, annotation.options)
                    if annotation.options
                    else words.value(parameter.key)
                )
                yield from (_Edit(subject, code) for subject in site.subjects)


def _layers(site: Site, annotation: MutableLayers, words: _Words) -> Iterator[str]:
    for (key, inputs_key), layer in zip(site.keys, annotation.layers, strict=True):
        optional = words.inputs(inputs_key, layer.optional) if inputs_key else ""
        calls = _calls(layer, f"[[{', '.join(layer.fixed)}], [{optional}]]")
        yield f"{layer.output} = {words.among(key, calls)}"


def _calls(layer: Layer, inputs: str) -> list[Option]:
    """The operations of a layer, each called with its inputs: the fixed ones, and those that are taken."""
    return [
        Option(
            f"{each.function}({', '.join(filter(None, (inputs, each.arguments)))})", each.text, is_plain=False
        )
        for each in layer.operations
    ]


def _applied(text: str, edits: list[_Edit]) -> str:
    """`text` with the edits made, and no line more or less. What lies within an earlier edit goes with it."""
    pieces = []
    done = 0
    for edit in sorted(edits, key=lambda each: (each.span.start, each.span.end)):
        start, end = edit.span.start, edit.span.end
        if start < done:
            continue
        ends = "".join(LINE_END.findall(text, start, end))
        pieces += [text[done:start], _padded(edit.code, ends)]
        done = end
    return "".join([*pieces, text[done:]])


def _padded(code: str, line_ends: str) -> str:
    """`code` over as many lines as before: the others are empty, within its last parentheses."""
    if not line_ends:
        return code
    if code.endswith(")"):
        return f"{code[:-1]}{line_ends})"
    return f"({code}{line_ends})"
