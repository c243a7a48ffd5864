"""The conformance kit of training services, run on the local one."""

from tune_local.config import LocalConfig
from tune_local.service import LocalService

from tune_core import TrainingService
from tune_core.testing import TrainingServiceContract


class TestContract(TrainingServiceContract):
    def make_service(self) -> TrainingService:
        return LocalService(LocalConfig(kill_grace=0.2))
