"""Fronts beside NSGA-II, random search and Optuna's: `python compare_many.py [seeds]`, some minutes for 5.

Prints the mean share of the attainable hypervolume after 50, 100 and 200 trials, or with constraints and one
objective the mean best feasible loss. Run by hand: it is for judging a change of the algorithm.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from tune_nsga2.tuner import NSGA2Tuner
from tune_random.tuner import RandomTuner
from tune_tpe.tuner import TPETuner

from tune_core import AskTell
from tune_core.front import hypervolume

BUDGETS = (50, 100, 200)

Results = list[dict[str, float]]


def zdt1(x: np.ndarray) -> dict[str, float]:
    """Two objectives, Zitzler, Deb and Thiele (2000)."""
    g = 1.0 + 9.0 * float(x[1:].mean())
    return {"f0": float(x[0]), "f1": g * (1.0 - math.sqrt(float(x[0]) / g))}


def zdt3(x: np.ndarray) -> dict[str, float]:
    """The same with a front in five pieces."""
    g, a = 1.0 + 9.0 * float(x[1:].mean()), float(x[0])
    return {"f0": a, "f1": g * (1.0 - math.sqrt(a / g) - a / g * math.sin(10 * math.pi * a))}


def dtlz2(x: np.ndarray) -> dict[str, float]:
    """Three objectives, Deb, Thiele, Laumanns and Zitzler (2002)."""
    g = 1.0 + float(((x[2:] - 0.5) ** 2).sum())
    a, b = float(x[0]) * math.pi / 2, float(x[1]) * math.pi / 2
    return {"f0": g * math.cos(a) * math.cos(b), "f1": g * math.cos(a) * math.sin(b), "f2": g * math.sin(a)}


def welded(x: np.ndarray) -> dict[str, float]:
    """Zdt1 where half of the front breaks a constraint."""
    return {**zdt1(x), "c": 0.5 - float(x[0])}


def gardner(x: np.ndarray) -> dict[str, float]:
    """One objective and one constraint, Gardner et al. (2014), problem 2: feasible in small patches; the
    best feasible value is about 0.26."""
    a, b = 6.0 * float(x[0]), 6.0 * float(x[1])
    return {"f0": math.sin(a) + b, "c": math.sin(a) * math.sin(b) + 0.95}


def disc(x: np.ndarray) -> dict[str, float]:
    """A bowl whose least point lies outside of a small disc; the best feasible value is 0.355."""
    distance = float(np.sqrt(((x - 0.2) ** 2).sum()))
    return {"f0": float(((x - 0.7) ** 2).sum()), "c": distance - 0.4}


# Objectives, parameters, the corner from which the volume is measured (None: one objective), and the volume.
PROBLEMS: dict[str, tuple[Callable[[np.ndarray], dict[str, float]], int, tuple[float, ...] | None, float]] = {
    "zdt1": (zdt1, 6, (1.1, 1.1), 1.21 - 1 / 3),
    "zdt3": (zdt3, 6, (1.1, 1.1), 1.33),
    "dtlz2": (dtlz2, 6, (1.1, 1.1, 1.1), 1.331 - math.pi / 6),
    "zdt1 constrained": (welded, 6, (1.1, 0.5), 0.6 * 0.5 - (0.5 - 2 / 3 * (1 - 0.5**1.5))),
    "gardner": (gardner, 2, None, 0.0),
    "disc": (disc, 4, None, 0.0),
}


def ours(make: Callable[[], Any], name: str, trials: int, seed: int) -> Results:
    problem, dimensions, corner, _ = PROBLEMS[name]
    space = {f"x{number}": {"_type": "uniform", "_value": [0, 1]} for number in range(dimensions)}
    keys = [f"f{number}" for number in range(len(corner) if corner else 1)]
    constraints = {"c": {"max": 0}} if "c" in problem(np.zeros(dimensions)) else {}
    search = AskTell(make(), space, mode=dict.fromkeys(keys, "minimize"), constraints=constraints, seed=seed)
    told = []
    for _ in range(trials):
        asked = search.ask()
        assert asked is not None
        told.append(problem(np.array(list(asked.parameters.values()))))
        search.tell(asked, told[-1])
    return told


def optunas(name: str, trials: int, seed: int) -> Results:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    problem, dimensions, corner, _ = PROBLEMS[name]
    sampler = optuna.samplers.TPESampler(
        seed=seed, multivariate=True, constraints_func=lambda trial: trial.user_attrs["c"]
    )
    study = optuna.create_study(directions=["minimize"] * (len(corner) if corner else 1), sampler=sampler)
    told = []

    def objective(trial: Any) -> Any:
        told.append(problem(np.array([trial.suggest_float(f"x{i}", 0, 1) for i in range(dimensions)])))
        trial.set_user_attr("c", (told[-1].get("c", -1.0),))
        return tuple(value for key, value in told[-1].items() if key != "c")

    study.optimize(objective, n_trials=trials)
    return told


def quality(name: str, results: Results) -> float:
    """The share of the volume; for one objective the best feasible value."""
    _, _, corner, volume = PROBLEMS[name]
    feasible = [each for each in results if each.get("c", 0.0) <= 0]
    if corner is None:
        return min((each["f0"] for each in feasible), default=math.nan)
    return hypervolume([[each[f"f{i}"] for i in range(len(corner))] for each in feasible], corner) / volume


def main() -> None:
    """Run everything and print a table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    searchers: dict[str, Callable[[str, int, int], Results]] = {
        "tpe": lambda name, trials, seed: ours(TPETuner, name, trials, seed),
        "nsga2": lambda name, trials, seed: ours(lambda: NSGA2Tuner(population_size=20), name, trials, seed),
        "random": lambda name, trials, seed: ours(_Random, name, trials, seed),
        "optuna": optunas,
    }
    print(f"{'':18}" + "".join(f"{searcher:>22}" for searcher in searchers))
    for name in PROBLEMS:
        cells = []
        for search in searchers.values():
            runs = [search(name, BUDGETS[-1], seed) for seed in range(seeds)]
            means = [np.nanmean([quality(name, run[:budget]) for run in runs]) for budget in BUDGETS]
            cells.append("  ".join(f"{mean:.3f}" for mean in means))
        print(f"{name:18}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


class _Random(RandomTuner):
    many_objectives = True  # what it hears does not matter to it


if __name__ == "__main__":
    main()
