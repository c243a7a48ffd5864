"""Threshold keeps the contract of assessors."""

from tune_threshold.assessor import ThresholdAssessor

from tune_core import Assessor
from tune_core.testing import AssessorContract


class TestContract(AssessorContract):
    def make_assessor(self) -> Assessor:
        return ThresholdAssessor("minimize", lower=-100, upper=100)
