"""From losses to what the tables say: normalised regret, ranks, and how sure of them one can be.

A regret is 0 at the least loss that is known and 1 at the median of random configurations. Searchers are
compared on the seeds and problems that all of them ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from hpo.problems import Problem, all_problems
from hpo.runs import Result, Run
from numpy.typing import NDArray

from tune_core import SearchSpace

__all__ = ["Scores", "normaliser", "ranks"]

Floats = NDArray[np.float64]

_RANDOM = 4_000  # random configurations for the median
_SWEEPS = 40  # of a local search for the least loss, from the best of those


@dataclass(frozen=True)
class Normaliser:
    """The losses that mean a regret of 0 and of 1."""

    least: float
    median: float

    def regret(self, losses: Floats) -> Floats:
        return np.maximum(losses - self.least, 0.0) / (self.median - self.least)


@cache
def normaliser(name: str) -> Normaliser:
    """Of one problem; for a surrogate the least loss is the best that a long search finds."""
    problem = all_problems()[name]
    space, rng = SearchSpace.parse(problem.space), np.random.default_rng(0)
    units = rng.random((_RANDOM, space.dimensions))
    losses = problem.losses(space.decode(units), 1.0)
    least = _least(problem, space, units, losses) if problem.least is None else problem.least
    return Normaliser(least, float(np.median(losses)))


def _least(problem: Problem, space: SearchSpace, units: Floats, losses: Floats) -> float:
    """The best of twenty walks: each sweep tries 200 neighbours of each, at a tenth to a thousandth."""
    rng = np.random.default_rng(1)
    best = np.argsort(losses)[:20]
    points, values = units[best], losses[best]
    for _ in range(_SWEEPS):
        near = np.repeat(points, 200, axis=0)
        steps = rng.normal(0, 10.0 ** rng.uniform(-3, -1, (len(near), 1)), near.shape)
        moved = np.where(rng.random(near.shape) < 0.5, near + steps, near)
        moved = np.where(rng.random(near.shape) < 0.03, rng.random(near.shape), moved)
        found = problem.losses(space.decode(np.clip(moved, 0, 1)), 1.0).reshape(len(points), 200)
        chosen = found.argmin(axis=1)
        better = found.min(axis=1) < values
        values = np.where(better, found.min(axis=1), values)
        points = np.where(better[:, None], moved.reshape(len(points), 200, -1)[np.arange(20), chosen], points)
    return float(np.clip(values.min(), None, losses.min()))


class Scores:
    """Regrets of several searchers on several problems, paired by seed.

    Args:
        results: Whatever was run; what is incomplete is left out, and so is a problem that a searcher does
            not take.
    """

    def __init__(
        self, results: Mapping[Run, Result], searchers: Iterable[str], problems: Iterable[str], at_once: int
    ) -> None:
        by_key = {
            (run.problem, run.searcher, run.seed): result
            for run, result in results.items()
            if run.at_once == at_once
        }
        self.searchers = [name for name in searchers if any(key[1] == name for key in by_key)]
        found = {name for _, name, _ in by_key}
        least = self._least(results.values())
        self.problems: list[str] = []
        self.seeds: dict[str, list[int]] = {}
        self._regrets: dict[str, Floats] = {}  # by problem, shape (searchers, seeds, budgets)
        self.cpu_ms = {
            name: float(
                np.mean([r.cpu_ms for key, r in by_key.items() if key[1] == name and r.losses] or [0])
            )
            for name in found
        }
        for problem in problems if self.searchers else ():
            seeds = sorted(
                {key[2] for key in by_key if key[0] == problem}
                & set.intersection(
                    *(
                        {key[2] for key, r in by_key.items() if key[:2] == (problem, name) and r.losses}
                        for name in self.searchers
                    )
                )
            )
            if not seeds:
                continue
            rows = [[by_key[problem, name, seed].losses for seed in seeds] for name in self.searchers]
            budgets = min(len(losses) for row in rows for losses in row)
            losses = np.array([[values[:budgets] for values in row] for row in rows])
            scale = normaliser(problem)
            scale = Normaliser(min(scale.least, least.get(problem, scale.least)), scale.median)
            self.problems.append(problem)
            self.seeds[problem] = seeds
            self._regrets[problem] = scale.regret(losses)

    @staticmethod
    def _least(results: Iterable[Result]) -> dict[str, float]:
        """The least loss that any run found, by problem: a surrogate's may be below the long search's."""
        least: dict[str, float] = {}
        for result in results:
            if result.losses:
                name = result.run.problem
                least[name] = min(least.get(name, np.inf), *result.losses)
        return least

    @property
    def budgets(self) -> int:
        """How many of the budgets all runs reached."""
        return min((each.shape[2] for each in self._regrets.values()), default=0)

    def means(self, problems: Iterable[str] | None = None) -> Floats:
        """Mean regret over problems, shape (searchers, budgets)."""
        chosen = [self._regrets[name].mean(axis=1)[:, : self.budgets] for name in problems or self.problems]
        return np.mean(chosen, axis=0)

    def mean_ranks(self) -> Floats:
        """Over all problems and seeds, 1 is best; shape (searchers, budgets)."""
        each = [ranks(self._regrets[name][:, :, : self.budgets]).mean(axis=1) for name in self.problems]
        return np.mean(each, axis=0)

    def intervals(self, *, of_ranks: bool = False, draws: int = 1_000) -> tuple[Floats, Floats]:
        """95 % of the mean over new seeds of the same problems, by the bootstrap.

        Both of shape (searchers, budgets).
        """
        rng = np.random.default_rng(0)
        found = []
        for _ in range(draws):
            means = []
            for name in self.problems:
                regrets = self._regrets[name][:, :, : self.budgets]
                values = ranks(regrets) if of_ranks else regrets
                drawn = rng.integers(values.shape[1], size=values.shape[1])
                means.append(values[:, drawn].mean(axis=1))
            found.append(np.mean(means, axis=0))
        low, high = np.percentile(found, [2.5, 97.5], axis=0)
        return low, high


def ranks(values: Floats) -> Floats:
    """Along the first axis, from 1; equal ones share their mean rank."""
    below = (values[None] < values[:, None]).sum(axis=1)
    equal = (values[None] == values[:, None]).sum(axis=1)
    return below + (equal + 1) / 2
