"""Patience keeps the contract of assessors."""

from tune_patience.assessor import PatienceAssessor

from tune_core import Assessor
from tune_core.testing import AssessorContract


class TestContract(AssessorContract):
    def make_assessor(self) -> Assessor:
        return PatienceAssessor(patience=3)
