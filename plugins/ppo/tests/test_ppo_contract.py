"""PPO keeps the contract of tuners."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tune_ppo.tuner import PPOTuner

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
                "_value": {"candidates": ["a", "b", "c", "d"], "n_chosen": [0, 1, 3]},
            },
        },
        "finite": {
            "op": {"_type": "layer_choice", "_value": ["conv", "pool", "skip"]},
            "inputs": {"_type": "input_choice", "_value": {"candidates": ["a", "b"], "n_chosen": [0, 1]}},
        },
        "one value": EXAMPLE_SPACES["one value"],
    }
    refused: ClassVar[Mapping[str, Any]] = {
        "continuous": EXAMPLE_SPACES["uniform"],
        "nested": {"x": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "b"}]}},
        "integers": {"x": {"_type": "randint", "_value": [0, 4]}},
    }

    def make_tuner(self) -> Tuner:
        return PPOTuner(trials_per_update=6, minibatch_size=3)
