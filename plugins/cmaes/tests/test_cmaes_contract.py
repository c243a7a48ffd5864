"""CMA-ES keeps the contract of tuners."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tune_cmaes.tuner import CMAESTuner

from tune_core import Tuner
from tune_core.testing import EXAMPLE_SPACES, TunerContract


class TestContract(TunerContract):
    spaces: ClassVar[Mapping[str, Any]] = {
        **{name: space for name, space in EXAMPLE_SPACES.items() if name != "nested"},
        "options": {f"c{i}": {"_type": "choice", "_value": list("abcdef")} for i in range(5)},
    }
    refused: ClassVar[Mapping[str, Any]] = {
        "nested": EXAMPLE_SPACES["nested"],
        "many": {
            "x": {
                "_type": "input_choice",
                "_value": {"candidates": [str(i) for i in range(40)], "n_chosen": 9},
            }
        },
    }

    def make_tuner(self) -> Tuner:
        return CMAESTuner()
