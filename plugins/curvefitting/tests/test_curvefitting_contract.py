"""Curve fitting keeps the contract of assessors."""

from tune_curvefitting.assessor import CurvefittingAssessor

from tune_core import Assessor
from tune_core.testing import AssessorContract


class TestContract(AssessorContract):
    def make_assessor(self) -> Assessor:
        return CurvefittingAssessor(epoch_num=20)
