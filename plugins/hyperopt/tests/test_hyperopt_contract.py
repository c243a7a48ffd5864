"""Hyperopt's algorithms keep the contract of tuners."""

from tune_hyperopt.tuners import HyperoptAnnealTuner, HyperoptRandomTuner, HyperoptTPETuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestTPEContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return HyperoptTPETuner()


class TestLyingTPEContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return HyperoptTPETuner(parallel_optimize=True, constant_liar_type="mean", n_startup_jobs=5)


class TestAnnealContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return HyperoptAnnealTuner()


class TestRandomContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return HyperoptRandomTuner()
