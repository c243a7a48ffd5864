"""What is looked for in the tree of a file: statements in their order, calls, strings, uses of the API."""

# ruff: noqa: N802 (libcst wants its visitors named after nodes)

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import libcst as cst
from libcst.helpers import get_full_name_for_node

from tune_annotation.grammar import PREFIXES
from tune_annotation.parsing import canonical
from tune_annotation.source import MARKS

__all__ = [
    "ApiUses",
    "Calls",
    "Statements",
    "flat",
    "is_future",
    "is_plain",
    "is_string",
    "literal_of",
    "text_of",
]

_API = frozenset(
    {
        "get_next_parameter",
        "get_next_parameters",
        "get_parameters",
        "report_intermediate_result",
        "report_final_result",
    }
)


class Statements(cst.CSTVisitor):
    """All sequences of statements in a file; statements of one line stand for themselves."""

    def __init__(self) -> None:
        self.sequences: list[list[cst.CSTNode]] = []

    def visit_Module(self, node: cst.Module) -> None:
        self._note(node.body)

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        self._note(node.body)

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> bool:
        return False  # there are none in expressions

    def visit_SimpleStatementSuite(self, node: cst.SimpleStatementSuite) -> None:
        self.sequences.append(list(node.body))

    def _note(self, body: Sequence[cst.CSTNode]) -> None:
        self.sequences.append(list(flat(body)))


def flat(body: Sequence[cst.CSTNode]) -> Iterator[cst.CSTNode]:
    for statement in body:
        if isinstance(statement, cst.SimpleStatementLine):
            yield from statement.body
        else:
            yield statement


class Calls(cst.CSTVisitor):
    """Calls in a statement that are written as one of `texts`; not those within others of them."""

    def __init__(self, texts: frozenset[str]) -> None:
        self.found: list[cst.Call] = []
        self.in_strings: list[cst.Call] = []
        self._texts = texts
        self._strings = 0

    def visit_FormattedString(self, node: cst.FormattedString) -> None:
        self._strings += 1

    def leave_FormattedString(self, original_node: cst.FormattedString) -> None:
        self._strings -= 1

    def visit_Call(self, node: cst.Call) -> bool:
        if canonical(cst.Module([]).code_for_node(node)) not in self._texts:
            return True
        (self.in_strings if self._strings else self.found).append(node)
        return False


class ApiUses(cst.CSTVisitor):
    """Where a file calls what its annotations are to call."""

    def __init__(self) -> None:
        self.found: list[tuple[cst.CSTNode, str]] = []
        self._modules: set[str] = set()

    def visit_Import(self, node: cst.Import) -> None:
        for alias in node.names:
            top = alias.evaluated_name.partition(".")[0]
            if top in PREFIXES:
                self._modules.add(alias.evaluated_alias or top)

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        module = get_full_name_for_node(node.module) if node.module else None
        if node.relative or not module or module.partition(".")[0] not in PREFIXES:
            return
        for alias in () if isinstance(node.names, cst.ImportStar) else node.names:
            if alias.evaluated_name in _API:
                self.found.append((alias, f"{module}.{alias.evaluated_name}"))

    def visit_Attribute(self, node: cst.Attribute) -> None:
        module = node.value
        if isinstance(module, cst.Name) and module.value in self._modules and node.attr.value in _API:
            self.found.append((node, f"{module.value}.{node.attr.value}"))


def is_string(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.Expr) and isinstance(
        statement.value, cst.SimpleString | cst.ConcatenatedString
    )


def literal_of(statement: cst.CSTNode) -> cst.BaseExpression | None:
    """The string that a statement consists of, if that is an annotation, or is meant to be one."""
    if not isinstance(statement, cst.Expr):
        return None
    is_one = text_of(statement.value).lstrip().startswith(tuple(mark.decode() for mark in MARKS))
    return statement.value if is_one else None


def text_of(node: cst.BaseExpression) -> str:
    """What a string says; of one with code in it, how it begins; nothing for all else."""
    if isinstance(node, cst.ConcatenatedString):
        return text_of(node.left) + text_of(node.right)
    if not isinstance(node, cst.SimpleString):
        parts = getattr(node, "parts", ()) if isinstance(node, cst.BaseString) else ()
        head = getattr(parts[0], "value", "") if parts else ""
        return head if isinstance(head, str) else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that mean nothing
        value = node.evaluated_value
    return value if isinstance(value, str) else ""


def is_plain(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.ConcatenatedString):
        return is_plain(node.left) and is_plain(node.right)
    return isinstance(node, cst.SimpleString)


def is_future(statement: cst.CSTNode) -> bool:
    return (
        isinstance(statement, cst.ImportFrom)
        and isinstance(statement.module, cst.Name)
        and statement.module.value == "__future__"
    )
