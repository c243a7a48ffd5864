"""Running one searcher on one problem with one seed, many of them side by side, and remembering the results.

Results are lines of JSON in a file that only grows: what is there is not run again.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hpo.problems import all_problems
from hpo.searchers import SEARCHERS, Unfit

__all__ = ["BUDGETS", "Result", "Run", "read", "run_all"]

BUDGETS = (25, 50, 100, 200)


class Run(NamedTuple):
    """What to run; `at_once` trials are pending at any time, and end in the order in which they began."""

    problem: str
    searcher: str
    seed: int
    at_once: int
    trials: int


class Result(NamedTuple):
    """What came of it.

    Attributes:
        losses: True losses of the best trial, as the searcher sees it, after each of BUDGETS; empty if the
            searcher does not take the space.
        cpu_ms: Of ask and tell, for each trial.
    """

    run: Run
    losses: list[float]
    cpu_ms: float


def run_one(run: Run) -> Result:
    problem = all_problems()[run.problem]
    try:
        searcher = SEARCHERS[run.searcher](problem.space, run.seed, run.trials)
    except Unfit:
        return Result(run, [], 0.0)
    # The same noise for all searchers, trial by trial.
    noise = problem.noise * np.random.default_rng((run.seed, 77)).standard_normal(run.trials)
    pending: deque[tuple[Any, dict[str, Any]]] = deque()
    seen, true, cpu, asked = [], [], 0.0, 0
    while len(seen) < run.trials:
        before = time.process_time()
        while len(pending) < run.at_once and asked < run.trials:
            pending.append(searcher.ask())
            asked += 1
        cpu += time.process_time() - before
        token, configuration = pending.popleft()
        true.append(problem.loss(configuration))
        seen.append(true[-1] + float(noise[len(seen)]))
        before = time.process_time()
        searcher.tell(token, seen[-1])
        cpu += time.process_time() - before
    best = [true[int(np.argmin(seen[:budget]))] for budget in BUDGETS if budget <= run.trials]
    return Result(run, best, 1000 * cpu / run.trials)


def read(path: Path) -> dict[Run, Result]:
    """What the file holds; a line that was cut off counts for nothing."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            fields = json.loads(line)
            result = Result(Run(*fields["run"]), fields["losses"], fields["cpu_ms"])
        except (ValueError, KeyError, TypeError):
            continue
        found[result.run] = result
    return found


def run_all(runs: Iterable[Run], path: Path, workers: int) -> dict[Run, Result]:
    """Run what the file does not hold yet, add it there, and return all of it."""
    results = read(path)
    waiting = [run for run in runs if run not in results]
    if waiting:
        print(f"{len(waiting)} runs to do, {len(results)} in {path}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            for result in _side_by_side(waiting, workers):
                results[result.run] = result
                file.write(json.dumps(result._asdict()) + "\n")
                file.flush()
    return results


def _side_by_side(runs: list[Run], workers: int) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")  # torch and onnxruntime have threads, which a fork loses
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(run_one, run): run for run in runs}
        for number, future in enumerate(as_completed(futures), 1):
            try:
                yield future.result()
            except Exception as err:  # noqa: BLE001 (one searcher's failure is its own; it is told, and run again)
                print(f"{futures[future]} failed: {type(err).__name__}: {err}", flush=True)
            if number % 100 == 0:
                print(f"{number} of {len(runs)}", flush=True)
