"""Grid search keeps the contract of tuners, with either meaning of q."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tune_grid.tuner import GridSearchTuner

from tune_core import Tuner
from tune_core.testing import EXAMPLE_SPACES, TunerContract


class TestContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return GridSearchTuner()


class TestLegacyContract(TunerContract):
    spaces: ClassVar[Mapping[str, Any]] = {
        name: EXAMPLE_SPACES[name] for name in ("uniform", "finite", "one value")
    }
    refused: ClassVar[Mapping[str, Any]] = {
        "half a value": {"x": {"_type": "quniform", "_value": [0, 10, 2.5]}}
    }

    def make_tuner(self) -> Tuner:
        return GridSearchTuner(legacy_q=True)
