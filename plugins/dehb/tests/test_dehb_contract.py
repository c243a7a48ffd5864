"""DEHB keeps the contract of advisors."""

from tune_dehb.advisor import DehbAdvisor

from tune_core import Advisor
from tune_core.testing import AdvisorContract


class TestDehbContract(AdvisorContract):
    trials = 100

    def make_advisor(self) -> Advisor:
        return DehbAdvisor(R=9)


class TestWholeBudgetsContract(AdvisorContract):
    trials = 60

    def make_advisor(self) -> Advisor:
        return DehbAdvisor(R=1)
