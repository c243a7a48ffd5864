"""PBT keeps the contract of advisors, in both modes."""

from pathlib import Path

import pytest
from tune_pbt.advisor import PbtAdvisor

from tune_core import Advisor
from tune_core.testing import AdvisorContract


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestSynchronousContract(AdvisorContract):
    def make_advisor(self) -> Advisor:
        return PbtAdvisor(population_size=5)


class TestAsynchronousContract(AdvisorContract):
    def make_advisor(self) -> Advisor:
        return PbtAdvisor(population_size=4, asynchronous=True)


class TestPopulationOfOneContract(AdvisorContract):
    def make_advisor(self) -> Advisor:
        return PbtAdvisor(population_size=1)
