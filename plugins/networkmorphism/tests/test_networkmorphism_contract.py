"""Network morphism keeps the contract of tuners."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tune_networkmorphism.tuner import NetworkMorphismTuner

from tune_core import Tuner
from tune_core.testing import EXAMPLE_SPACES, TunerContract


class TestImages(TunerContract):
    startup = 3
    spaces: ClassVar[Mapping[str, Any]] = {"its own": {}}
    refused: ClassVar[Mapping[str, Any]] = EXAMPLE_SPACES

    def make_tuner(self) -> Tuner:
        return NetworkMorphismTuner(input_width=12, default_model_width=4, t_min=0.1)


class TestRows(TestImages):
    def make_tuner(self) -> Tuner:
        return NetworkMorphismTuner(task="common", input_width=12, default_model_width=4, t_min=0.1)
