"""From the JSON of a search space to its tree, with every problem found on the way.

NNI checked a search space late and only wrote what it found to a log: a bad space ran until it broke
in the tuner. Here nothing bad gets past this file, and each problem says where it is.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

from tune_core.errors import SearchSpaceError, SpaceProblem
from tune_core.space.clauses import FORBIDDEN, Clause, read_clauses
from tune_core.space.domains import Branches, Choice, Domain, InputChoice, LayerChoice, Numeric
from tune_core.space.tree import Leaf
from tune_core.space.values import describe, freeze, is_number, json_problem, size_problem

__all__ = ["TYPES", "parse_tree", "raise_problems"]

MAX_LEAVES = 10_000
LARGEST_INTEGER = 2**53  # beyond it neighbours share a double, and JSON readers disagree
# Coordinates end where a double does next to 1, at this many standard deviations.
_SIGMAS = 8.3

_FORMS = {
    "choice": "[option, ...]",
    "randint": "[low, high]",
    "uniform": "[low, high]",
    "quniform": "[low, high, q]",
    "loguniform": "[low, high]",
    "qloguniform": "[low, high, q]",
    "normal": "[mu, sigma]",
    "qnormal": "[mu, sigma, q]",
    "lognormal": "[mu, sigma]",
    "qlognormal": "[mu, sigma, q]",
    "layer_choice": "[name, ...]",
    "input_choice": '{"candidates": [name, ...], "n_chosen": count}',
}
TYPES = tuple(_FORMS)

Keys = tuple[str | int, ...]


def parse_tree(raw: Any, *, allow_empty: bool) -> tuple[tuple[Leaf, ...], tuple[Clause, ...]]:
    """The top-level leaves of the tree, and what is forbidden in it.

    Raises:
        SearchSpaceError: With every problem found.
    """
    parser = _Parser()
    leaves: tuple[Leaf, ...] = ()
    clauses: tuple[Clause, ...] = ()
    if not isinstance(raw, Mapping):
        parser.fail("", (), f"must be a mapping of names to parameters, not {describe(raw)}")
    elif (reason := size_problem(raw)) is not None:
        parser.fail("", (), reason)
    elif not raw and not allow_empty:
        parser.fail("", (), "has no parameter")
    else:
        has_clauses = isinstance(raw.get(FORBIDDEN), (list, tuple))  # else it is a parameter's name
        leaves = parser.parameters(
            {k: v for k, v in raw.items() if k != FORBIDDEN or not has_clauses}, "", ()
        )
        if has_clauses and not parser.problems:
            clauses, problems = read_clauses(raw[FORBIDDEN], leaves)
            parser.problems += problems
    raise_problems("search space", parser.problems)
    return leaves, clauses


def raise_problems(subject: str, problems: list[SpaceProblem]) -> None:
    """Raise one error for all `problems`; return if there are none."""
    if not problems:
        return
    lines = [
        f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in problems
    ]
    if len(lines) == 1:
        raise SearchSpaceError(f"{subject}: {lines[0]}", problems)
    raise SearchSpaceError("\n  ".join([f"{subject}: {len(lines)} problems", *lines]), problems)


class _Problem(Exception):  # noqa: N818 (never leaves this file)
    """One bad value; the parser adds the place."""


class _Parser:
    """One pass over the JSON; collects problems and numbers the leaves."""

    def __init__(self) -> None:
        self.problems: list[SpaceProblem] = []
        self._n_leaves = 0

    def fail(self, path: str, keys: Keys, message: str) -> None:
        self.problems.append(SpaceProblem(path, message, keys))

    def parameters(
        self,
        raw: Mapping[Any, Any],
        path: str,
        keys: Keys,
        parent: int | None = None,
        branch: int | None = None,
    ) -> tuple[Leaf, ...]:
        """The leaves that `raw` names, leaving out those with problems."""
        leaves = []
        for name, spec in raw.items():
            inner = f"{path}.{_printable(name)}" if path else _printable(name)
            if (reason := _name_problem(name)) is not None:
                self.fail(inner, (*keys, name), reason)
            elif (leaf := self._parameter(name, spec, inner, (*keys, name), parent, branch)) is not None:
                leaves.append(leaf)
        return tuple(leaves)

    def _parameter(
        self, name: str, spec: Any, path: str, keys: Keys, parent: int | None, branch: int | None
    ) -> Leaf | None:
        index = self._n_leaves
        self._n_leaves += 1
        if index == MAX_LEAVES:
            self.fail("", (), f"has more than {MAX_LEAVES:,} parameters")
        if not self._has_form(spec, path, keys):
            return None
        if spec["_type"] == "choice" and _is_nested(spec["_value"]):
            return self._nested(name, spec["_value"], path, (*keys, "_value"), index, parent, branch)
        try:
            domain = _domain(spec["_type"], spec["_value"], is_ordered=spec.get("_ordered", False))
        except _Problem as problem:
            self.fail(path, (*keys, "_value"), str(problem))
            return None
        return Leaf(name, path, index, domain, parent, branch)

    def _has_form(self, spec: Any, path: str, keys: Keys) -> bool:
        """Whether `spec` is `{"_type": known, "_value": anything}`; says what it is not."""
        form = 'must be {"_type": ..., "_value": ...}'
        if not isinstance(spec, Mapping):
            self.fail(path, keys, f"{form}, not {describe(spec)}")
            return False
        before = len(self.problems)
        for key in spec:
            if key == "_ordered":
                self._check_ordered(spec, path, keys)
            elif key not in ("_type", "_value"):
                self.fail(path, (*keys, key), f"unknown key {describe(key)}; {form}")
        missing = [key for key in ("_type", "_value") if key not in spec]
        if missing:
            self.fail(path, keys, f"{' and '.join(missing)} missing; {form}")
        if "_type" in spec and not (isinstance(spec["_type"], str) and spec["_type"] in TYPES):
            self.fail(path, (*keys, "_type"), _unknown_type(spec["_type"]))
        return len(self.problems) == before

    def _check_ordered(self, spec: Mapping[Any, Any], path: str, keys: Keys) -> None:
        if not isinstance(spec["_ordered"], bool):
            message = f"_ordered is true or false, not {describe(spec['_ordered'])}"
        elif spec.get("_type") != "choice":
            message = "_ordered goes with the type choice; numbers are ordered by themselves"
        elif _is_nested(spec.get("_value")):
            message = "_ordered does not go with a nested choice: its branches are not alike"
        else:
            return
        self.fail(path, (*keys, "_ordered"), message)

    def _nested(
        self,
        name: str,
        options: list[Any],
        path: str,
        keys: Keys,
        index: int,
        parent: int | None,
        branch: int | None,
    ) -> Leaf | None:
        before = len(self.problems)
        names: list[str] = []
        branches: list[tuple[Leaf, ...]] = []
        for number, option in enumerate(options):
            if not isinstance(option, Mapping) or "_name" not in option:
                message = (
                    f"option {number} has no _name; either all options of a nested choice have one or none"
                )
                self.fail(path, (*keys, number), message)
                continue
            title = option["_name"]
            reason = _name_problem(title) or (
                f"occurs twice among the _name of {path}" if title in names else None
            )
            inner = f"{path}.{_printable(title)}"
            if reason is not None:
                self.fail(inner, (*keys, number, "_name"), reason)
                continue
            names.append(title)
            inside = {key: spec for key, spec in option.items() if key != "_name"}
            branches.append(self.parameters(inside, inner, (*keys, number), index, len(names) - 1))
        if len(self.problems) > before:
            return None
        return Leaf(name, path, index, Branches(tuple(names)), parent, branch, tuple(branches))


def _printable(name: Any) -> str:
    return name if isinstance(name, str) and name and name.isprintable() else ascii(name)


def _name_problem(name: Any) -> str | None:
    if not isinstance(name, str):
        return f"a name must be a string, not {describe(name)}; put it in quotes"
    if not name.strip():
        return "a name must not be empty"
    if "\0" in name:
        return "a name must not hold a NUL character"
    return json_problem(name)


def _unknown_type(found: Any) -> str:
    near = difflib.get_close_matches(found.lower(), TYPES, n=1) if isinstance(found, str) else []
    hint = f", did you mean {near[0]!r}?" if near else ""
    return f"no type {describe(found)}{hint}\n  accepted: {', '.join(TYPES)}"


def _is_nested(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(x, Mapping) and "_name" in x for x in value)


def _domain(kind: str, value: Any, *, is_ordered: bool) -> Domain:
    build: dict[str, Callable[[Any], Domain]] = {
        "choice": lambda options: Choice(_options("choice", options), is_ordered),
        "layer_choice": _layer_choice,
        "input_choice": _input_choice,
    }
    return build[kind](value) if kind in build else _numeric(kind, value)


def _numeric(kind: str, value: Any) -> Numeric:
    form = _FORMS[kind]
    fields = form.strip("[]").split(", ")
    if kind == "randint" and isinstance(value, (list, tuple)) and len(value) == 1:
        value = (0, *value)  # as NNI had it before 1.0
    if not isinstance(value, (list, tuple)) or len(value) != len(fields):
        raise _Problem(f"{kind} takes {form}, not {describe(value)}")
    for field, number in zip(fields, value, strict=True):
        _check_number(field, number, integer=kind == "randint")
    first, second = value[:2]
    q = value[2] if len(value) == 3 else None
    if q is not None and q <= 0:
        raise _Problem(f"q {q} must be greater than 0")
    if kind.endswith("normal"):
        _check_normal(kind, first, second)
    else:
        _check_range(kind, first, second, q)
    return Numeric(kind, float(first), float(second), None if q is None else float(q))


def _check_number(field: str, number: Any, *, integer: bool) -> None:
    if isinstance(number, str):
        raise _Problem(f"{field} {describe(number)} is a string, not a number (YAML wants 1.0e-3 for 1e-3)")
    if not is_number(number) or (integer and not isinstance(number, int)):
        raise _Problem(f"{field} must be {'an integer' if integer else 'a number'}, not {describe(number)}")
    if isinstance(number, int) and abs(number) > LARGEST_INTEGER:
        raise _Problem(f"{field} {describe(number)} is beyond 2**53, where integers are no longer exact")
    if not math.isfinite(number):
        raise _Problem(f"{field} must be a finite number, not {number}")


def _check_range(kind: str, low: float, high: float, q: float | None) -> None:
    if not low < high:
        raise _Problem(f"low {low} must be less than high {high}")
    if "log" in kind and low <= 0:
        raise _Problem(f"low {low} must be greater than 0 for {kind}")
    if not math.isfinite(high - low):
        raise _Problem(f"the range from {low} to {high} is too wide for floating point")
    if q is not None and max(abs(low), abs(high)) / q > LARGEST_INTEGER:
        raise _Problem(f"q {q} is too small beside {low} and {high} for floating point")


def _check_normal(kind: str, mu: float, sigma: float) -> None:
    if sigma <= 0:
        raise _Problem(f"sigma {sigma} must be greater than 0")
    reach = abs(mu) + _SIGMAS * sigma
    if not math.isfinite(reach):
        raise _Problem(f"mu {mu} and sigma {sigma} are too large for floating point")
    if "log" in kind and reach > 700:
        raise _Problem(
            f"mu {mu} and sigma {sigma} are of the logarithm; exp({reach:.4g}) is not a usable number"
        )


def _options(kind: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _Problem(f"{kind} takes {_FORMS[kind]}, not {describe(value)}")
    if not value:
        raise _Problem(f"{kind} needs at least one option")
    seen = set()
    for option in value:
        if (reason := json_problem(option)) is not None:
            raise _Problem(f"option {reason}")
        if freeze(option) in seen:
            raise _Problem(f"option {describe(option)} occurs twice")
        seen.add(freeze(option))
    return tuple(value)


def _names(kind: str, value: Any) -> tuple[str, ...]:
    names = _options(kind, value)
    for name in names:
        if (reason := _name_problem(name)) is not None:
            raise _Problem(f"{_printable(name)}: {reason}")
    return names


def _layer_choice(value: Any) -> LayerChoice:
    return LayerChoice(_names("layer_choice", value))


def _input_choice(value: Any) -> InputChoice:
    if not isinstance(value, Mapping) or not {"candidates"} <= set(value) <= {"candidates", "n_chosen"}:
        raise _Problem(f"input_choice takes {_FORMS['input_choice']}, not {describe(value)}")
    candidates = _names("input_choice", value["candidates"])
    counts = value.get("n_chosen", 1)
    if counts is None:  # NNI's "any number of them"
        counts = list(range(len(candidates) + 1))
    if not isinstance(counts, (list, tuple)):
        counts = [counts]
    if not counts or not all(
        isinstance(n, int) and is_number(n) and 0 <= n <= len(candidates) for n in counts
    ):
        raise _Problem(f"n_chosen {describe(value['n_chosen'])} must be a count from 0 to {len(candidates)}")
    domain = InputChoice(candidates, tuple(sorted(set(counts))))
    if domain.size > LARGEST_INTEGER:
        raise _Problem(f"input_choice has {domain.size:.3g} ways to choose, too many to number")
    return domain
