"""CPU time of ask and tell after 100, 1,000 and 10,000 trials, of all that take twenty mixed parameters.

Each tuner is handed the trials as finished ones, by what it imports; then a few more are asked and told, and
the median counts. A searcher that takes long is asked less often, and not again with more trials.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from hpo.page import table, write_part
from hpo.problems import spec
from hpo.searchers import installed

from tune_core import AskTell, SearchSpace, TuneError
from tune_core.plugins import plugins

__all__ = ["main"]

SIZES = (100, 1_000, 10_000)
MOST_STEPS = 24  # a multiple of eight: SMAC learns at every eighth
LONGEST_S = 60.0  # what one figure may take, and what is too slow to go on with, in CPU time

SPACE = {
    **{f"u{i}": spec("uniform", 0, 10) for i in range(6)},
    **{f"l{i}": spec("loguniform", 1e-5, 1) for i in range(4)},
    **{f"r{i}": spec("randint", 0, 10) for i in range(3)},
    **{f"q{i}": spec("quniform", 0, 10, 0.5) for i in range(2)},
    **{f"c{i}": spec("choice", "a", "b", "c") for i in range(5)},
}

Step = Callable[[], None]


def loss(parameters: Any) -> float:
    values = [parameters[name] for name in SPACE]  # and not a budget or a folder beside them
    return float(sum(ord(value) % 7 if isinstance(value, str) else value for value in values))


def points(size: int) -> list[tuple[dict[str, Any], float]]:
    space, rng = SearchSpace.parse(SPACE), np.random.default_rng(0)
    return [(point, loss(point)) for point in space.decode(rng.random((size, space.dimensions)))]


def ours(name: str, size: int) -> Step:
    search = AskTell(name, SPACE, mode="minimize")
    search.add(points(size))

    def step() -> None:
        asked = search.ask()
        assert asked is not None
        search.tell(asked, loss(asked.parameters))

    return step


def optunas(name: str, size: int) -> Step:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    of = optuna.distributions
    distributions: dict[str, Any] = {}
    for key, each in SPACE.items():
        kind, value = each["_type"], each["_value"]
        if kind == "choice":
            distributions[key] = of.CategoricalDistribution(value)
        elif kind == "randint":
            distributions[key] = of.IntDistribution(value[0], value[1] - 1)
        else:
            step_size = value[2] if kind == "quniform" else None
            distributions[key] = of.FloatDistribution(*value[:2], log=kind == "loguniform", step=step_size)
    study = optuna.create_study(sampler=getattr(optuna.samplers, name)(seed=0))
    made = optuna.trial.create_trial
    study.add_trials(
        [made(params=point, distributions=distributions, value=value) for point, value in points(size)]
    )

    def step() -> None:
        trial = study.ask(distributions)
        study.tell(trial, loss(trial.params))

    return step


def measure(name: str, size: int) -> float | None:
    """Median CPU milliseconds of a step; of SMAC's the mean, most of them being free. None: not for it."""
    try:
        peer = {"optuna TPE": "TPESampler", "optuna GP": "GPSampler"}.get(name)
        step = ours(name, size) if peer is None else optunas(peer, size)
    except TuneError:
        return None  # it does not take this space
    times: list[float] = []
    while len(times) < MOST_STEPS and sum(times) < LONGEST_S:
        before = time.process_time()
        try:
            step()
        except (TuneError, AssertionError):
            return None  # it has a form of its own, or waits for results
        times.append(time.process_time() - before)
    return 1000 * (statistics.mean(times) if name == "SMAC" else statistics.median(times))


def main(chosen: argparse.Namespace) -> None:
    """Measure all that is installed, and print and write the table."""
    path, wanted = chosen.results / "latency.jsonl", chosen.searchers
    tuners = sorted(found.driver.name for kind in ("tuner", "advisor") for found in plugins().all(kind))
    peers = [name for name in ("optuna TPE", "optuna GP") if name in installed()]
    names = [name for name in (*tuners, *peers) if not wanted or name in wanted]
    rows = []
    path.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(chosen.workers, mp_context=context) as pool, path.open("a") as file:
        for name, figures in zip(names, pool.map(all_sizes, names), strict=True):
            file.write(json.dumps({"name": name, "ms": figures}) + "\n")
            file.flush()
            if figures[0] is not None:
                rows.append([name, *("-" if ms is None else f"{ms:,.1f}" for ms in figures)])
    text = table(["CPU ms of ask and tell after", *(f"{size:,} trials" for size in SIZES)], rows)
    print(text)
    if not chosen.no_page:
        write_part("latency", text)


def all_sizes(name: str) -> list[float | None]:
    found: list[float | None] = []
    for size in SIZES:
        too_slow = bool(found) and (found[-1] is None or found[-1] > 1000 * LONGEST_S / MOST_STEPS)
        found.append(None if too_slow else measure(name, size))
    return found
