"""The values of one parameter in the order in which a grid takes them, epoch after epoch.

Epoch 1 has every value of a parameter without a natural middle (`choice`, `randint`, choices of an
architecture) and the median of any other; epoch 2 adds the quartiles, epoch 3 the odd eighths, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any, Protocol

import numpy as np

from tune_core import SearchSpace, SearchSpaceError
from tune_core.space import Domain, Leaf, Numeric

__all__ = ["Axis", "axis_of"]

# The values of a q type that 13 halvings have not met come in one last epoch. Some take 50 halvings to
# meet: those far out under a normal distribution.
LAST_HALVING = 13
MOST_LEFT = 1_000_000  # values of a q type that are listed; beyond it halving goes on


class Axis(Protocol):
    """What a grid is made from: a list of values that grows with the epochs."""

    def size(self, epoch: int) -> int:
        """How many values there are by `epoch`, 0 in epoch 0."""
        ...

    def ends(self, epoch: int) -> bool:
        """Whether no later epoch has a value more."""
        ...

    def at(self, number: int) -> Any:
        """Value `number`; those of an earlier epoch come first."""
        ...


class Listed:
    """Every value of a finite domain at once."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def size(self, epoch: int) -> int:
        return int(self._domain.size) if epoch else 0

    def ends(self, epoch: int) -> bool:
        return epoch > 0

    def at(self, number: int) -> Any:
        return self._domain.at(number)


class Even:
    """`count` numbers from `low` to `high`, both included: what q meant in NNI until 0.6."""

    def __init__(self, low: float, high: float, count: int, *, log: bool) -> None:
        space = np.geomspace if log else np.linspace
        self._values: list[float] = space(low, high, count).tolist()

    def size(self, epoch: int) -> int:
        return len(self._values) if epoch else 0

    def ends(self, epoch: int) -> bool:
        return epoch > 0

    def at(self, number: int) -> Any:
        return self._values[number]


class Refined:
    """The numbers of a distribution that halve its probability, then halve the halves, without repeats."""

    def __init__(self, leaf: Leaf, domain: Numeric) -> None:
        self._domain = domain
        self._line = SearchSpace({}, (Leaf(leaf.name, leaf.path, 0, domain),))
        self._name = leaf.name
        self._values: list[float] = []
        self._seen: set[Hashable] = set()
        self._sizes = [0]
        self._ended = False

    def size(self, epoch: int) -> int:
        self._reach(epoch)
        return self._sizes[min(epoch, len(self._sizes) - 1)]

    def ends(self, epoch: int) -> bool:
        self._reach(epoch)
        return self._ended and epoch >= len(self._sizes) - 1

    def at(self, number: int) -> Any:
        return self._values[number]

    def _reach(self, epoch: int) -> None:
        while len(self._sizes) <= epoch and not self._ended:
            self._refine(len(self._sizes))

    def _refine(self, epoch: int) -> None:
        """Append the values of `epoch`, from the least to the greatest."""
        before = len(self._values)
        count = self._count()
        if self._domain.step and epoch > LAST_HALVING and count <= MOST_LEFT:
            self._extend(self._rest(count))
            self._ended = True
        else:
            middles = (2.0 * np.arange(2 ** (epoch - 1)) + 1.0) / 2.0**epoch
            self._extend(row[self._name] for row in self._line.decode(middles[:, None]))
            # Between neighbours nothing is left once no middle is new; a step may still be met later.
            self._ended = len(self._values) == (count if self._domain.step else before)
        self._sizes.append(len(self._values))

    def _extend(self, values: Iterable[float]) -> None:
        for value in values:
            key = self._domain.key(value)
            if key not in self._seen:
                self._seen.add(key)
                self._values.append(value)

    def _edges(self) -> tuple[float, float]:
        low, high = self._line.decode([[0.0], [1.0]])
        return low[self._name], high[self._name]

    def _count(self) -> float:
        """How many values a q type has within the reach of its distribution."""
        if not self._domain.step:
            return math.inf
        low, high = self._edges()
        return round(high / self._domain.step) - round(low / self._domain.step) + 1

    def _rest(self, count: float) -> Iterable[float]:
        domain = self._domain
        first = round(self._edges()[0] / domain.step)
        return (domain.value(domain.snap(n * domain.step)) for n in range(first, first + int(count)))


def axis_of(leaf: Leaf, *, legacy_q: bool) -> Axis:
    """The axis of a leaf that is no nested choice.

    Raises:
        SearchSpaceError: With `legacy_q`, a q that is no number of values.
    """
    domain = leaf.domain
    if not isinstance(domain, Numeric) or domain.type == "randint":
        return Listed(domain)
    if legacy_q and domain.type in ("quniform", "qloguniform"):
        assert domain.q is not None
        if domain.q < 2 or not domain.q.is_integer():
            raise SearchSpaceError(
                f"{leaf.path}: q {domain.q:.15g} is the number of values with legacy_q, a whole number from 2"
            )
        return Even(domain.a, domain.b, int(domain.q), log=domain.is_log)
    return Refined(leaf, domain)
