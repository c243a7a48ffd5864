"""One run of CMA-ES over the columns of a flat search space.

Hamano, R., Uchida, K., Shirakawa, S., Morales, N. and Akimoto, Y. (2025). CatCMA with margin: stochastic
optimization for continuous, integer, and categorical variables. GECCO 2025. https://arxiv.org/abs/2504.07884
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from cmaes import CatCMAwM  # type: ignore[import-untyped]
from numpy.typing import NDArray

from tune_core import SearchSpace, SearchSpaceError
from tune_core.space import Leaf, Numeric
from tune_core.space.normal import normal_cdf, normal_ppf

__all__ = ["Columns", "Sample", "Strategy", "columns_of"]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

MOST_STEPS = 256  # values of an ordered parameter that are told apart; with more it is continuous
MOST_OPTIONS = 10_000
# Unbounded types are varied over so many standard deviations of the search space, in normal scores.
SIGMAS = 8.0


@dataclass(frozen=True)
class Columns:
    """The columns of the encoding by the way in which they are varied; those of one value in none.

    Attributes:
        normal: Which of `continuous` are of a normal type.
        steps: For each of `integer` the coordinates of its values, ascending.
        counts: For each of `categorical` the number of options.
    """

    continuous: list[int]
    normal: list[bool]
    integer: list[int]
    steps: list[list[float]]
    categorical: list[int]
    counts: list[int]

    @property
    def count(self) -> int:
        return len(self.continuous) + len(self.integer) + len(self.categorical)


def columns_of(space: SearchSpace) -> Columns:
    """Sort the parameters of a flat space.

    Raises:
        SearchSpaceError: The space is nested, or a parameter has too many options.
    """
    columns = Columns([], [], [], [], [], [])
    for leaf in space:
        size = leaf.domain.size
        if leaf.is_nested:
            raise SearchSpaceError(f"{leaf.path}: CMAES takes no nested choices; TPE and Anneal do")
        if size == 1:
            continue
        if leaf.domain.is_ordered and size > MOST_STEPS:
            columns.continuous.append(leaf.index)
            columns.normal.append(isinstance(leaf.domain, Numeric) and leaf.domain.is_normal)
        elif leaf.domain.is_ordered and size > 2:
            columns.integer.append(leaf.index)
            columns.steps.append(_coordinates(leaf))
        elif size > MOST_OPTIONS:
            raise SearchSpaceError(
                f"{leaf.path}: CMAES takes up to {MOST_OPTIONS:,} options, not {size:,}; "
                "Random and Anneal take more"
            )
        else:  # two of anything too: a choice between two has no direction
            columns.categorical.append(leaf.index)
            columns.counts.append(int(size))
    return columns


def _coordinates(leaf: Leaf) -> list[float]:
    line = SearchSpace({}, (Leaf(leaf.name, leaf.path, 0, leaf.domain),))
    units, _ = line.encode([{leaf.name: leaf.domain.at(number)} for number in range(int(leaf.domain.size))])
    coordinates: list[float] = units[:, 0].tolist()
    return coordinates


class Sample(NamedTuple):
    """A point that was drawn, `units` of shape (dimensions,), and what the package knows of it."""

    units: Floats
    solution: CatCMAwM.Solution


class Strategy:
    """A distribution that samples are drawn from, and that moves when a generation is told.

    Args:
        start: Where the mean begins, coordinates, shape (dimensions,).
        sigma: The standard deviation that it begins with, as a share of the range.
        population_size: Of a generation; None: 4 + floor(3 ln n).
    """

    def __init__(self, columns: Columns, start: Floats, sigma: float, population_size: int | None) -> None:
        self._columns = columns
        self._dimensions = len(start)
        scores = _to_scores(start[columns.continuous], np.array(columns.normal, dtype=np.bool_))
        mean = np.concatenate([scores, start[columns.integer]])
        self._is_numeric = bool(len(mean))
        self._cma = CatCMAwM(
            x_space=[[0.0, 1.0]] * len(columns.continuous) or None,
            z_space=columns.steps or None,
            c_space=columns.counts or None,
            population_size=population_size,
            mean=mean,
            sigma=sigma,
            cov=np.eye(len(mean)),
            seed=0,
        )

    @property
    def population_size(self) -> int:
        return int(self._cma.population_size)

    def seed(self, rng: np.random.Generator) -> None:
        """What is drawn from here on depends on `rng` and the distribution alone."""
        self._cma.reseed_rng(int(rng.integers(2**32)))

    def draw(self) -> Sample | None:
        """A point; None: the distribution has left floating point."""
        columns = self._columns
        with np.errstate(all="ignore"):
            solution = self._cma.ask()
        units = np.full(self._dimensions, 0.5)
        if columns.continuous:
            units[columns.continuous] = _from_scores(solution.x, np.array(columns.normal))
        if columns.integer:
            units[columns.integer] = solution.z
        if columns.categorical:
            options = np.argmax(solution.c, axis=1)
            units[columns.categorical] = (options + 0.5) / np.array(columns.counts)
        return Sample(units, solution) if np.isfinite(units).all() else None

    def tell(self, ranking: list[Sample]) -> bool:
        """Move by a whole generation, the best first; returns whether to go on."""
        # Places for results: it uses no more than their order, but for penalties, which huge ones break.
        generation = [(sample.solution, float(place)) for place, sample in enumerate(ranking)]
        try:
            with np.errstate(all="ignore"):
                self._cma.tell(generation)
                # Only the numeric part has conditions to stop.
                return not (self._is_numeric and self._cma.should_stop())
        except (np.linalg.LinAlgError, AssertionError):
            return False  # the distribution has collapsed or exploded beyond floating point


def _from_scores(x: Floats, normal: Bools) -> Floats:
    """Coordinates of continuous columns; of normal types `x` is in scores, so that steps are even."""
    scores: Floats = normal_cdf(SIGMAS * (x - 0.5))
    return np.where(normal, scores, x)


def _to_scores(units: Floats, normal: Bools) -> Floats:
    scores = np.clip(0.5 + normal_ppf(units) / SIGMAS, 0.0, 1.0)
    return np.where(normal, scores, units)
