"""Domains: the set of values that one parameter may take, and how it lies in [0, 1].

The types and their meaning are those of NNI's search-space files. Every domain is also an axis:
`scale` says how its *positions* (a number's value, an option's index) lie in [0, 1]. Positions of
finite and of q types fill [0, 1] with cells, each as wide as the probability of its value.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from tune_core.space.values import copy_json, describe, freeze, is_number

__all__ = ["Branches", "Choice", "Domain", "InputChoice", "LayerChoice", "Numeric", "Scale"]


class Scale(NamedTuple):
    """How positions lie in [0, 1].

    A position x has the coordinate F((t(x) - start) / width), where t is log or the identity and F
    the normal distribution function or the identity. With a `step`, positions are multiples of it
    numbered `first` to `last`, each owning the coordinates of all x that round to it.
    """

    log: bool
    normal: bool
    start: float
    width: float
    step: float  # 0 for continuous axes
    first: float
    last: float
    edges: tuple[float, float]  # x at the coordinates 0 and 1
    bounds: tuple[float, float]  # of positions


def _cells(count: int) -> Scale:
    """`count` options of equal probability."""
    edges = (-0.5, count - 0.5)
    return Scale(False, False, -0.5, float(count), 1.0, 0, count - 1, edges, (0.0, count - 1.0))


@dataclass(frozen=True)
class Numeric:
    """`randint` and the uniform and normal types, q, log or both.

    Attributes:
        type: As in search-space files.
        a: Low, or the mean mu (of the logarithm for lognormal types).
        b: High (for `randint` the first value beyond), or the standard deviation sigma.
        q: The step, None for continuous types.
    """

    type: str
    a: float
    b: float
    q: float | None = None

    @property
    def is_ordered(self) -> bool:
        return True

    @property
    def is_log(self) -> bool:
        return "log" in self.type

    @property
    def is_normal(self) -> bool:
        return self.type.endswith("normal")

    @cached_property
    def is_integral(self) -> bool:
        """Whether values are Python ints: all of them are whole numbers by construction."""
        if self.type == "randint":
            return True
        fixed = (self.q,) if self.is_normal else (self.a, self.b, self.q)
        return self.q is not None and all(float(x).is_integer() for x in fixed if x is not None)

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value, both possible unless infinite (or 0 for lognormal)."""
        if self.is_normal:
            return (0.0 if self.is_log else -math.inf, math.inf)
        return (self.a, self.b - 1 if self.type == "randint" else self.b)

    @cached_property
    def step(self) -> float:
        """The distance between neighbouring values, 0 for continuous types."""
        return 1.0 if self.type == "randint" else float(self.q or 0.0)

    @cached_property
    def _numbers(self) -> tuple[float, float]:
        """First and last multiple of the step, before clipping to the bounds."""
        if not self.step:
            return (0, 0)
        first, last = (bound / self.step for bound in self.bounds)
        return (round(first) if math.isfinite(first) else first, round(last) if math.isfinite(last) else last)

    @cached_property
    def scale(self) -> Scale:
        first, last = self._numbers
        if self.type == "randint":  # each integer owns the half unit on both sides of it
            edges = (self.a - 0.5, self.b - 0.5)
            return Scale(False, False, edges[0], self.b - self.a, 1.0, first, last, edges, self.bounds)
        start, width = self.a, self.b
        if not self.is_normal:
            start, end = (math.log(self.a), math.log(self.b)) if self.is_log else (self.a, self.b)
            width = end - start
        return Scale(
            self.is_log, self.is_normal, start, width, self.step, first, last, self.bounds, self.bounds
        )

    @cached_property
    def size(self) -> float:
        """The number of values: an int, or infinity."""
        first, last = self._numbers
        return int(last - first + 1) if self.step and math.isfinite(last) else math.inf

    def snap(self, value: float) -> float:
        """The value of the domain that `value` rounds to: halves to the even multiple, then clipped."""
        if self.step:
            value = round(value / self.step) * self.step
        return min(max(value, self.bounds[0]), self.bounds[1])

    def value(self, position: float) -> int | float:
        return int(position) if self.is_integral else float(position)

    def at(self, number: int) -> int | float:
        """Value `number` of a finite domain, counted from 0 at the low end."""
        return self.value(self.snap((self._numbers[0] + number) * self.step))

    def key(self, value: Any) -> Hashable:
        return round(value / self.step) if self.step else float(value)

    def positions(self, values: list[Any]) -> list[float]:
        return values

    def problem(self, value: Any) -> str | None:
        """Why `value` is not in the domain, or None."""
        if not is_number(value):
            return f"must be a number, not {describe(value)}"
        if not self.bounds[0] <= value <= self.bounds[1] or not math.isfinite(value):
            low, high = (format(bound, ".15g") for bound in self.bounds)
            return f"{describe(value)} is not between {low} and {high}"
        if self.type == "lognormal" and value == 0:
            return "0 is not greater than 0"
        # A value that went through another language's JSON, or was typed as 0.3, is 3 * 0.1 as well.
        if self.step and abs(self.snap(value) - value) > 1e-9 * self.step + 4 * math.ulp(value):
            if self.type == "randint":
                return f"{describe(value)} is not an integer"
            return f"{describe(value)} is not a multiple of q = {self.step:.15g}"
        return None


@dataclass(frozen=True)
class Choice:
    """One of a list of options, which are any JSON values.

    Attributes:
        is_ordered: Neighbours in the list are alike, as with small, medium, large.
    """

    options: tuple[Any, ...]
    is_ordered: bool = False

    @property
    def type(self) -> str:
        return "choice"

    @cached_property
    def scale(self) -> Scale:
        return _cells(self.size)

    @property
    def size(self) -> int:
        return len(self.options)

    @cached_property
    def _index(self) -> dict[Hashable, int]:
        return {freeze(option): number for number, option in enumerate(self.options)}

    @cached_property
    def _plain_index(self) -> dict[Hashable, int] | None:
        """As `_index` but by the options themselves, where that cannot mix up 1 and True."""
        plain = all(option is None or isinstance(option, str) or is_number(option) for option in self.options)
        return self._index if plain else None

    @cached_property
    def _is_flat(self) -> bool:
        return not any(isinstance(option, (dict, list)) for option in self.options)

    def value(self, position: float) -> Any:
        option = self.options[int(position)]
        return option if self._is_flat else copy_json(option)

    def at(self, number: int) -> Any:
        return self.value(number)

    def key(self, value: Any) -> Hashable:
        return self._index[freeze(value)]

    def positions(self, values: list[Any]) -> list[float]:
        if self._plain_index is not None:
            return [self._plain_index[value] for value in values]
        return [self._index[freeze(value)] for value in values]

    def problem(self, value: Any) -> str | None:
        if freeze(value) in self._index:
            return None
        return f"{describe(value)} is not one of the options{_nearest(value, self.options)}"


@dataclass(frozen=True)
class Branches(Choice):
    """The names of the branches of a nested choice. What a branch holds is in the tree (`Leaf`)."""


@dataclass(frozen=True)
class LayerChoice(Choice):
    """One of a list of operations; a value is `{"_value": name, "_idx": index}`."""

    @property
    def type(self) -> str:
        return "layer_choice"

    def value(self, position: float) -> dict[str, Any]:
        return {"_value": self.options[int(position)], "_idx": int(position)}

    def key(self, value: Any) -> Hashable:
        return self._index[value["_value"]]

    def positions(self, values: list[Any]) -> list[float]:
        return [self._index[value["_value"]] for value in values]

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, Mapping) or set(value) != {"_value", "_idx"}:
            return f'must be {{"_value": name, "_idx": index}}, not {describe(value)}'
        if (reason := super().problem(value["_value"])) is not None:
            return reason
        index = self._index[value["_value"]]
        if not is_number(value["_idx"]) or value["_idx"] != index:
            return f"_idx {describe(value['_idx'])} is not that of {value['_value']!r}, {index}"
        return None


@dataclass(frozen=True)
class InputChoice:
    """Some of a list of candidates; a value is `{"_value": [names], "_idx": [indices]}`.

    Attributes:
        candidates: Their names.
        counts: How many may be chosen, ascending.
    """

    candidates: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def is_ordered(self) -> bool:
        return False

    @property
    def type(self) -> str:
        return "input_choice"

    @cached_property
    def scale(self) -> Scale:
        return _cells(self.size)

    @cached_property
    def size(self) -> int:
        return sum(math.comb(len(self.candidates), count) for count in self.counts)

    def value(self, position: float) -> dict[str, Any]:
        number = int(position)
        for count in self.counts:
            subsets = math.comb(len(self.candidates), count)
            if number < subsets:
                break
            number -= subsets
        chosen = _subset(len(self.candidates), count, number)
        return {"_value": [self.candidates[index] for index in chosen], "_idx": chosen}

    def at(self, number: int) -> dict[str, Any]:
        return self.value(number)

    def key(self, value: Any) -> int:
        """The place of a value among all: fewer chosen first, then by the indices."""
        chosen = sorted(map(int, value["_idx"]))
        if len(chosen) not in self.counts:
            raise KeyError(len(chosen))
        before = sum(math.comb(len(self.candidates), count) for count in self.counts if count < len(chosen))
        return before + _subset_number(len(self.candidates), chosen)

    def positions(self, values: list[Any]) -> list[float]:
        return [self.key(value) for value in values]

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, Mapping) or set(value) != {"_value", "_idx"}:
            return f'must be {{"_value": [names], "_idx": [indices]}}, not {describe(value)}'
        names, chosen = value["_value"], value["_idx"]
        if not isinstance(names, (list, tuple)) or not isinstance(chosen, (list, tuple)):
            return "_value and _idx must be lists"
        valid = all(is_number(i) and i in range(len(self.candidates)) for i in chosen)
        if not valid or len({*chosen}) != len(chosen):
            return f"_idx {describe(chosen)} must be different indices below {len(self.candidates)}"
        if len(chosen) not in self.counts:
            return f"{len(chosen)} are chosen, n_chosen is {', '.join(map(str, self.counts))}"
        if list(names) != [self.candidates[int(index)] for index in chosen]:
            return f"_value {describe(names)} does not name the candidates at _idx {describe(chosen)}"
        return None


Domain = Numeric | Choice | InputChoice


def _subset(of: int, count: int, number: int) -> list[int]:
    """Subset `number` of `count` out of range(`of`), in lexicographic order.

    >>> [_subset(4, 2, number) for number in range(6)]
    [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    """
    chosen: list[int] = []
    for index in range(of):
        if len(chosen) == count:
            break
        with_index = math.comb(of - index - 1, count - len(chosen) - 1)
        if number < with_index:
            chosen.append(index)
        else:
            number -= with_index
    return chosen


def _subset_number(of: int, chosen: list[int]) -> int:
    """The inverse of `_subset`."""
    number = 0
    for place, index in enumerate(chosen):
        start = chosen[place - 1] + 1 if place else 0
        number += sum(math.comb(of - skipped - 1, len(chosen) - place - 1) for skipped in range(start, index))
    return number


def _nearest(value: Any, options: tuple[Any, ...]) -> str:
    names = [option for option in options if isinstance(option, str)]
    near = (
        difflib.get_close_matches(value, names, n=1) if isinstance(value, str) and len(names) < 1000 else []
    )
    if near:
        return f"; did you mean {near[0]!r}?"
    return f" {describe(list(options), 100)}"
