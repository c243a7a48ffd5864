"""Auto keeps the contract of tuners."""

from tune_auto.tuner import AutoTuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return AutoTuner()
