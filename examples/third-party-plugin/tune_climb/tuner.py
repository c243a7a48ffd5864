"""Climb: take the best configuration so far and change it a little.

The (1+1) evolution strategy with the one-fifth success rule, in the form of: Kern, S. et al. (2004).
Learning probability distributions in continuous evolutionary algorithms. Natural Computing 3, 77-112,
section 2. https://doi.org/10.1023/B:NACO.0000023416.59689.4e
"""

import math
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tune_core import Parameters, SearchSpace, Tuner

GROWTH, DECAY = math.exp(0.8), math.exp(-0.2)  # equal odds of growing and shrinking at one success in five
WIDEST, NARROWEST = 0.5, 1e-6


class ClimbTuner(Tuner):
    """Perturb the best configuration by a normal step; steps grow on success and shrink on failure.

    Args:
        radius: Standard deviation of the first steps; every parameter's range counts as 1.
    """

    replays_proposals: ClassVar[bool] = False  # all it knows comes from results

    def __init__(self, radius: float = 0.2) -> None:
        if not 0 < radius <= WIDEST:
            raise ValueError(f"radius is {radius}; give a number above 0 and up to {WIDEST}")
        self._radius = radius
        self._best: Parameters | None = None
        self._best_value = math.inf

    def update_search_space(self, search_space: SearchSpace) -> None:
        self._space = search_space
        if self._best is not None and not search_space.contains(self._best):
            self._best, self._best_value = None, math.inf

    def generate_parameters(self, parameter_id: int) -> Parameters:
        rng = self.rng(parameter_id)
        if self._best is None:
            return self._space.sample(rng)
        points, _ = self._space.encode([self._best])  # (1, n_leaves)
        point = points[0] + self._radius * rng.standard_normal(points.shape[1])
        return self._space.from_unit_cube(reflect(point))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        improved = value < self._best_value
        if improved:
            self._best, self._best_value = parameters, value
        self._radius = min(max(self._radius * (GROWTH if improved else DECAY), NARROWEST), WIDEST)


def reflect(point: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Fold `point` back into the unit cube, as a mirror at each face would.

    >>> reflect([1.25, -0.25, 0.5]).tolist()
    [0.75, 0.25, 0.5]
    """
    return 1.0 - np.abs(np.asarray(point) % 2.0 - 1.0)
