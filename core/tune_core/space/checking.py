"""Whether a configuration belongs to a search space, and which one it is."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from tune_core.errors import SpaceProblem
from tune_core.space.clauses import Clause
from tune_core.space.parsing import raise_problems
from tune_core.space.tree import Leaf
from tune_core.space.values import describe

__all__ = ["check", "key", "problems"]


def check(tree: Sequence[Leaf], clauses: Sequence[Clause], parameters: Any, *, extra: bool) -> None:
    raise_problems("parameters", problems(tree, clauses, parameters, extra=extra))


def problems(
    tree: Sequence[Leaf], clauses: Sequence[Clause], parameters: Any, *, extra: bool
) -> list[SpaceProblem]:
    """Everything that keeps `parameters` from being a configuration."""
    if not isinstance(parameters, Mapping):
        return [SpaceProblem("", f"must be a mapping of names to values, not {describe(parameters)}")]
    found: list[SpaceProblem] = []
    _check_level(tree, parameters, "", (), found, extra=extra)
    if not found:
        found = [SpaceProblem("", f"{clause} is forbidden") for clause in clauses if clause.fits(parameters)]
    return found


def _check_level(
    leaves: Sequence[Leaf],
    values: Mapping[str, Any],
    path: str,
    keys: tuple[str | int, ...],
    found: list[SpaceProblem],
    *,
    extra: bool,
) -> None:
    names = [leaf.name for leaf in leaves]
    if not extra:
        for name in values:
            if name not in names and not (keys and name == "_name"):
                near = difflib.get_close_matches(str(name), names, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                found.append(SpaceProblem(path, f"unknown parameter {describe(name)}{hint}", (*keys, name)))
    for leaf in leaves:
        if leaf.name not in values:
            found.append(SpaceProblem(leaf.path, "missing", keys))
        else:
            _check_value(leaf, values[leaf.name], (*keys, leaf.name), found)


def _check_value(leaf: Leaf, value: Any, keys: tuple[str | int, ...], found: list[SpaceProblem]) -> None:
    if not leaf.is_nested:
        if (reason := leaf.domain.problem(value)) is not None:
            found.append(SpaceProblem(leaf.path, reason, keys))
        return
    if not isinstance(value, Mapping) or "_name" not in value:
        found.append(
            SpaceProblem(leaf.path, f'must be {{"_name": branch, ...}}, not {describe(value)}', keys)
        )
    elif (reason := leaf.domain.problem(value["_name"])) is not None:
        found.append(SpaceProblem(leaf.path, f"_name {reason}", (*keys, "_name")))
    else:
        branch = leaf.domain.positions([value["_name"]])[0]
        inner = f"{leaf.path}.{value['_name']}"
        _check_level(leaf.branches[int(branch)], value, inner, keys, found, extra=False)


def key(leaves: Sequence[Leaf], values: Mapping[str, Any]) -> Hashable:
    """A tuple with one entry for each leaf of this level, a nested choice with its branch's own."""
    return tuple(_leaf_key(leaf, values[leaf.name]) for leaf in leaves)


def _leaf_key(leaf: Leaf, value: Any) -> Hashable:
    if not leaf.is_nested:
        return leaf.domain.key(value)
    branch = leaf.domain.positions([value["_name"]])[0]
    return (branch, key(leaf.branches[int(branch)], value))
