"""DNGO keeps the contract of tuners."""

from tune_dngo.tuner import DNGOTuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestContract(TunerContract):
    startup = 12

    def make_tuner(self) -> Tuner:
        return DNGOTuner(sample_size=60, trials_per_update=8, num_epochs_per_training=6)


class TestEagerContract(TunerContract):
    """A network for each result."""

    startup = 4

    def make_tuner(self) -> Tuner:
        return DNGOTuner(sample_size=40, trials_per_update=1, num_epochs_per_training=2)
