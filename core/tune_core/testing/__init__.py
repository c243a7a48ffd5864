"""Conformance kits: what every plugin of a kind must hold to, as test classes to inherit.

A plugin's author subclasses one and says how to make the thing; pytest does the rest. Every
built-in passes the same kits. Needs pytest: `pip install tune-core[testing]`.

    from tune_core.testing import TunerContract

    class TestContract(TunerContract):
        def make_tuner(self):
            return HaltonTuner()

To leave out a test that cannot hold for a plugin, override it and say why.
"""

# ruff: noqa: E402 (imports follow the call that prepares them)
import pytest

# Before the kits are imported, so that their assertions explain themselves.
pytest.register_assert_rewrite(
    "tune_core.testing.advisors",
    "tune_core.testing.assessors",
    "tune_core.testing.harness",
    "tune_core.testing.nas",
    "tune_core.testing.services",
    "tune_core.testing.tuners",
)

from tune_core.testing.advisors import AdvisorContract
from tune_core.testing.assessors import AssessorContract
from tune_core.testing.harness import ServiceHarness
from tune_core.testing.nas import NasTrainerContract
from tune_core.testing.services import TrainingServiceContract
from tune_core.testing.spaces import EXAMPLE_SPACES
from tune_core.testing.tuners import TunerContract

__all__ = [
    "EXAMPLE_SPACES",
    "AdvisorContract",
    "AssessorContract",
    "NasTrainerContract",
    "ServiceHarness",
    "TrainingServiceContract",
    "TunerContract",
]
