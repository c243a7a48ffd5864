"""The conformance kit of training services, run on two machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest
from ssh_hosts import Host, Laboratory, can_isolate
from tune_remote.config import RemoteConfig
from tune_remote.service import RemoteService

from tune_core import TrainingService
from tune_core.testing import TrainingServiceContract


@pytest.mark.skipif(not can_isolate(), reason="platform: needs root and network namespaces")
class TestContract(TrainingServiceContract):
    hosts: ClassVar[dict[str, Host]] = {}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def machines(cls) -> Iterator[None]:
        with Laboratory() as laboratory, laboratory.entered():
            cls.hosts = {host.name: host for host in (laboratory.add() for _ in range(2))}
            yield

    def make_service(self) -> TrainingService:
        machines = [host.machine() for host in self.hosts.values()]
        return RemoteService(RemoteConfig.model_validate({"machineList": machines, "killGrace": 0.2}))

    def python(self) -> str:
        return "python3"

    def is_alive(self, pid: int, host: str) -> bool:
        return self.hosts[host].is_alive(pid)

    def send_signal(self, pid: int, host: str, number: int) -> None:
        self.hosts[host].run("kill", f"-{number}", str(pid))

    def traces(self, experiment_id: str) -> Sequence[str]:
        return [
            f"{host.name}:{path}"
            for host in self.hosts.values()
            for path in host.home.rglob(f"*{experiment_id}*")
        ]
