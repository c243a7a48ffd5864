"""Problems to compare tuners on: functions with known optima, and real training runs as surrogates."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tune_core.space import SearchSpace

Loss = Callable[[Any], float]


@dataclass(frozen=True)
class Problem:
    """A loss over a search space.

    Attributes:
        best: The least loss that is known.
        typical: The median loss of random configurations.
        noise: Standard deviation of what is added to what a tuner is told.
    """

    name: str
    loss: Loss
    space: dict[str, Any]
    best: float
    typical: float
    noise: float = 0.0

    def regret(self, loss: float) -> float:
        return (loss - self.best) / (self.typical - self.best)


def spec(kind: str, *value: Any) -> dict[str, Any]:
    return {"_type": kind, "_value": list(value)}


def reals(n: int, low: float, high: float) -> dict[str, Any]:
    return {f"x{i}": spec("uniform", low, high) for i in range(n)}


def _vector(p: Any) -> Any:
    return np.array([p[f"x{i}"] for i in range(len(p))])


def branin(p: Any) -> float:
    x, y = p["x0"] * 15 - 5, p["x1"] * 15
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(p: Any) -> float:
    return -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(_A * (_vector(p) - _P) ** 2).sum(axis=1)))


def rosenbrock(p: Any) -> float:
    x = _vector(p)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def ackley(p: Any) -> float:
    x = _vector(p)
    x = x - 8 * np.sin(np.arange(len(x)))  # not in the middle, where some tuners begin
    return float(
        20 - 20 * np.exp(-0.2 * np.sqrt((x**2).mean())) + math.e - np.exp(np.cos(2 * math.pi * x).mean())
    )


def models(p: Any) -> float:
    """A choice of models with their own parameters; the best is a net with sgd."""
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

MIXED = {
    "c": spec("choice", "a", "b", "c", "d"),
    "d": spec("choice", "p", "q", "r"),
    "n": spec("randint", 1, 20),
    "x": spec("uniform", -2, 2),
    "lr": spec("loguniform", 1e-5, 1),
    "z": spec("quniform", 0, 10, 0.5),
}


def mixed(p: Any) -> float:
    shift = {"a": 0.0, "b": 0.5, "c": -0.7, "d": 1.1}[p["c"]]
    scale = {"p": 1.0, "q": 1.5, "r": 0.7}[p["d"]]
    return float(
        scale * (p["x"] - shift) ** 2
        + 0.3 * (shift - 0.5) ** 2
        + 0.1 * (math.log10(p["lr"]) + 3 - 0.5 * shift) ** 2
        + 0.02 * abs(p["n"] - 12)
        + 0.03 * abs(p["z"] - 4 - 2 * shift)
        + 0.2 * math.sin(3 * p["x"]) ** 2
    )


def _typical(loss: Loss, space: dict[str, Any], n: int = 4000) -> tuple[float, float]:
    rng, parsed = np.random.default_rng(0), SearchSpace.parse(space)
    losses = [loss(parsed.sample(rng)) for _ in range(n)]
    return float(np.median(losses)), float(np.min(losses))


def _problem(name: str, loss: Loss, space: dict[str, Any], best: float | None, noise: float = 0.0) -> Problem:
    typical, least = _typical(loss, space)
    return Problem(name, loss, space, least if best is None else best, typical, noise)


def _surrogates() -> list[Problem]:
    folder = Path(os.environ.get("TUNE_SHARED", "")) / "data" / "yahpo"
    try:
        import onnxruntime
    except ImportError:
        return []
    if not folder.is_dir():
        return []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    found = []
    for scenario, tasks in (
        ("iaml_glmnet", ("41146", "40981")),
        ("rbv2_rpart", ("40499", "1476", "6")),
    ):
        model = onnxruntime.InferenceSession(str(folder / scenario / "model.onnx"), options)
        codes = json.loads((folder / scenario / "encoding.json").read_text())
        found += [_surrogate(scenario, task, model, codes) for task in tasks]
    return found


def _surrogate(scenario: str, task: str, model: Any, codes: Any) -> Problem:
    names = [each.name for each in model.get_inputs()]

    def output(categories: list[int], numbers: list[float]) -> Any:
        return model.run(
            None,
            {
                names[0]: np.array([categories], dtype=np.int32),
                names[1]: np.array([numbers], dtype=np.float32),
            },
        )[0][0]

    number = codes["task_id"][task]
    if scenario == "iaml_glmnet":
        space = {"alpha": spec("uniform", 0, 1), "s": spec("loguniform", 1e-4, 1e3)}
        return _problem(
            f"glmnet {task}", lambda p: 1 - float(output([number], [p["alpha"], p["s"], 1.0])[2]), space, None
        )
    space = {
        "cp": spec("loguniform", math.exp(-7), 1),
        "maxdepth": spec("randint", 1, 31),
        "minbucket": spec("randint", 1, 101),
        "minsplit": spec("randint", 1, 101),
        "num.impute": spec("choice", "impute.mean", "impute.median", "impute.hist"),
    }
    ways = codes["num.impute.selected.cpo"]

    def loss(p: Any) -> float:
        numbers = [p["cp"], p["maxdepth"], p["minbucket"], p["minsplit"], 1.0, 10.0]
        return 1 - float(output([number, ways[p["num.impute"]]], numbers)[0])

    return _problem(f"rpart {task}", loss, space, None)


def problems() -> list[Problem]:
    return [
        _problem("branin", branin, reals(2, 0, 1), 0.397887),
        _problem("hartmann6", hartmann6, reals(6, 0, 1), -3.32237),
        _problem("rosenbrock10", rosenbrock, reals(10, -5, 10), 0.0),
        _problem("ackley20", ackley, reals(20, -32.768, 32.768), 0.0),
        _problem("models", models, MODELS, 0.14),
        _problem("mixed", mixed, MIXED, None),
        _problem("noisy hartmann6", hartmann6, reals(6, 0, 1), -3.32237, noise=0.3),
        *_surrogates(),
    ]
