"""Metis keeps the contract of tuners."""

from tune_metis.tuner import MetisTuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return MetisTuner(selection_num_starting_points=100)


class TestOptimumContract(TunerContract):
    """Without candidates, and with the predicted optimum every second time."""

    def make_tuner(self) -> Tuner:
        return MetisTuner(no_candidates=True, exploration_probability=0.5, selection_num_starting_points=50)
