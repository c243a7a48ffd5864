"""Searchers that train most configurations only for a while, on the surrogates, in budgets of full trainings.

A trial of ours begins anew with its budget, and costs that. One of optuna's is a single training that may be
stopped, and costs how far it came. What counts is the true loss, after a full training, of the configuration
that did best on the largest budget so far.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hpo.page import table, write_part
from hpo.problems import Problem, all_problems
from hpo.scores import normaliser
from hpo.searchers import installed, suggest

from tune_core import AskTell, NoMoreTrial
from tune_core.plugins import plugins

__all__ = ["main"]

FULL = 27  # budget of a full training
RUNGS = (1, 3, 9, 27)
COSTS = (10, 20, 50)  # full trainings


class Tried(NamedTuple):
    """A configuration after some training. `cost` is in full trainings, since the last one of these."""

    parameters: dict[str, Any]
    budget: int
    loss: float
    cost: float


def advised(name: str, problem: Problem, seed: int) -> Iterator[Tried]:
    """An advisor of ours that hands out budgets."""
    arguments = {"max_budget" if name == "BOHB" else "R": FULL}
    search = AskTell(name, problem.space, mode="minimize", seed=seed, arguments=arguments)
    while (asked := search.ask()) is not None:
        parameters = {key: value for key, value in asked.parameters.items() if key in problem.space}
        budget = asked.parameters["TRIAL_BUDGET"]
        loss = problem.loss(parameters, max(budget / FULL, 0.03))
        search.tell(asked, loss)
        yield Tried(parameters, budget, loss, budget / FULL)


def tuned(name: str, problem: Problem, seed: int) -> Iterator[Tried]:
    """A tuner of ours, with full trainings."""
    search = AskTell(name, problem.space, mode="minimize", seed=seed)
    while (asked := search.ask()) is not None:
        loss = problem.loss(asked.parameters)
        search.tell(asked, loss)
        yield Tried(asked.parameters, FULL, loss, 1.0)


def pruned(pruner: str, problem: Problem, seed: int) -> Iterator[Tried]:
    """Optuna's TPE with one of its pruners."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    made = {
        "ASHA": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
        "Hyperband": lambda: optuna.pruners.HyperbandPruner(1, FULL, 3),
        "median": optuna.pruners.MedianPruner,
        "no pruner": optuna.pruners.NopPruner,
    }[pruner]()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=made)
    while True:
        trial = study.ask()
        parameters = suggest(trial, problem.space)
        before = 0
        for rung in RUNGS:
            loss = problem.loss(parameters, max(rung / FULL, 0.03))
            trial.report(loss, rung)
            yield Tried(parameters, rung, loss, (rung - before) / FULL)
            before = rung
            if rung < FULL and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, loss)


Search = Callable[[str, Problem, int], Iterator[Tried]]


def searches() -> dict[str, tuple[Search, str]]:
    """By the name in the table, what is installed."""
    found: dict[str, tuple[Search, str]] = {}
    advisors = {each.driver.name for each in plugins().all("advisor")}
    for name in ("Hyperband", "ASHA", "BOHB", "DEHB"):
        if name in advisors:
            found[name] = advised, name
    for name in ("Auto", "GP", "TPE", "Random"):
        if name in installed():
            found[f"{name}, full trainings"] = tuned, name
    if "optuna TPE" in installed():
        for pruner in ("ASHA", "Hyperband", "median", "no pruner"):
            found[f"optuna TPE, {pruner}"] = pruned, pruner
    return found


def run_one(run: tuple[str, str, int]) -> list[float]:
    """True losses after each of COSTS."""
    problem_name, name, seed = run
    problem = all_problems()[problem_name]
    search, what = searches()[name]
    spent, best, found = 0.0, (0, np.inf), []
    chosen: dict[str, Any] = {}
    tried = search(what, problem, seed)
    try:
        while len(found) < len(COSTS):
            each = next(tried)
            spent += each.cost
            if each.budget > best[0] or (each.budget == best[0] and each.loss < best[1]):
                best, chosen = (each.budget, each.loss), each.parameters
            while len(found) < len(COSTS) and spent >= COSTS[len(found)] - 1e-9:
                found.append(problem.loss(chosen))
    except (StopIteration, NoMoreTrial):
        found += [problem.loss(chosen)] * (len(COSTS) - len(found))
    return found


def main(chosen: argparse.Namespace) -> None:
    """Run what is not known yet, and print and write the table."""
    path, seeds = chosen.results / "fidelity.jsonl", chosen.seeds
    split = [each for each in all_problems().values() if each.is_final == chosen.final]
    problems = [each.name for each in split if each.has_fidelity]
    if not problems:
        print("no multi-fidelity problems without the surrogates")
        return
    names = list(searches())
    runs = [(problem, name, seed) for problem in problems for name in names for seed in range(seeds)]
    known = _read(path)
    waiting = [run for run in runs if run not in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(chosen.workers, mp_context=context) as pool, path.open("a") as file:
        for run, losses in zip(waiting, pool.map(run_one, waiting), strict=True):
            known[run] = losses
            file.write(json.dumps({"run": run, "losses": losses}) + "\n")
            file.flush()
    rows = []
    for name in names:
        regrets = [
            normaliser(problem).regret(np.array([known[problem, name, seed] for seed in range(seeds)]))
            for problem in problems
        ]
        rows.append([name, *(f"{value:.3f}" for value in np.mean(regrets, axis=(0, 1)))])
    text = f"{len(problems)} surrogates, {seeds} seeds: {', '.join(problems)}.\n\n"
    text += table(["mean regret after full trainings", *map(str, COSTS)], rows)
    print(text)
    if not chosen.no_page:
        write_part("fidelity-final" if chosen.final else "fidelity", text)


def _read(path: Path) -> dict[tuple[str, str, int], list[float]]:
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            fields = json.loads(line)
            found[tuple(fields["run"])] = fields["losses"]
        except (ValueError, KeyError, TypeError):
            continue  # a line that was cut off
    return found  # type: ignore[return-value] (what is written here)
