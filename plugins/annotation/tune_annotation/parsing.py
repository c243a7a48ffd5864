"""The text of one annotation, parsed.

The text is a Python expression, and is never run. It is read with `ast` and not with libcst, since only
what it means counts here; the code around it is for `finding.py`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tune_annotation.grammar import (
    PREFIXES,
    Annotation,
    FunctionChoice,
    Layer,
    MutableLayers,
    NextParameter,
    Operation,
    Option,
    Report,
    TrainingUpdate,
    Variable,
)
from tune_core.config.problems import did_you_mean

__all__ = ["Fault", "FaultsError", "canonical", "parse"]

_ARGUMENTS = {
    "choice": "options",
    "randint": "low, high",
    "uniform": "low, high",
    "quniform": "low, high, q",
    "loguniform": "low, high",
    "qloguniform": "low, high, q",
    "normal": "mu, sigma",
    "qnormal": "mu, sigma, q",
    "lognormal": "mu, sigma",
    "qlognormal": "mu, sigma, q",
}
_FORMS = {
    "variable": "@{0}.variable({0}.choice(50, 100), name=batch_size)",
    "function_choice": "@{0}.function_choice(relu(x), tanh(x), name=relu)",
    "report_intermediate_result": "@{0}.report_intermediate_result(accuracy)",
    "report_final_result": "@{0}.report_final_result(accuracy)",
    "get_next_parameter": "@{0}.get_next_parameter()",
    "mutable_layers": "@{0}.mutable_layers({{layer_choice: [conv(size=3), pool()], fixed_inputs: [x], "
    "layer_output: y}})",
    "training_update": "@{0}.training_update()",
}
_LAYER_KEYS = ("layer_choice", "fixed_inputs", "optional_inputs", "optional_input_size", "layer_output")


_NEED_PARENTHESES = (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Lambda, ast.IfExp)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        line: Of the annotation's text, from 0.
        column: In that line, in characters from 0.
    """

    line: int
    column: int
    message: str


class FaultsError(Exception):
    """All that is wrong with one annotation; never leaves this package."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(faults)
        self.faults = tuple(faults)


def canonical(code: str) -> str:
    """An expression in one way of writing it, so that two can be compared.

    >>> canonical("f( a,b = 'x' )")
    "f(a, b='x')"
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of code that is not ours
            return ast.unparse(ast.parse(f"({code}\n)", mode="eval"))
    except (SyntaxError, ValueError):  # of a newer Python than this
        return " ".join(code.split())


def parse(text: str) -> Annotation:
    """The annotation in `text`, which begins behind the `@`.

    Raises:
        FaultsError: With everything that is wrong.
    """
    reader = _Reader(text)
    made = reader.read()
    if reader.faults or made is None:
        raise FaultsError(reader.faults)
    return made


class _StopError(Exception):
    """The rest of this part makes no sense; its fault is noted."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.faults: list[Fault] = []
        self._text = text
        self._lines = text.split("\n")
        self._prefix = PREFIXES[0]

    def read(self) -> Annotation | None:
        try:
            return self._annotation(self._call())
        except _StopError:
            return None

    def _fault(self, node: ast.AST, message: str) -> None:
        row, column = getattr(node, "lineno", 1) - 1, getattr(node, "col_offset", 0)
        before = self._lines[row].encode()[:column]
        self.faults.append(Fault(row, len(before.decode(errors="replace")), message))

    def _stop(self, node: ast.AST, message: str) -> NoReturn:
        self._fault(node, message)
        raise _StopError

    def _form(self, name: str) -> str:
        return f'\n  write """{_FORMS[name].format(self._prefix)}"""'

    def _call(self) -> ast.Call:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(self._text, mode="eval").body
        except SyntaxError as err:
            row = min(max((err.lineno or 1) - 1, 0), len(self._lines) - 1)
            self.faults.append(
                Fault(row, max((err.offset or 1) - 1, 0), f"is no Python expression: {err.msg}")
            )
            raise _StopError from err
        except (ValueError, RecursionError, MemoryError) as err:
            self.faults.append(Fault(0, 0, f"is no Python expression: {err}"))
            raise _StopError from err
        name = tree.func if isinstance(tree, ast.Call) else tree
        if not (isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name)):
            self._stop(tree, f"is no annotation{self._form('variable')}")
        self._prefix = name.value.id
        if name.attr not in _FORMS:
            known = ", ".join(_FORMS)
            self._stop(
                name, f"no annotation {name.attr!r}{did_you_mean(name.attr, _FORMS)}\n  there are {known}"
            )
        if not isinstance(tree, ast.Call):
            self._stop(tree, f"is not a call: parentheses are missing{self._form(name.attr)}")
        return tree

    def _annotation(self, call: ast.Call) -> Annotation:
        assert isinstance(call.func, ast.Attribute)
        name = call.func.attr
        if name == "variable":
            return self._variable(call)
        if name == "function_choice":
            return self._function_choice(call)
        if name == "mutable_layers":
            return self._mutable_layers(call)
        if name == "get_next_parameter":
            if call.args or call.keywords:
                self._fault(call, f"takes no arguments{self._form(name)}")
            return NextParameter()
        if name == "training_update":
            return TrainingUpdate()
        if len(call.args) != 1 or call.keywords or isinstance(call.args[0], ast.Starred):
            self._stop(call, f"takes one expression, the metric{self._form(name)}")
        return Report(name, self._code(call.args[0]))

    def _variable(self, call: ast.Call) -> Variable:
        target = self._name(call, "variable")
        if len(call.args) != 1:
            self._stop(
                call, f"takes one {self._prefix} call and name=, not {len(call.args)}{self._form('variable')}"
            )
        kind, inner = self._kind(call.args[0])
        if inner.keywords:
            self._fault(
                inner.keywords[0].value,
                f"{kind} takes no keywords: {kind}({_ARGUMENTS[kind]}), in this order",
            )
        if kind == "choice":
            return Variable(target, kind, options=tuple(self._options(inner)))
        return Variable(target, kind, numbers=tuple(self._numbers(kind, inner)))

    def _function_choice(self, call: ast.Call) -> FunctionChoice:
        target = self._name(call, "function_choice")
        for option in call.args:
            # NNI took any expression; a bare name is a call that somebody forgot to write out.
            if isinstance(option, ast.Name | ast.Attribute):
                self._fault(option, f"{self._shown(option)} is not a call{self._form('function_choice')}")
        if not call.args:
            self._fault(call, f"has no calls to choose from{self._form('function_choice')}")
        self._refuse_repeated(call.args)
        options = [Option(self._code(each), ast.unparse(each), is_plain=False) for each in call.args]
        return FunctionChoice(target, tuple(options))

    def _name(self, call: ast.Call, form: str) -> str:
        """What `name=` says, as code."""
        for keyword in call.keywords:
            if keyword.arg != "name":
                written = f"{keyword.arg}=" if keyword.arg else "**"
                self._fault(keyword.value, f"takes no {written}, only name={self._form(form)}")
        names = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
        if not names:
            self._fault(call, f"name= is missing{self._form(form)}")
            return ""
        return self._target(names[0], "name")

    def _target(self, node: ast.expr, key: str) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._fault(node, f"{key} is a string; it is code: write {node.value} without quotes")
        elif not isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Tuple):
            self._fault(node, f"{key} is what the next line assigns to, not {self._shown(node)}")
        return ast.unparse(node)

    def _kind(self, node: ast.expr) -> tuple[str, ast.Call]:
        """Of `nni.uniform(0, 1)`, `uniform` and the call."""
        hint = f"write {self._prefix}.choice(...) or another of {', '.join(_ARGUMENTS)}"
        name = node.func if isinstance(node, ast.Call) else node
        if isinstance(name, ast.Name) and name.id in _ARGUMENTS:
            self._stop(name, f"{name.id} is to be written {self._prefix}.{name.id}")
        if not (
            isinstance(name, ast.Attribute)
            and isinstance(name.value, ast.Name)
            and name.value.id in PREFIXES
            and isinstance(node, ast.Call)
        ):
            self._stop(node, f"{self._shown(node)} is no {self._prefix} call\n  {hint}")
        if name.attr not in _ARGUMENTS:
            known = ", ".join(_ARGUMENTS)
            hint = f"{did_you_mean(name.attr, _ARGUMENTS)}\n  there are {known}"
            self._stop(name, f"no type {name.attr!r}{hint}")
        return name.attr, node

    def _numbers(self, kind: str, call: ast.Call) -> Iterator[float]:
        form = f"{kind}({_ARGUMENTS[kind]})"
        count = len(_ARGUMENTS[kind].split(", "))
        is_of_0_x = kind == "randint" and len(call.args) == 1  # NNI before 1.0 took the upper end alone
        if len(call.args) != count and not is_of_0_x and not call.keywords:
            self._fault(call, f"{kind} takes {count} numbers, {form}, not {len(call.args)}")
        for node in call.args:
            value = _plain(node)
            if isinstance(value, bool) or not isinstance(value, int | float):
                self._fault(node, f"{self._shown(node)} is no number: {form} takes numbers as they stand")
            else:
                yield value

    def _options(self, call: ast.Call) -> Iterator[Option]:
        nodes: Sequence[ast.expr] = call.args
        if len(nodes) == 1 and isinstance(nodes[0], ast.List):
            nodes = nodes[0].elts  # as `tune.choice` takes it
        if not nodes and not call.keywords:
            self._fault(call, f"choice has no options: {self._prefix}.choice(50, 100)")
        self._refuse_repeated(nodes)
        for node in nodes:
            value = _plain(node)
            text = ast.unparse(node)
            if value is ...:
                yield Option(self._code(node), text, is_plain=False)
            else:
                yield Option(text, value, is_plain=True)

    def _refuse_repeated(self, nodes: Sequence[ast.expr]) -> None:
        """Options that are equal, or would be to the search space."""
        seen: list[tuple[type, Any]] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                self._fault(node, f"{self._shown(node)}: options are written out one by one, without a star")
                continue
            value = _plain(node)
            key = ast.unparse(node) if value is ... else value
            kind = bool if isinstance(key, bool) else str if isinstance(key, str) else float
            if (kind, key) in seen:
                self._fault(node, f"option {self._shown(node)} occurs twice")
            seen.append((kind, key))

    def _mutable_layers(self, call: ast.Call) -> MutableLayers:
        if call.keywords or not call.args:
            self._stop(call, f"takes one dictionary for each layer{self._form('mutable_layers')}")
        layers = []
        for node in call.args:
            if not isinstance(node, ast.Dict):
                self._fault(node, f"{self._shown(node)} is no dictionary{self._form('mutable_layers')}")
                continue
            try:
                layers.append(self._layer(node))
            except _StopError:
                pass
        return MutableLayers(tuple(layers))

    def _layer(self, node: ast.Dict) -> Layer:
        parts = self._layer_parts(node)
        before = len(self.faults)
        operations = [self._operation(each) for each in self._list(parts, "layer_choice", needs_one=True)]
        fixed = self._list(parts, "fixed_inputs")
        optional = self._list(parts, "optional_inputs")
        self._refuse_repeated(self._list(parts, "layer_choice"))
        self._refuse_repeated(optional)
        # NNI's own examples have no optional inputs and a size of 1.
        sizes = self._sizes(parts, node, len(optional)) if optional or "optional_inputs" not in parts else ()
        output = self._target(parts["layer_output"], "layer_output")
        if len(self.faults) > before:
            raise _StopError
        return Layer(
            tuple(each for each in operations if each),
            tuple(map(self._code, fixed)),
            tuple(Option(self._code(each), ast.unparse(each), is_plain=False) for each in optional),
            sizes,
            output,
        )

    def _layer_parts(self, node: ast.Dict) -> Mapping[str, ast.expr]:
        parts: dict[str, ast.expr] = {}
        before = len(self.faults)
        for key, value in zip(node.keys, node.values, strict=True):
            name = (
                key.id if isinstance(key, ast.Name) else key.value if isinstance(key, ast.Constant) else None
            )
            if not isinstance(name, str) or name not in _LAYER_KEYS:
                written = "**" if key is None else self._shown(key)
                near = did_you_mean(name, _LAYER_KEYS) if isinstance(name, str) else ""
                known = ", ".join(_LAYER_KEYS)
                self._fault(key or value, f"a layer has no {written}{near}\n  there are {known}")
            elif name in parts:
                self._fault(value, f"{name} occurs twice")
            else:
                parts[name] = value
        for name in ("layer_choice", "layer_output"):
            if name not in parts and len(self.faults) == before:  # else it may be misspelt
                self._fault(node, f"{name} is missing{self._form('mutable_layers')}")
        if len(self.faults) > before:
            raise _StopError
        return parts

    def _list(
        self, parts: Mapping[str, ast.expr], name: str, *, needs_one: bool = False
    ) -> Sequence[ast.expr]:
        node = parts.get(name)
        if node is None:
            return ()
        if not isinstance(node, ast.List | ast.Tuple):
            self._stop(node, f"{name} is a list in brackets, not {self._shown(node)}")
        if needs_one and not node.elts:
            self._fault(node, f"{name} is empty")
        return node.elts

    def _operation(self, node: ast.expr) -> Operation | None:
        if not isinstance(node, ast.Call):
            self._fault(node, f"{self._shown(node)} is not a call: write {self._shown(node)}()")
            return None
        if node.args:
            text = "takes its inputs as its first argument, and others by keyword"
            self._fault(node.args[0], f"{self._shown(node)} {text}: conv(size=3)")
            return None
        arguments = [f"{each.arg}={self._code(each.value)}" if each.arg else f"**{self._code(each.value)}"
                     for each in node.keywords]  # fmt: skip
        return Operation(ast.unparse(node), self._code(node.func), ", ".join(arguments))

    def _sizes(self, parts: Mapping[str, ast.expr], layer: ast.Dict, count: int) -> tuple[int, ...]:
        """How many optional inputs may be taken."""
        node = parts.get("optional_input_size")
        if node is None:
            if "optional_inputs" in parts:
                self._fault(layer, "optional_inputs needs optional_input_size, such as 1 or [0, 2]")
            return ()
        if "optional_inputs" not in parts:
            self._fault(node, "optional_input_size is of optional_inputs, which are missing")
            return ()
        bounds = [_plain(each) for each in (node.elts if isinstance(node, ast.List | ast.Tuple) else [node])]
        if len(bounds) == 1 and not isinstance(node, ast.List | ast.Tuple):
            bounds *= 2
        if not (
            len(bounds) == 2
            and all(isinstance(each, int) and not isinstance(each, bool) for each in bounds)
            and 0 <= bounds[0] <= bounds[1] <= count
        ):
            text = f"{self._shown(node)} is no count, nor [least, most], from 0 to {count}"
            self._fault(node, f"optional_input_size {text}")
            return ()
        return tuple(range(bounds[0], bounds[1] + 1))

    def _code(self, node: ast.expr) -> str:
        """The source of `node` in one line, as it is written where that is possible."""
        source = ast.get_source_segment(self._text, node)
        code = source if source and "\n" not in source else ast.unparse(node)
        if "\n" in code:
            self._fault(node, "a string with a line break in it: write \\n")
        return f"({code})" if isinstance(node, _NEED_PARENTHESES) else code

    def _shown(self, node: ast.AST) -> str:
        text = ast.unparse(node).replace("\n", " ")
        return text if len(text) <= 60 else text[:57] + "..."


def _plain(node: ast.expr) -> Any:
    """A number, string, True, False or None as it stands; `...` for any other expression."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ...
    return value if value is None or isinstance(value, bool | int | float | str) else ...
