"""What SMAC would try next, from results and a seed alone.

The parts are those of its facade for hyper-parameters: a random forest on logarithms of scaled results,
expected improvement, and a local search from random points and from the best results.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace
from smac import HyperparameterOptimizationFacade as Facade
from smac import Scenario
from smac.acquisition.maximizer.local_search import LocalSearch
from smac.runhistory import RunHistory, StatusType

__all__ = ["challengers", "initial_design"]

_LARGEST = 1e150  # of results: SMAC adds and subtracts them

logging.getLogger("smac").setLevel(logging.ERROR)


def initial_design(configspace: ConfigurationSpace, count: int, seed: int) -> list[Configuration]:
    """The first `count` configurations: a scrambled Sobol sequence, and fewer where some are equal."""
    configspace.seed(seed)
    design = Facade.get_initial_design(_scenario(configspace, seed), n_configs=count, max_ratio=1.0)
    found: list[Configuration] = design.select_configurations()
    return found


def challengers(
    results: Sequence[tuple[Configuration, float]], seed: int, *, trees: int, random_share: float
) -> Iterator[Configuration]:
    """Configurations in the order in which they would be tried.

    Args:
        results: Configurations and what came of them; at least one, lower is better.
        trees: Of the forest.
        random_share: How many of them are random ones.
    """
    configspace = results[0][0].config_space
    configspace.seed(seed)
    scenario = _scenario(configspace, seed)
    model = Facade.get_model(scenario, n_trees=trees)
    x, y = _training_data(scenario, results)
    # An experiment's cores are for its trials. A tree has no more leaves than rows, but SMAC says a million,
    # and memory for them is taken in advance: a tenth of a second for each tree.
    model._rf_opts |= {"n_jobs": 1, "max_leaf_nodes": max(2, len(x))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, where all results are equal
        model.train(x, y)
        acquisition = Facade.get_acquisition_function(scenario)
        eta = float(model.predict_marginalized(x)[0].min())
        acquisition.update(model=model, eta=eta, num_data=len(x), X=x)
        maximizer = Facade.get_acquisition_maximizer(scenario)
        maximizer._local_search = _OrderedLocalSearch(configspace, seed=seed)
        maximizer.acquisition_function = acquisition
        random = Facade.get_random_design(scenario, probability=random_share)
        yield from maximizer.maximize([each for each, _ in results], random_design=random)


class _OrderedLocalSearch(LocalSearch):
    """SMAC's has its starting points in a set, whose order is another in each process."""

    def _get_initial_points(self, *arguments: Any) -> list[Configuration]:
        points = super()._get_initial_points(*arguments)
        return sorted(points, key=lambda point: tuple(np.nan_to_num(point.get_array(), nan=-1.0)))


def _scenario(configspace: ConfigurationSpace, seed: int) -> Scenario:
    """Nothing is written to the folder, which SMAC wants to know all the same."""
    return Scenario(configspace, deterministic=True, seed=seed, n_trials=10**9, output_directory=Path("smac"))


def _training_data(
    scenario: Scenario, results: Sequence[tuple[Configuration, float]]
) -> tuple[np.ndarray, np.ndarray]:
    history = RunHistory()
    for configuration, value in results:
        value = min(max(value, -_LARGEST), _LARGEST)
        history.add(configuration, cost=value, status=StatusType.SUCCESS, seed=0)
    encoder = Facade.get_runhistory_encoder(scenario)
    encoder.runhistory = history
    x, y = encoder.transform()
    return x, np.nan_to_num(y)
