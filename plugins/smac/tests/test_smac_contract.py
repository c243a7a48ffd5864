"""SMAC keeps the contract of tuners."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tune_smac.tuner import SMACTuner

from tune_core import Tuner
from tune_core.testing import TunerContract


class TestContract(TunerContract):
    startup = 9  # the forest takes half a second, so the design is short here
    refused: ClassVar[Mapping[str, Any]] = {
        "some of a list": {
            "x": {"_type": "input_choice", "_value": {"candidates": ["a", "b"], "n_chosen": 1}}
        }
    }

    def make_tuner(self) -> Tuner:
        return SMACTuner(n_initial=8)
