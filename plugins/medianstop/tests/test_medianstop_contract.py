"""The median stopping rule keeps the contract of assessors."""

from tune_medianstop.assessor import MedianstopAssessor

from tune_core import Assessor
from tune_core.testing import AssessorContract


class TestContract(AssessorContract):
    def make_assessor(self) -> Assessor:
        return MedianstopAssessor()
