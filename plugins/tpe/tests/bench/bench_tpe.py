"""Latency of ask + tell with 100, 1,000 and 10,000 finished trials, beside Optuna's TPE in the same run.

Twenty parameters: 6 uniform, 4 log-uniform, 3 integer, 2 quantised, 5 categorical. CPU time of one
thread where the array library honours OMP_NUM_THREADS; compare the ratio, not the milliseconds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from tune_tpe.tuner import TPETuner

from tune_core.space import SearchSpace

SIZES = (100, 1_000, 10_000)
REPEATS = 20

SPACE = {
    **{f"u{i}": {"_type": "uniform", "_value": [0, 10]} for i in range(6)},
    **{f"l{i}": {"_type": "loguniform", "_value": [1e-5, 1]} for i in range(4)},
    **{f"r{i}": {"_type": "randint", "_value": [0, 10]} for i in range(3)},
    **{f"q{i}": {"_type": "quniform", "_value": [0, 10, 0.5]} for i in range(2)},
    **{f"c{i}": {"_type": "choice", "_value": ["a", "b", "c"]} for i in range(5)},
}


def loss(parameters: Any) -> float:
    return float(sum(hash(value) % 7 if isinstance(value, str) else value for value in parameters.values()))


def milliseconds(step: Callable[[], None]) -> float:
    """Median CPU time of one call."""
    times = []
    for _ in range(REPEATS):
        before = time.process_time()
        step()
        times.append(time.process_time() - before)
    return 1000 * float(np.median(times))


def ours(size: int) -> float:
    space, rng = SearchSpace.parse(SPACE), np.random.default_rng(0)
    tuner = TPETuner()
    tuner.set_seed(0)
    tuner.update_search_space(space)
    number = 0

    def tell(parameters: Any) -> None:
        nonlocal number
        tuner.register_pending(number, parameters)
        tuner.receive_trial_result(number, parameters, loss(parameters))
        tuner.trial_end(number, success=True)
        number += 1

    for _ in range(size):
        tell(space.sample(rng))
    return milliseconds(lambda: tell(tuner.generate_parameters(number)))


def optunas(size: int) -> float | None:
    """The same with Optuna's default sampler; None if Optuna is not here."""
    try:
        import optuna
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    space, rng = SearchSpace.parse(SPACE), np.random.default_rng(0)
    distributions = {leaf.name: _distribution(optuna, leaf) for leaf in space}
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    points = [space.sample(rng) for _ in range(size)]
    study.add_trials(
        [
            optuna.trial.create_trial(params=point, distributions=distributions, value=loss(point))
            for point in points
        ]
    )

    def step() -> None:
        trial = study.ask(distributions)
        study.tell(trial, loss(trial.params))

    return milliseconds(step)


def _distribution(optuna: Any, leaf: Any) -> Any:
    of, domain = optuna.distributions, leaf.domain
    if domain.type == "choice":
        return of.CategoricalDistribution(domain.options)
    if domain.type == "randint":
        return of.IntDistribution(int(domain.a), int(domain.b) - 1)
    return of.FloatDistribution(domain.a, domain.b, log=domain.is_log, step=domain.q)


def main() -> None:
    print(f"{'trials':>8} {'tune-tpe ms':>12} {'optuna ms':>12} {'ratio':>7}")
    for size in SIZES:
        mine, theirs = ours(size), optunas(size)
        beside = f"{theirs:12.2f} {mine / theirs:7.3f}" if theirs else f"{'not here':>12} {'':>7}"
        print(f"{size:8,} {mine:12.2f} {beside}", flush=True)


if __name__ == "__main__":
    main()
