"""GP keeps the contract of tuners, with each of its utilities."""

from tune_gp.tuner import GPTuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return GPTuner()


class TestCappedContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return GPTuner(utility="ucb", nu=1.5, cold_start_num=3, most_modelled=20, warp=False)
