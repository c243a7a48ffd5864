"""Quality beside other tuners: `python compare_auto.py results.jsonl --seeds 5 --methods GP Auto optuna-gp`.

Runs what is not yet in the file of results, and prints the mean normalised regret (0 the best known, 1 the
median of random points) and the mean rank after 25, 50, 100 and 200 trials. Peers are compared with where
they are installed. Regret is without noise.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from problems import Problem, problems

from tune_core import AskTell
from tune_core.space import SearchSpace

BUDGETS = (25, 50, 100, 200)


class Told:
    """What a tuner is told.

    Attributes:
        losses: The least so far after each trial, without noise.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem, self._rng = problem, np.random.default_rng(seed + 1000)
        self.losses: list[float] = []

    def __call__(self, parameters: Any) -> float:
        loss = self._problem.loss(parameters)
        told = loss + self._problem.noise * float(self._rng.standard_normal())
        self.losses.append(min([loss, *self.losses[-1:]]))
        return told


def ours(name: str, problem: Problem, seed: int, trials: int, at_once: int, arguments: Any) -> Told:
    search = AskTell(name, problem.space, mode="minimize", seed=seed, arguments=arguments)
    told = Told(problem, seed)
    running: list[Any] = []
    while len(told.losses) < trials:
        while len(running) < at_once:
            running.append(search.ask())
        first = running.pop(0)
        search.tell(first, told(first.parameters))
    return told


def optunas(name: str, problem: Problem, seed: int, trials: int, at_once: int) -> Told:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    kinds = {"optuna-gp": optuna.samplers.GPSampler, "optuna-tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(sampler=kinds[name](seed=seed))
    told = Told(problem, seed)
    running: list[Any] = []
    while len(told.losses) < trials:
        while len(running) < at_once:
            trial = study.ask()
            running.append((trial, _suggest(trial, problem.space, "")))
        trial, parameters = running.pop(0)
        study.tell(trial, told(parameters))
    return told


def _suggest(trial: Any, space: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in space.items():
        if name == "_name":
            continue
        kind, value, here = each["_type"], each["_value"], f"{path}{name}"
        if kind == "choice" and isinstance(value[0], dict):
            branch = trial.suggest_categorical(here, [option["_name"] for option in value])
            inside = next(option for option in value if option["_name"] == branch)
            found[name] = {"_name": branch, **_suggest(trial, inside, f"{here}.{branch}.")}
        elif kind == "choice":
            found[name] = trial.suggest_categorical(here, value)
        elif kind == "randint":
            found[name] = trial.suggest_int(here, value[0], value[1] - 1)
        elif kind == "quniform":
            found[name] = trial.suggest_float(here, value[0], value[1], step=value[2])
        else:
            found[name] = trial.suggest_float(here, *value, log=kind == "loguniform")
    return found


def run(method: str, problem: Problem, seed: int, trials: int, at_once: int) -> dict[str, Any]:
    """One run. `method` is `optuna-...`, or a tuner of ours with its arguments behind a colon, as JSON."""
    before = time.process_time()
    if method.startswith("optuna-"):
        told = optunas(method, problem, seed, trials, at_once)
    else:
        label, _, arguments = method.partition(":")
        name = label.partition("@")[0]  # GP@later is GP under another label
        told = ours(name, problem, seed, trials, at_once, json.loads(arguments or "{}"))
    seconds = time.process_time() - before
    return {
        "method": method,
        "problem": problem.name,
        "seed": seed,
        "at_once": at_once,
        "ms": 1000 * seconds / trials,
        "losses": told.losses,
    }


def results(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text().splitlines():
            yield json.loads(line)


def report(path: Path, methods: list[str], at_once: int, tasks: list[Problem], seeds: int) -> None:
    """Means over the problems and seeds that all methods have run."""
    found: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
    for each in results(path):
        if each["at_once"] == at_once and each["seed"] < seeds:
            found[each["problem"], each["seed"]][each["method"]] = each
    shared = {key: runs for key, runs in found.items() if all(method in runs for method in methods)}
    for budget in BUDGETS:
        print(f"\nafter {budget}, {at_once} at once; {len(shared)} runs of each")
        rows, ranks = [], defaultdict(list)
        for task in tasks:
            runs = [value for (name, _), value in shared.items() if name == task.name]
            runs = [each for each in runs if all(len(each[m]["losses"]) >= budget for m in methods)]
            if not runs:
                continue
            table = np.array([[task.regret(each[m]["losses"][budget - 1]) for m in methods] for each in runs])
            rows.append(table.mean(axis=0))
            order = np.array([[(r < x).sum() + 0.5 * ((r == x).sum() + 1) for x in r] for r in table])
            for number, method in enumerate(methods):
                ranks[method] += list(order[:, number])
            print(f"{task.name:16}" + "".join(f"{x:14.4f}" for x in rows[-1]))
        if rows:
            print(f"{'mean':16}" + "".join(f"{x:14.4f}" for x in np.mean(rows, axis=0)))
            print(f"{'mean rank':16}" + "".join(f"{np.mean(ranks[m]):14.2f}" for m in methods))
    cost = defaultdict(list)
    for runs in shared.values():
        for method in methods:
            cost[method].append(runs[method]["ms"])
    print(f"{'CPU ms':16}" + "".join(f"{np.mean(cost[m]):14.1f}" for m in methods))
    print(f"{'':16}" + "".join(f"{m[:13]:>14}" for m in methods))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--methods", nargs="+", default=["Random", "TPE", "GP", "Auto"])
    parser.add_argument("--problems", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=1)
    options = parser.parse_args()
    chosen = [p for p in problems() if not options.problems or p.name.split()[0] in options.problems]
    done = {
        (each["method"], each["problem"], each["seed"], each["at_once"])
        for each in results(options.results)
        if len(each["losses"]) >= options.trials
    }
    for seed in range(options.seeds):
        for problem in chosen:
            for method in options.methods:
                if (method, problem.name, seed, options.at_once) in done:
                    continue
                SearchSpace.parse(problem.space)
                line = run(method, problem, seed, options.trials, options.at_once)
                with options.results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
    report(options.results, options.methods, options.at_once, chosen, options.seeds)


if __name__ == "__main__":
    main()
