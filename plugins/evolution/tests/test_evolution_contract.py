"""Evolution keeps the contract of tuners, with a population larger than the trials at once and smaller."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tune_evolution.tuner import EvolutionTuner

from tune_core import Tuner
from tune_core.testing import EXAMPLE_SPACES, TunerContract


class TestContract(TunerContract):
    startup = 10

    def make_tuner(self) -> Tuner:
        return EvolutionTuner(population_size=8)


class TestLonePairContract(TunerContract):
    startup = 5
    # Without "uniform", where the kit asks for five at once after a change of the space: two wait.
    spaces: ClassVar[Mapping[str, Any]] = {
        name: space for name, space in EXAMPLE_SPACES.items() if name != "uniform"
    }

    def make_tuner(self) -> Tuner:
        return EvolutionTuner(population_size=2)
