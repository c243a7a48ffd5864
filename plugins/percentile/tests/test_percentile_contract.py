"""Percentile stopping keeps the contract of assessors."""

from tune_percentile.assessor import PercentileAssessor

from tune_core import Assessor
from tune_core.testing import AssessorContract


class TestContract(AssessorContract):
    def make_assessor(self) -> Assessor:
        return PercentileAssessor()
