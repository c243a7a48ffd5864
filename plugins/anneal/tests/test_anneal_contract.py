"""Annealing keeps the contract of tuners."""

from tune_anneal.tuner import AnnealTuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return AnnealTuner()
