"""Batch keeps the contract of tuners."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tune_batch.tuner import BatchTuner

from tune_core import Tuner
from tune_core.testing import EXAMPLE_SPACES, TunerContract


class TestContract(TunerContract):
    # Options that are objects arrive without their key, so they are no configurations of the space in
    # the kit's sense; `test_batch.py` has them.
    spaces: ClassVar[Mapping[str, Any]] = {
        "one value": EXAMPLE_SPACES["one value"],
        "numbers": {"rate": {"_type": "choice", "_value": [0.1, 0.2, 3, [4, 5], "six", None, True]}},
        "many": {"n": {"_type": "choice", "_value": list(range(200))}},
    }
    refused: ClassVar[Mapping[str, Any]] = {
        "two keys": EXAMPLE_SPACES["finite"],
        "no choice": {"x": {"_type": "uniform", "_value": [0, 1]}},
        "nested": {"x": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "b"}]}},
        "layers": {"x": {"_type": "layer_choice", "_value": ["conv", "pool"]}},
    }

    def make_tuner(self) -> Tuner:
        return BatchTuner()
