"""What is optimised: functions with a known optimum, and surrogates of real training runs (YAHPO Gym).

The problems are split. *Development* ones may be looked at while a tuner is built. *Final* ones are run once
a release, to say how good it is; a tuner that was changed in view of them has to name others.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Problem", "all_problems", "surrogates_folder"]

Configuration = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A loss to minimise.

    Attributes:
        kind: `function` or `surrogate`.
        losses: Of configurations, without noise; for surrogates at a share of a full training in (0, 1].
        least: The least loss, None where nobody knows.
        noise: Standard deviation of what a trial reports about its loss.
        has_fidelity: Whether a share of a training tells something.
    """

    name: str
    kind: str
    space: dict[str, Any]
    losses: Callable[[Sequence[Configuration], float], NDArray[np.float64]]
    least: float | None = None
    noise: float = 0.0
    is_final: bool = False
    has_fidelity: bool = False

    def loss(self, configuration: Configuration, fidelity: float = 1.0) -> float:
        return float(self.losses([configuration], fidelity)[0])


def spec(kind: str, *value: Any) -> dict[str, Any]:
    return {"_type": kind, "_value": list(value)}


def _reals(n: int, low: float, high: float) -> dict[str, Any]:
    return {f"x{i}": spec("uniform", low, high) for i in range(n)}


def _vector(p: Configuration) -> NDArray[np.float64]:
    return np.array([p[f"x{i}"] for i in range(len(p))])


def branin(p: Configuration) -> float:
    x, y = 15 * p["x0"] - 5, 15 * p["x1"]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


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


def hartmann6(p: Configuration) -> float:
    return -float(HARTMANN_WEIGHTS @ np.exp(-(HARTMANN_A * (_vector(p) - HARTMANN_P) ** 2).sum(axis=1)))


def rosenbrock(p: Configuration) -> float:
    x = _vector(p)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def ackley(p: Configuration) -> float:
    x = _vector(p)
    waves = math.exp(np.cos(2 * math.pi * x).mean())
    return float(20 - 20 * math.exp(-0.2 * math.sqrt((x**2).mean())) + math.e - waves)


def levy(p: Configuration) -> float:
    w = 1 + (_vector(p) - 1) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2)).sum()
    end = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return float(math.sin(math.pi * w[0]) ** 2 + middle + end)


def models(p: Configuration) -> float:
    """A choice of models with parameters of their own; a net with sgd is the best, 0.14."""
    model, loss = p["model"], 0.15 * (math.log10(p["lr"]) + 2.3) ** 2 + 0.05 * (p["prepare"] != "standard")
    if model["_name"] == "svm":
        loss += 0.25 + 0.04 * (math.log10(model["C"]) - 1) ** 2
        return float(loss + 0.04 * (math.log10(model["gamma"]) + 2) ** 2)
    if model["_name"] == "forest":
        loss += 0.2 + 0.001 * abs(model["depth"] - 11) + 0.05 * (model["criterion"] != "gini")
        return float(loss + 0.3 * (model["share"] - 0.4) ** 2)
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


def pipeline(p: Configuration) -> float:
    """Two nested choices that depend on one another; kernel features before a linear model are best, 0."""
    before, model = p["before"], p["model"]
    loss = 0.3 * (math.log10(p["penalty"]) + 3) ** 2 / 9
    if before["_name"] == "pca":
        loss += 0.3 + 0.4 * (before["kept"] - 0.8) ** 2
    elif before["_name"] == "kernel":
        loss += 0.1 * (model["_name"] == "boost") + 0.02 * (math.log2(before["width"]) + 3) ** 2
        loss += 0.001 * abs(before["features"] - 300) / 10
    else:
        loss += 0.25
    if model["_name"] == "boost":
        loss += 0.05 * abs(model["depth"] - 6) + 0.2 * (math.log10(model["rate"]) + 1) ** 2 + 0.02
    return float(loss + 0.1 * (model["_name"] == "linear" and before["_name"] == "none"))


PIPELINE = {
    "before": spec(
        "choice",
        {"_name": "none"},
        {"_name": "pca", "kept": spec("uniform", 0.1, 1)},
        {
            "_name": "kernel",
            "width": spec("loguniform", 2**-10, 2**5),
            "features": spec("quniform", 50, 1000, 50),
        },
    ),
    "model": spec(
        "choice",
        {"_name": "linear"},
        {"_name": "boost", "depth": spec("randint", 1, 16), "rate": spec("loguniform", 1e-3, 1)},
    ),
    "penalty": spec("loguniform", 1e-7, 10),
}


def _function(name: str, loss: Callable[[Configuration], float], *rest: Any, **more: Any) -> Problem:
    def losses(configurations: Sequence[Configuration], _fidelity: float) -> NDArray[np.float64]:
        return np.array([loss(each) for each in configurations])

    return Problem(name, "function", rest[0], losses, rest[1], **more)


def _functions() -> Iterator[Problem]:
    unit6 = _reals(6, 0, 1)
    yield _function("branin", branin, _reals(2, 0, 1), 0.397887)
    yield _function("hartmann6", hartmann6, unit6, -3.32237)
    yield _function("rosenbrock10", rosenbrock, _reals(10, -5, 10), 0.0)
    # Not around 0: a tuner that begins in the middle would find it there.
    yield _function("ackley20", ackley, _reals(20, -20, 40), 0.0)
    yield _function("models (nested)", models, MODELS, 0.14)
    yield _function("hartmann6 (noisy)", hartmann6, unit6, -3.32237, noise=0.3)
    yield _function("levy8", levy, _reals(8, -10, 7), 0.0, is_final=True)
    yield _function("pipeline (nested)", pipeline, PIPELINE, 0.0, is_final=True)


# YAHPO Gym 1.0, two scenarios; by task, whether it is a final one.
TASKS = {
    "iaml_glmnet": {"41146": False, "40981": False, "1067": True, "1489": True},
    "rbv2_rpart": {
        **dict.fromkeys(("40499", "1476", "6", "1040"), False),
        **dict.fromkeys(("12", "15", "300", "40927", "41161", "470"), True),
    },
}
SPACES = {
    "iaml_glmnet": {"alpha": spec("uniform", 0, 1), "s": spec("loguniform", 1e-4, 1e3)},
    "rbv2_rpart": {
        "cp": spec("loguniform", math.exp(-7), 1),
        "maxdepth": spec("randint", 1, 31),
        "minbucket": spec("randint", 1, 101),
        "minsplit": spec("randint", 1, 101),
        "impute": spec("choice", "impute.mean", "impute.median", "impute.hist"),
    },
}


def surrogates_folder() -> Path | None:
    """Where the surrogates are, `data/yahpo` in the folder that TUNE_SHARED names; None: not here."""
    folder = Path(os.environ.get("TUNE_SHARED", "")) / "data" / "yahpo"
    return folder if folder.is_dir() else None


class _Surrogate:
    """The losses of one task; made in the process that uses it."""

    def __init__(self, scenario: str, task: str) -> None:
        self.scenario = scenario
        self.task = task

    def __call__(self, configurations: Sequence[Configuration], fidelity: float) -> NDArray[np.float64]:
        session, codes = _session(self.scenario)
        categories = [[codes["task_id"][self.task]] for _ in configurations]
        if self.scenario == "iaml_glmnet":
            numbers = [[each["alpha"], each["s"], fidelity] for each in configurations]
            column = 2
        else:
            for row, each in zip(categories, configurations, strict=True):
                row.append(codes["num.impute.selected.cpo"][each["impute"]])
            names = ("cp", "maxdepth", "minbucket", "minsplit")
            numbers = [[*(each[name] for name in names), fidelity, 10.0] for each in configurations]
            column = 0
        inputs = [np.array(categories, dtype=np.int32), np.array(numbers, dtype=np.float32)]
        names_of_inputs = [each.name for each in session.get_inputs()]
        [output] = session.run(None, dict(zip(names_of_inputs, inputs, strict=True)))
        return 1.0 - np.asarray(output, dtype=np.float64)[:, column]


@cache
def _session(scenario: str) -> tuple[Any, dict[str, dict[str, int]]]:
    import onnxruntime

    folder = surrogates_folder()
    assert folder is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    codes = json.loads((folder / scenario / "encoding.json").read_text())
    return onnxruntime.InferenceSession(str(folder / scenario / "model.onnx"), options), codes


def _surrogates() -> Iterator[Problem]:
    for scenario, tasks in TASKS.items():
        for task, is_final in tasks.items():
            name = f"{scenario.partition('_')[2]} {task}"
            losses = _Surrogate(scenario, task)
            yield Problem(name, "surrogate", SPACES[scenario], losses, is_final=is_final, has_fidelity=True)


def all_problems() -> dict[str, Problem]:
    """By name; surrogates only where they are."""
    found = [*_functions(), *(_surrogates() if surrogates_folder() else ())]
    return {problem.name: problem for problem in found}
