"""Regularized evolution keeps the contract of tuners."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tune_regularized_evolution.tuner import RegularizedEvolutionTuner

from tune_core import Tuner
from tune_core.testing import EXAMPLE_SPACES, TunerContract


class TestContract(TunerContract):
    startup = 12
    spaces: ClassVar[Mapping[str, Any]] = {
        "architecture": {
            **{f"layer{i}": {"_type": "layer_choice", "_value": ["conv", "pool", "skip"]} for i in range(4)},
            "one": {"_type": "input_choice", "_value": {"candidates": ["a", "b", "c"], "n_chosen": 1}},
            "some": {
                "_type": "input_choice",
                "_value": {"candidates": ["a", "b", "c"], "n_chosen": [0, 1, 2]},
            },
        },
        "finite": EXAMPLE_SPACES["finite"],
        "one value": EXAMPLE_SPACES["one value"],
    }
    refused: ClassVar[Mapping[str, Any]] = {
        "continuous": EXAMPLE_SPACES["uniform"],
        "nested": {"x": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "b"}]}},
    }

    def make_tuner(self) -> Tuner:
        return RegularizedEvolutionTuner(population_size=10, sample_size=3)
