"""Quality beside random search and Optuna's TPE: `python compare_tpe.py [seeds]`, a few minutes for 20.

Prints the mean best loss after 25, 50, 100 and 200 trials on functions with known optima. Run by hand: what
it prints is for judging a change of the algorithm, and synthetic functions rank tuners otherwise than
real problems do, so look at both.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tune_random.tuner import RandomTuner
from tune_tpe.tuner import TPETuner

from tune_core import AskTell, Tuner

BUDGETS = (25, 50, 100, 200)

HARTMANN_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])


def spec(kind: str, *value: Any) -> dict[str, Any]:
    return {"_type": kind, "_value": list(value)}


def vector(parameters: dict[str, float]) -> NDArray[np.float64]:
    return np.array([parameters[f"x{i}"] for i in range(len(parameters))])


def branin(p: Any) -> float:
    """Least value 0.397887."""
    x, y = p["x"], p["y"]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def hartmann6(p: Any) -> float:
    """Least value -3.32237."""
    return -float(HARTMANN_WEIGHTS @ np.exp(-(HARTMANN_A * (vector(p) - HARTMANN_P) ** 2).sum(axis=1)))


def rosenbrock10(p: Any) -> float:
    """Least value 0."""
    x = vector(p)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def models(p: Any) -> float:
    """A choice of models with their own parameters; the best, net with sgd, has the least value 0.14."""
    model, loss = p["model"], 0.15 * (math.log10(p["lr"]) + 2.3) ** 2 + 0.05 * (p["prepare"] != "standard")
    if model["_name"] == "svm":
        return float(
            loss
            + 0.25
            + 0.04 * (math.log10(model["C"]) - 1) ** 2
            + 0.04 * (math.log10(model["gamma"]) + 2) ** 2
        )
    if model["_name"] == "forest":
        split = 0.05 * (model["criterion"] != "gini")
        return float(
            loss + 0.2 + 0.001 * abs(model["depth"] - 11) + split + 0.3 * (model["share"] - 0.4) ** 2
        )
    loss += 0.12 + 0.03 * (math.log2(model["width"]) - 7) ** 2 + 0.06 * abs(model["layers"] - 3)
    step = model["optimizer"]
    if step["_name"] == "sgd":
        return float(loss + 0.02 + 0.5 * (step["momentum"] - 0.9) ** 2)
    return float(loss + 0.04 + 0.05 * abs(math.log10(step["eps"]) + 7))


MODELS = {
    "model": spec(
        "choice",
        {"_name": "svm", "C": spec("loguniform", 1e-3, 1e3), "gamma": spec("loguniform", 1e-5, 10)},
        {
            "_name": "forest",
            "depth": spec("randint", 1, 30),
            "criterion": spec("choice", "gini", "entropy"),
            "share": spec("uniform", 0.1, 1),
        },
        {
            "_name": "net",
            "width": spec("loguniform", 8, 1024),
            "layers": spec("randint", 1, 8),
            "optimizer": spec(
                "choice",
                {"_name": "sgd", "momentum": spec("uniform", 0, 1)},
                {"_name": "adam", "eps": spec("loguniform", 1e-9, 1e-3)},
            ),
        },
    ),
    "lr": spec("loguniform", 1e-5, 1),
    "prepare": spec("choice", "standard", "minmax", "none"),
}

PROBLEMS: dict[str, tuple[Callable[[Any], float], dict[str, Any]]] = {
    "branin": (branin, {"x": spec("uniform", -5, 10), "y": spec("uniform", 0, 15)}),
    "hartmann6": (hartmann6, {f"x{i}": spec("uniform", 0, 1) for i in range(6)}),
    "rosenbrock10": (rosenbrock10, {f"x{i}": spec("uniform", -5, 10) for i in range(10)}),
    "models (nested)": (models, MODELS),
}


def tuned(tuner: Tuner, loss: Callable[[Any], float], space: dict[str, Any], seed: int) -> list[float]:
    """The losses of one run."""
    search = AskTell(tuner, space, mode="minimize", seed=seed)
    found = []
    while len(found) < BUDGETS[-1]:
        asked = search.ask()
        assert asked is not None
        found.append(loss(asked.parameters))
        search.tell(asked, found[-1])
    return found


def optunas(loss: Callable[[Any], float], space: dict[str, Any], seed: int) -> list[float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(lambda trial: loss(_suggest(trial, space, "")), n_trials=BUDGETS[-1])
    return [trial.value for trial in study.trials]


def _suggest(trial: Any, space: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (kind, value) in (
        (name, tuple(spec.values())) for name, spec in space.items() if name != "_name"
    ):
        here = f"{path}{name}"
        if kind == "choice" and isinstance(value[0], dict):
            branch = trial.suggest_categorical(here, [option["_name"] for option in value])
            inside = next(option for option in value if option["_name"] == branch)
            found[name] = {"_name": branch, **_suggest(trial, inside, f"{here}.{branch}.")}
        elif kind == "choice":
            found[name] = trial.suggest_categorical(here, value)
        elif kind == "randint":
            found[name] = trial.suggest_int(here, value[0], value[1] - 1)
        else:
            found[name] = trial.suggest_float(here, *value, log=kind == "loguniform")
    return found


def main(seeds: int) -> None:
    runs = {
        "random": lambda *problem: tuned(RandomTuner(), *problem),
        "tune-tpe": lambda *problem: tuned(TPETuner(), *problem),
        "optuna TPE": optunas,
    }
    print(f"mean best loss over {seeds} seeds after {', '.join(map(str, BUDGETS))} trials")
    for problem, (loss, space) in PROBLEMS.items():
        for name, run in runs.items():
            curves = np.minimum.accumulate([run(loss, space, seed) for seed in range(seeds)], axis=1)
            means = "  ".join(f"{curves[:, budget - 1].mean():10.4f}" for budget in BUDGETS)
            print(f"{problem:16} {name:10} {means}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
