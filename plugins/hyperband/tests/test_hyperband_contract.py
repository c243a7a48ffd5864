"""Hyperband, in both modes, and ASHA keep the contract of advisors."""

from tune_hyperband.asha import AshaAdvisor
from tune_hyperband.hyperband import HyperbandAdvisor

from tune_core import Advisor
from tune_core.testing import AdvisorContract


class TestHyperbandContract(AdvisorContract):
    trials = 100

    def make_advisor(self) -> Advisor:
        return HyperbandAdvisor(R=9)


class TestSerialContract(AdvisorContract):
    trials = 100

    def make_advisor(self) -> Advisor:
        return HyperbandAdvisor(R=9, exec_mode="serial")


class TestAshaContract(AdvisorContract):
    trials = 100

    def make_advisor(self) -> Advisor:
        return AshaAdvisor(R=9)
