"""Forbidden clauses: combinations of values that no trial may have.

In a search space they are a list under `_forbidden`. Each clause names parameters with the values
that must not come together: one value, a list of them, or `{"min": ..., "max": ...}` of a number
or of an ordered choice. A parameter in a branch of a nested choice is named by its path,
`layer0.Conv.kernel_size`; where it is not active the clause does not fit.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_core.errors import SpaceProblem
from tune_core.space.domains import Choice, Numeric
from tune_core.space.tree import Leaf, walk
from tune_core.space.values import describe, is_number

__all__ = ["FORBIDDEN", "Clause", "read_clauses"]

FORBIDDEN = "_forbidden"


@dataclass(frozen=True)
class _Condition:
    """What one parameter must not be, if all others of the clause hold too.

    Attributes:
        way: From the top to the leaf: for each nested choice above it its name and its branch.
        keys: The values, as `Domain.key` has them; None where the interval counts.
    """

    leaf: Leaf
    way: tuple[tuple[str, str], ...]
    text: str
    keys: frozenset[Hashable] | None
    least: float = -math.inf
    most: float = math.inf

    def fits(self, parameters: Mapping[str, Any]) -> bool:
        values = parameters
        for name, branch in self.way:
            values = values[name]
            if values["_name"] != branch:
                return False
        value = values[self.leaf.name]
        if self.leaf.is_nested:
            value = value["_name"]
        if self.keys is not None:
            return self.leaf.domain.key(value) in self.keys
        return self.least <= _place(self.leaf, value) <= self.most


@dataclass(frozen=True)
class Clause:
    """Configurations that fit every condition are forbidden."""

    conditions: tuple[_Condition, ...]

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """What it is about; to change one of them may be enough."""
        return tuple(condition.leaf for condition in self.conditions)

    def fits(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a configuration of the space is forbidden by this clause."""
        return all(condition.fits(parameters) for condition in self.conditions)

    def __str__(self) -> str:
        return " with ".join(condition.text for condition in self.conditions)


def read_clauses(raw: Sequence[Any], tree: Sequence[Leaf]) -> tuple[tuple[Clause, ...], list[SpaceProblem]]:
    """The clauses of a list, and what is wrong with it."""
    leaves = {leaf.path: leaf for leaf in walk(tree)}
    ordered = list(walk(tree))
    clauses, problems = [], []
    for number, clause in enumerate(raw):
        place = f"{FORBIDDEN}[{number}]"
        if not isinstance(clause, Mapping) or not clause:
            form = "must be a mapping of parameters to the values that must not come together"
            problems.append(SpaceProblem(place, f"{form}, not {describe(clause)}", (FORBIDDEN, number)))
            continue
        conditions = []
        for name, wanted in clause.items():
            try:
                conditions.append(_read(_find(name, leaves), ordered, wanted))
            except ValueError as error:
                problems.append(SpaceProblem(f"{place}.{name}", str(error), (FORBIDDEN, number, name)))
        clauses.append(Clause(tuple(conditions)))
    return tuple(clauses), problems


def _find(name: Any, leaves: Mapping[str, Leaf]) -> Leaf:
    if name in leaves:
        return leaves[name]
    near = difflib.get_close_matches(str(name), leaves, n=1)
    raise ValueError("no such parameter" + (f"; did you mean {near[0]!r}?" if near else ""))


def _read(leaf: Leaf, ordered: Sequence[Leaf], wanted: Any) -> _Condition:
    way = _way(leaf, ordered)
    if isinstance(wanted, Mapping) and wanted and wanted.keys() <= {"min", "max"}:
        if not leaf.domain.is_ordered:
            raise ValueError("min and max go with numbers and ordered choices; list the values instead")
        least, most = (_bound(leaf, wanted.get(end)) for end in ("min", "max"))
        text = f"{leaf.path} from {wanted.get('min', 'the least')} to {wanted.get('max', 'the greatest')}"
        low, high = -math.inf if least is None else least, math.inf if most is None else most
        return _Condition(leaf, way, text, None, low, high)
    is_one = leaf.domain.problem(wanted) is None  # also where the options are lists themselves
    values = [wanted] if is_one or not isinstance(wanted, (list, tuple)) else list(wanted)
    for value in values:
        if (reason := leaf.domain.problem(value)) is not None:
            raise ValueError(reason)
    text = f"{leaf.path} {' or '.join(describe(value) for value in values)}"
    return _Condition(leaf, way, text, frozenset(leaf.domain.key(value) for value in values))


def _bound(leaf: Leaf, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(leaf.domain, Choice):
        if (reason := leaf.domain.problem(value)) is not None:
            raise ValueError(reason)
    elif not is_number(value):
        raise ValueError(f"{describe(value)} is not a number")
    return _place(leaf, value)


def _place(leaf: Leaf, value: Any) -> float:
    """Where a value is among those of an ordered domain."""
    if isinstance(leaf.domain, Numeric):
        return float(value)
    position: float = leaf.domain.positions([value])[0]
    return position


def _way(leaf: Leaf, ordered: Sequence[Leaf]) -> tuple[tuple[str, str], ...]:
    way: list[tuple[str, str]] = []
    while leaf.parent is not None:
        above = ordered[leaf.parent]
        assert leaf.branch is not None
        way.insert(0, (above.name, str(above.domain.at(leaf.branch))))
        leaf = above
    return tuple(way)
