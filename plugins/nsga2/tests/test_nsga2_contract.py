"""NSGA-II keeps the contract of tuners."""

from tune_nsga2.tuner import NSGA2Tuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return NSGA2Tuner(population_size=8)
