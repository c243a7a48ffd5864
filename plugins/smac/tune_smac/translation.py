"""A search space as one of ConfigSpace, with its conditions, and the configurations of both."""

from __future__ import annotations

from typing import Any

import numpy as np
from ConfigSpace import Categorical, Configuration, ConfigurationSpace, EqualsCondition, Float, Integer
from ConfigSpace.hyperparameters import Hyperparameter, OrdinalHyperparameter

from tune_core import Parameters, SearchSpace, SearchSpaceError
from tune_core.space import Leaf, Numeric

__all__ = ["Translation"]


class Translation:
    """Translates one search space. A parameter there is named by the index of its leaf.

    Options are told by their number, and whole numbers by their place. All other numbers are coordinates
    in [0, 1], in which logarithms are even and normal types uniform: SMAC searches a unit cube anyhow, and
    so draws each type as our own space does.

    Attributes:
        configspace: What SMAC searches. Empty if no parameter has more than one value.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._leaves = [leaf for leaf in space.leaves if leaf.domain.size > 1]
        self.configspace = ConfigurationSpace()
        found = {leaf.index: _hyperparameter(leaf) for leaf in self._leaves}
        self.configspace.add(list(found.values()))
        # A branch that is the only one needs no condition of its own, but may hang under one that does.
        above = {leaf.index: _condition_of(leaf, space) for leaf in self._leaves}
        self.configspace.add(
            [
                EqualsCondition(found[index], found[parent], branch)
                for index, (parent, branch) in above.items()
                if parent is not None
            ]
        )

    def parameters(self, configuration: Configuration) -> Parameters:
        """Ours for one of ConfigSpace's."""
        units = np.full((1, self._space.dimensions), 0.5)
        for leaf in self._leaves:
            if (value := configuration.get(str(leaf.index))) is not None:
                units[0, leaf.index] = float(value) if _is_smooth(leaf) else (value + 0.5) / leaf.domain.size
        parameters: Parameters
        [parameters] = self._space.decode(units)
        return parameters

    def configuration(self, parameters: Parameters) -> Configuration:
        """ConfigSpace's for one of ours; what is rounded lies in the middle of what rounds to it."""
        units, active = self._space.encode([parameters])
        values = {
            str(leaf.index): float(units[0, leaf.index])
            if _is_smooth(leaf)
            else int(units[0, leaf.index] * leaf.domain.size)
            for leaf in self._leaves
            if active[0, leaf.index]
        }
        return Configuration(self.configspace, values=values)


def _is_smooth(leaf: Leaf) -> bool:
    """Whether it is told by its coordinate."""
    return isinstance(leaf.domain, Numeric) and leaf.domain.type != "randint"


def _hyperparameter(leaf: Leaf) -> Hyperparameter[Any, Any]:
    name = str(leaf.index)
    if leaf.domain.type == "input_choice":
        raise SearchSpaceError(f"SMAC does not take input_choice ({leaf.path}); Random and Evolution do")
    if _is_smooth(leaf):
        return Float(name, (0.0, 1.0))
    count = int(leaf.domain.size)
    if isinstance(leaf.domain, Numeric):
        return Integer(name, (0, count - 1))
    if leaf.domain.is_ordered:
        return OrdinalHyperparameter(name, list(range(count)))
    return Categorical(name, list(range(count)))


def _condition_of(leaf: Leaf, space: SearchSpace) -> tuple[int | None, int | None]:
    """The nearest choice above `leaf` that is one, and the branch it must take."""
    above = leaf
    while above.parent is not None and space.leaves[above.parent].domain.size == 1:
        above = space.leaves[above.parent]
    return above.parent, above.branch
