"""What one annotation says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "PREFIXES",
    "Annotation",
    "FunctionChoice",
    "Layer",
    "MutableLayers",
    "NextParameter",
    "Operation",
    "Option",
    "Report",
    "TrainingUpdate",
    "Variable",
]

PREFIXES = ("nni", "tune")


@dataclass(frozen=True)
class Option:
    """One of several values.

    Attributes:
        code: The expression as it is put into the code, in one line.
        value: What stands for it in the search space: a plain value itself, else the expression's text.
        is_plain: Whether `value` is what `code` evaluates to.
    """

    code: str
    value: Any
    is_plain: bool


@dataclass(frozen=True)
class Variable:
    """`variable(nni.uniform(0, 1), name=target)`; `numbers` are empty for a choice, `options` otherwise."""

    target: str
    kind: str
    numbers: tuple[float, ...] = ()
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class FunctionChoice:
    """`function_choice(f(a), g(a), name=target)`."""

    target: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Report:
    """`report_final_result(code)`, or `report_intermediate_result`."""

    function: str
    code: str


@dataclass(frozen=True)
class NextParameter:
    """`get_next_parameter()`."""


@dataclass(frozen=True)
class Operation:
    """One of the operations of a layer: `function(arguments)`, all of them by keyword."""

    text: str
    function: str
    arguments: str


@dataclass(frozen=True)
class Layer:
    """One dictionary of `mutable_layers`.

    Attributes:
        optional: Inputs of which some are taken.
        sizes: How many of them; empty where there are none.
    """

    operations: tuple[Operation, ...]
    fixed: tuple[str, ...]
    optional: tuple[Option, ...]
    sizes: tuple[int, ...]
    output: str


@dataclass(frozen=True)
class MutableLayers:
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class TrainingUpdate:
    """Did something for NNI's one-shot modes alone."""


Annotation: TypeAlias = Variable | FunctionChoice | Report | NextParameter | MutableLayers | TrainingUpdate
