"""What BOHB knows: results by budget, and the model of the largest budget that has enough of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tune_bohb.kde import Floats, KernelDensity
from tune_core import Parameters, SearchSpace

__all__ = ["Model", "Result", "Results", "split"]

Flags: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]


class Result(NamedTuple):
    """Of a configuration on some budget.

    Attributes:
        loss: Lower is better, inf for a trial that failed.
    """

    configuration: Parameters
    budget: float
    loss: float


def split(losses: Floats, least: int, top_n_percent: int) -> tuple[Places, Places]:
    """The places of the good and, behind them, of the bad, best first; of equals the older is better.

    Each group is its share of all, rounded down, but at least `least` if there are so many.
    """
    order = np.argsort(losses, kind="stable")
    n_good = max(least, top_n_percent * len(losses) // 100)
    n_bad = max(least, (100 - top_n_percent) * len(losses) // 100)
    return order[:n_good], order[n_good : n_good + n_bad]


class Model:
    """Densities of good and bad configurations.

    A parameter that is not there in a configuration is given the value of a random one of its group that
    has it, or any value if none has, as the authors' code does.

    Args:
        good, bad: Their coordinates and which of them are active, shapes (n, k).
        least: The smallest bandwidth.
        rng: Gives the values of parameters that are not there.
    """

    def __init__(
        self,
        space: SearchSpace,
        good: tuple[Floats, Flags],
        bad: tuple[Floats, Flags],
        least: float,
        rng: np.random.Generator,
    ) -> None:
        self._space = space
        self._counts = np.array(
            [0 if leaf.domain.is_ordered else leaf.domain.size for leaf in space.leaves], dtype=np.float64
        )
        self.good, self.bad = (
            KernelDensity(self._numbered(_filled(units, active, rng)), self._counts, least)
            for units, active in (good, bad)
        )

    def proposals(self, rng: np.random.Generator, n: int, factor: float) -> Iterator[Parameters]:
        """Of `n` candidates around good ones, the one with the largest ratio of densities first."""
        drawn = self._units(self.good.sample_around(rng, n, factor))
        units = self._space.snap(drawn)
        points = self._numbered(units)
        ratio = self.good.log_density(points) - self.bad.log_density(points)
        for place in np.argsort(-ratio, kind="stable"):
            yield self._space.decode(units[[place]])[0]

    def _numbered(self, units: Floats) -> Floats:
        """Coordinates with categorical ones replaced by the numbers of options."""
        options = np.clip(np.floor(units * self._counts), 0.0, np.maximum(self._counts - 1.0, 0.0))
        return np.where(self._counts > 0, options, units)

    def _units(self, points: Floats) -> Floats:
        """The inverse of `_numbered`."""
        return np.where(self._counts > 0, (points + 0.5) / np.maximum(self._counts, 1.0), points)


def _filled(units: Floats, active: Flags, rng: np.random.Generator) -> Floats:
    filled = units.copy()
    for column in np.flatnonzero(~active.all(axis=0)):
        missing = ~active[:, column]
        known = units[~missing, column]
        count = int(missing.sum())
        filled[missing, column] = rng.choice(known, count) if known.size else rng.random(count)
    return filled


class Results:
    """All results in one search space, by budget.

    Args:
        space: What their configurations are of.
        least: How many results either group has at least. None, or fewer than that: one more than there are
            parameters.
        top_n_percent: The share of the good.
        min_bandwidth: The smallest bandwidth.
    """

    def __init__(
        self, space: SearchSpace, least: int | None, top_n_percent: int, min_bandwidth: float
    ) -> None:
        self.all: list[Result] = []
        self._space = space
        self._least = max(least or 0, space.dimensions + 1)
        self._top_n_percent = top_n_percent
        self._min_bandwidth = min_bandwidth
        self._units: dict[float, list[Floats]] = {}
        self._active: dict[float, list[Flags]] = {}
        self._losses: dict[float, list[float]] = {}

    def add(self, result: Result) -> None:
        """One more; passed over if its configuration is none of this space."""
        if not self._space.contains(result.configuration, extra=True):
            return
        self.all.append(result)
        units, active = self._space.encode([result.configuration])
        self._units.setdefault(result.budget, []).append(units[0])
        self._active.setdefault(result.budget, []).append(active[0])
        self._losses.setdefault(result.budget, []).append(float(result.loss))

    @property
    def model_budget(self) -> float | None:
        """The largest budget whose good and bad both outnumber the parameters."""
        for budget in sorted(self._losses, reverse=True):
            good, bad = self._split(budget)
            if min(len(good), len(bad)) > self._space.dimensions:
                return budget
        return None

    def model(self, rng: np.random.Generator) -> Model | None:
        """Of `model_budget`; None while no budget has enough results."""
        budget = self.model_budget
        if budget is None:
            return None
        units, active = np.array(self._units[budget]), np.array(self._active[budget])
        good, bad = self._split(budget)
        groups = (units[good], active[good]), (units[bad], active[bad])
        return Model(self._space, *groups, self._min_bandwidth, rng)

    def _split(self, budget: float) -> tuple[Places, Places]:
        return split(np.array(self._losses[budget]), self._least, self._top_n_percent)
