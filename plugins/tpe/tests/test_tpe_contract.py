"""TPE keeps the contract of tuners, in its own form and in NNI's."""

from tune_tpe.tuner import TPETuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return TPETuner()


class TestUnivariateContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return TPETuner(tpe_args={"multivariate": False, "constant_liar_type": "mean", "n_startup_jobs": 5})
