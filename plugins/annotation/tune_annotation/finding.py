"""Finding the annotations of one file, and what each is about.

The file is read with libcst, which takes the syntax of newer Pythons than this one and gives every node
its place, and is rewritten as text, so that whatever is not annotated stays as it is to the byte.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider

from tune_annotation.grammar import FunctionChoice, MutableLayers, Variable
from tune_annotation.parsing import FaultsError, canonical, parse
from tune_annotation.source import LINE_END, Parameter, Site, Source, Span
from tune_annotation.statements import (
    ApiUses,
    Calls,
    Statements,
    flat,
    is_future,
    is_plain,
    is_string,
    literal_of,
    text_of,
)
from tune_core.config.problems import Place, Problem
from tune_core.errors import SearchSpaceError
from tune_core.space import SearchSpace

__all__ = ["read_source"]

_IMPORT = re.compile(r"\bimport\b.*\b(?:nni|tune)\b|\bfrom\s+(?:nni|tune)\b")
_SUBJECT = "annotation"
_RECURSION = 20_000


def read_source(data: bytes, module: str, shown: str) -> Source:
    """Read a file that may have annotations; what is wrong with it is in `problems`.

    Args:
        module: What the names of its parameters begin with: `pkg.train` for `pkg/train.py`.
        shown: Its path, for people.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        source = Source(shown, data.decode(encoding), encoding)
    except (SyntaxError, UnicodeDecodeError) as err:
        message = err.msg if isinstance(err, SyntaxError) else str(err)
        return Source(shown, "", "utf-8", problems=[Problem((), str(message), Place(shown))])
    doubt, is_certain = _doubt(source)
    if doubt is not None and is_certain:
        source.problems.append(doubt)
        return source
    with _deep_recursion():
        try:
            _Finder(source, cst.parse_module(source.text), module).find()
        except RecursionError:
            source.problems = [Problem((), "is nested too deeply to be read", Place(shown))]
        except _MisplacedError:
            text = "cannot be rewritten: a line of it is a backslash and nothing else; remove that line"
            source.problems = [Problem((), text, Place(shown))]
        except cst.ParserSyntaxError as err:
            place = Place(shown, err.raw_line, err.raw_column + 1)
            source.problems = [doubt or Problem((), "cannot be read as Python", place)]
        except (SyntaxError, cst.CSTValidationError) as err:  # strings that are none
            source.problems = [doubt or Problem((), f"is no Python: {err}", Place(shown))]
    return source


@contextlib.contextmanager
def _deep_recursion() -> Iterator[None]:
    """Room for libcst, which takes several calls for each `elif` and each string beside another."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _doubt(source: Source) -> tuple[Problem | None, bool]:
    """What Python's own parser has against a file, and whether that is certain.

    It says what is wrong in words for people, and refuses the depths in which libcst's would bring the
    process down; but what is of a newer Python than this only libcst can read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of code that is not ours
            ast.parse(source.text)
    except SyntaxError as err:
        place = Place(source.shown, err.lineno or 1, err.offset or 1)
        return Problem((), f"is no Python: {err.msg}", place), "too many nested" in str(err.msg)
    except (ValueError, RecursionError, MemoryError) as err:
        return Problem((), f"is no Python: {err}", Place(source.shown)), True
    return None, False


class _MisplacedError(Exception):
    """Places in the tree are not those in the file."""


class _Finder:
    """One pass over a file."""

    def __init__(self, source: Source, tree: cst.Module, module: str) -> None:
        self._source = source
        self._module = module
        self._tree = tree
        # It is unsafe for trees in which a node stands twice; parsers make none.
        wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)
        self._ranges = wrapper.resolve(WhitespaceInclusivePositionProvider)
        self._starts = [0, *(found.end() for found in LINE_END.finditer(source.text))]
        # A file may lack its last line end, which libcst counts all the same.
        self._offsets = [*self._starts, len(source.text)]
        self._outputs: dict[str, int] = {}

    def find(self) -> None:
        statements = Statements()
        self._tree.visit(statements)
        found = [
            (literal, following)
            for sequence in statements.sequences
            for statement, following in zip_longest(sequence, sequence[1:])
            if (literal := literal_of(statement)) is not None
        ]
        for literal, following in sorted(found, key=lambda pair: self._span(pair[0]).start):
            self._annotation(literal, following)
        if self._source.sites or self._source.problems:
            self._refuse_api()
            self._find_anchor()

    def _annotation(self, literal: cst.BaseExpression, following: cst.CSTNode | None) -> None:
        span = self._exact(literal)
        place = self._place(span.start)
        if not is_plain(literal):
            self._problem(place, "an annotation is a plain string: leave out the f before it")
            return
        value = text_of(literal)
        at = value.index("@")
        mark = self._source.text.find("@", span.start, span.end)
        if mark < 0:
            self._problem(place, "write the @ as it is, not as an escape")
            return
        text = value[at + 1 :].rstrip()
        # Else there are escapes or several strings, and only where they begin is known.
        is_literal = LINE_END.sub("\n", self._source.text[mark + 1 : span.end]).startswith(text)
        try:
            annotation = parse(text)
        except FaultsError as err:
            for fault in err.faults:
                where = self._inside(mark + 1, fault.line, fault.column) if is_literal else place
                self._problem(where, fault.message)
            return
        site = Site(annotation, place, span, Span(mark, mark + 1))
        self._complete(site, following)
        self._source.sites.append(site)

    def _complete(self, site: Site, following: cst.CSTNode | None) -> None:
        """Add what the annotation is about."""
        annotation = site.annotation
        if isinstance(annotation, Variable | FunctionChoice):
            if following is None:
                self._problem(site.place, "has no target: no statement follows it in this block")
                return
            if literal_of(following) is not None:
                self._problem(site.place, "is followed by another annotation, not by code: swap them")
                return
            if isinstance(annotation, Variable):
                self._assignment(site, annotation, following)
            else:
                self._calls(site, annotation, following)
            kind = annotation.kind if isinstance(annotation, Variable) else "function_choice"
            self._parameters(site, [(f"{self._module}/{annotation.target}/{kind}", _spec(annotation))])
        elif isinstance(annotation, MutableLayers):
            self._layers(site, annotation)

    def _assignment(self, site: Site, annotation: Variable, following: cst.CSTNode) -> None:
        targets: Sequence[cst.BaseExpression] = ()
        if isinstance(following, cst.Assign):
            targets = [each.target for each in following.targets]
        elif isinstance(following, cst.AnnAssign) and following.value is not None:
            targets = [following.target]
        place = self._place(self._span(following).start)
        name = annotation.target
        if not targets:
            self._problem(site.place, f"is not followed by an assignment\n  write {name} = ... after it")
        elif len(targets) > 1:
            self._problem(
                site.place, f"is followed by an assignment to {len(targets)} targets; one is possible"
            )
        elif (found := canonical(self._tree.code_for_node(targets[0]))) != name:
            self._problem(
                site.place, f"name={name} is not what line {place.line} assigns to\n  write name={found}"
            )
        else:
            assert isinstance(following, cst.Assign | cst.AnnAssign)
            assert following.value is not None
            site.subjects = (self._exact(following.value),)

    def _calls(self, site: Site, annotation: FunctionChoice, following: cst.CSTNode) -> None:
        calls = Calls(frozenset(str(option.value) for option in annotation.options))
        following.visit(calls)
        for call in calls.in_strings:
            place = self._place(self._span(call).start)
            self._problem(place, "is within an f-string: give it a variable of its own, in a line before")
        if not calls.found and not calls.in_strings:
            options = " or ".join(str(option.value) for option in annotation.options)
            self._problem(site.place, f"none of its calls is in the next statement\n  write {options} there")
        site.subjects = tuple(map(self._exact, calls.found))

    def _layers(self, site: Site, annotation: MutableLayers) -> None:
        entries: list[tuple[str, Mapping[str, Any]]] = []
        keys = []
        for layer in annotation.layers:
            # The same name for two layers is common, and each is a decision of its own.
            number = self._outputs[layer.output] = self._outputs.get(layer.output, 0) + 1
            name = f"{self._module}/{layer.output}" + (f"#{number}" if number > 1 else "")
            pair = (f"{name}/layer_choice", f"{name}/input_choice" if layer.optional else "")
            keys.append(pair)
            operations = [each.text for each in layer.operations]
            entries.append((pair[0], {"_type": "layer_choice", "_value": operations}))
            if layer.optional:
                candidates = [each.value for each in layer.optional]
                n_chosen: Any = layer.sizes[0] if len(layer.sizes) == 1 else list(layer.sizes)
                value = {"candidates": candidates, "n_chosen": n_chosen}
                entries.append((pair[1], {"_type": "input_choice", "_value": value}))
        site.keys = tuple(keys)
        self._parameters(site, entries)

    def _parameters(self, site: Site, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        try:
            SearchSpace.parse(dict(entries))
        except SearchSpaceError as err:
            for problem in err.problems:
                self._problem(site.place, problem.message)
        site.parameters = tuple(Parameter(key, spec, site.place) for key, spec in entries)

    def _refuse_api(self) -> None:
        if not _IMPORT.search(self._source.text):
            return
        uses = ApiUses()
        self._tree.visit(uses)
        for node, name in uses.found:
            place = self._place(self._span(node).start)
            form = f"{name.partition('.')[0]}.{name.rpartition('.')[2]}(...)"
            self._problem(
                place,
                f"{name} is called in a file with annotations; use one or the other\n"
                f'  write """@{form}""" instead, or no annotations',
            )

    def _find_anchor(self) -> None:
        """Behind the docstring and `from __future__`, else before the first statement if it is simple."""
        first = self._tree.body[0]
        statements = list(flat(self._tree.body))
        last = None
        for number, statement in enumerate(statements):
            is_docstring = number == 0 and is_string(statement) and literal_of(statement) is None
            if not is_docstring and not is_future(statement):
                break
            last = statement
        if last is not None:
            span = self._span(last)
            text = self._source.text[span.start : span.end]
            self._source.anchor = (span.start + len(text.rstrip("; \t\f")), False)
        elif isinstance(first, cst.SimpleStatementLine):
            self._source.anchor = (self._span(first.body[0]).start, True)
        if literal_of(statements[0]) is not None and any(map(is_future, statements)):
            place = self._place(self._span(statements[0]).start)
            self._problem(place, "stands before `from __future__`, which has to be first: swap them")

    def _problem(self, place: Place, message: str) -> None:
        self._source.problems.append(Problem((_SUBJECT,), message, place))

    def _span(self, node: cst.CSTNode) -> Span:
        """Where a node stands: an expression with the parentheses around it, a statement with its `;`."""
        found = self._ranges[node]
        start, end = (self._offsets[each.line - 1] + each.column for each in (found.start, found.end))
        return Span(start, end)

    def _exact(self, node: cst.CSTNode) -> Span:
        """Where an expression stands that will be replaced.

        Raises:
            _MisplacedError: It is not there: libcst loses a line that begins with a lone backslash.
        """
        span = self._span(node)
        there, meant = self._source.text[span.start : span.end], self._tree.code_for_node(node)
        if there.split() != meant.split():  # a node alone does not know how its lines are indented
            raise _MisplacedError
        return span

    def _place(self, offset: int) -> Place:
        row = bisect_right(self._starts, offset) - 1
        return Place(self._source.shown, row + 1, offset - self._starts[row] + 1)

    def _inside(self, begin: int, line: int, column: int) -> Place:
        """The place of a line and column of the text that begins at an offset of the file."""
        place = self._place(begin)
        return Place(place.file, place.line + line, column + (place.column if line == 0 else 1))


def _spec(annotation: Variable | FunctionChoice) -> dict[str, Any]:
    if isinstance(annotation, Variable) and annotation.kind != "choice":
        return {"_type": annotation.kind, "_value": list(annotation.numbers)}
    return {"_type": "choice", "_value": [option.value for option in annotation.options]}
