"""A search space in hyperopt's terms, and its points in ours.

Hyperopt knows a point as a list of values for each label: empty where the parameter is not active. A label is
the index of a leaf. A value is the number that was drawn, or the number of the option.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hyperopt import hp  # type: ignore[import-untyped]

from tune_core import Parameters, SearchSpace
from tune_core.space import Leaf, Numeric

__all__ = ["Point", "Translation"]

Point = dict[str, list[float]]
"""What hyperopt calls `vals`: by label one value, or none."""

_SIGMAS = 8.2  # how far from the mean a draw of our search spaces reaches


class Translation:
    """Translates one search space.

    Attributes:
        space: The expression that hyperopt searches.
        labels: All labels of it. A parameter of a single value has none, and may be the only one.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._tree = space.parameters
        self.space: dict[str, Any] = _expressions(space.parameters)
        self.labels = tuple(str(leaf.index) for leaf in space.leaves if not _is_constant(leaf))

    def parameters(self, point: Mapping[str, Sequence[Any]]) -> Parameters:
        """The configuration at a point that hyperopt proposes."""
        return _read(self._tree, point)

    def point(self, parameters: Parameters) -> Point:
        """Where a configuration of the space lies."""
        found: Point = {label: [] for label in self.labels}
        _write(self._tree, parameters, found)
        return found


def _is_constant(leaf: Leaf) -> bool:
    return leaf.domain.size == 1


def _is_ordered(leaf: Leaf) -> bool:
    return not isinstance(leaf.domain, Numeric) and leaf.domain.is_ordered


def _expressions(leaves: Sequence[Leaf]) -> dict[str, Any]:
    """By name, what hyperopt draws for each of `leaves`, and for what hangs under them."""
    return {leaf.name: _expression(leaf) for leaf in leaves}


def _expression(leaf: Leaf) -> Any:
    if leaf.is_nested:
        options: list[Any] = [_expressions(branch) for branch in leaf.branches]
        return options[0] if _is_constant(leaf) else hp.choice(str(leaf.index), options)
    if _is_constant(leaf):
        return 0
    return _numbers(leaf) if isinstance(leaf.domain, Numeric) or _is_ordered(leaf) else _options(leaf)


def _options(leaf: Leaf) -> Any:
    return hp.choice(str(leaf.index), range(int(leaf.domain.size)))


def _numbers(leaf: Leaf) -> Any:
    """Every type by its own name. What has an order and even steps is a quniform with a whole cell at its
    ends, as hyperopt's own uniformint has not: it would draw the least and the greatest half as often."""
    label, domain = str(leaf.index), leaf.domain
    if not isinstance(domain, Numeric):
        return hp.quniform(label, -0.5, domain.size - 0.5, 1)
    if domain.type == "randint":
        return hp.quniform(label, domain.a - 0.5, domain.b - 0.5, 1)
    low_and_high = domain.a, domain.b
    if domain.is_log and not domain.is_normal:
        low_and_high = math.log(domain.a), math.log(domain.b)
    step = () if domain.q is None else (domain.q,)
    return getattr(hp, domain.type)(label, *low_and_high, *step)


def _read(leaves: Sequence[Leaf], point: Mapping[str, Sequence[Any]]) -> Parameters:
    found: Parameters = {}
    for leaf in leaves:
        domain = leaf.domain
        drawn = 0.0 if _is_constant(leaf) else float(point[str(leaf.index)][0])
        if isinstance(domain, Numeric):
            found[leaf.name] = domain.at(0) if _is_constant(leaf) else _number(domain, drawn)
            continue
        option = min(max(round(drawn), 0), int(domain.size) - 1)
        if leaf.is_nested:
            found[leaf.name] = {"_name": domain.at(option), **_read(leaf.branches[option], point)}
        else:
            found[leaf.name] = domain.at(option)
    return found


def _number(domain: Numeric, drawn: float) -> int | float:
    if domain.is_normal:  # a walk may leave what floating point can hold
        low, high = (domain.a + sign * _SIGMAS * domain.b for sign in (-1, 1))
        low, high = (math.exp(low), math.exp(high)) if domain.is_log else (low, high)
        # What rounds to 0 stays there: the least lognormal number is above half a step, or is not.
        drawn = min(max(drawn, 0.0 if domain.is_log and domain.q else low), high)
    return domain.value(domain.snap(drawn))


def _write(leaves: Sequence[Leaf], parameters: Parameters, point: Point) -> None:
    for leaf in leaves:
        value = parameters[leaf.name]
        domain = leaf.domain
        if isinstance(domain, Numeric):
            position = float(value)
        else:
            [position] = domain.positions([value["_name"] if leaf.is_nested else value])
        if not _is_constant(leaf):
            is_number = isinstance(domain, Numeric) or _is_ordered(leaf)
            point[str(leaf.index)] = [float(position) if is_number else int(position)]
        if leaf.is_nested:
            _write(leaf.branches[int(position)], value, point)
