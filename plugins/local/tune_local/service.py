"""The local training service: trials are processes on this machine, with GPUs and warm starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from tune.host import Launch
from tune.host.launch import Started
from tune_core import Attempt, AttemptKey, ServiceContext
from tune_core.services.gpus import GpuAccount, visible_gpus
from tune_core.services.processes import Grant, ProcessService
from tune_local.config import LocalConfig
from tune_local.gpus import list_gpus
from tune_local.warm import WarmStarts

if TYPE_CHECKING:
    from tune_core.config.version1 import Old, Section

__all__ = ["LocalService"]

_log = logging.getLogger(__name__)


class LocalService(ProcessService):
    """Runs trials as processes of this machine, in the code directory itself.

    They run in the order of submission, except that a trial which waits for GPUs lets those pass
    that need fewer and can start now; see `tune_core.services.gpus`.
    """

    Config: ClassVar[type[BaseModel]] = LocalConfig

    @classmethod
    def upgrade(cls, old: Old) -> Section:
        return old.section("localConfig").move(
            {
                "gpuIndices": "gpuIndices",
                "maxTrialNumPerGpu": "maxTrialNumberPerGpu",
                "useActiveGpu": "useActiveGpu",
            }
        )

    def __init__(self, config: LocalConfig) -> None:
        super().__init__(grace_s=config.kill_grace, output_limit=config.output_limit << 20)
        self._config = config
        self._gpus = GpuAccount(
            lambda: visible_gpus(list_gpus(), self.environ.get("CUDA_VISIBLE_DEVICES")),
            indices=config.gpu_indices,
            per_gpu=config.max_trial_number_per_gpu,
            use_active=bool(config.use_active_gpu),
        )
        self._warm: WarmStarts | None = None
        self._forking: dict[AttemptKey, Launch] = {}  # asked for, not there yet

    def check(self, gpu_number: int | None) -> None:
        self._gpus.check(gpu_number)

    async def open(self, context: ServiceContext) -> None:
        await super().open(context)
        if self._config.reuse_mode:
            _log.info("reuseMode has no effect on the local platform; `warm: true` saves start-up time")
        if self._config.warm:
            log = context.directory / "service" / "warm.log"
            self._warm = WarmStarts(log, self.runtime.open_files, self._forked, self._start_cold)

    async def close(self) -> None:
        self._forking.clear()
        if self._warm is not None:
            self._warm.close()
        await super().close()

    # GPUs

    def start_waiting(self) -> None:
        self._gpus.look_again()
        super().start_waiting()

    def place(self, attempt: Attempt) -> Grant | str:
        gpus = self._gpus.place(attempt.key, attempt.gpu_number)
        return gpus if isinstance(gpus, str) else {"gpus": list(gpus)}

    def occupy(self, key: AttemptKey, grant: Grant) -> None:
        self._gpus.occupy(key, grant.get("gpus", ()))

    def release(self, key: AttemptKey) -> None:
        self._gpus.release(key)
        self._forking.pop(key, None)  # a fork finds its gate closed when it comes

    def environment(self, attempt: Attempt, grant: Grant) -> Mapping[str, str]:
        return {} if attempt.gpu_number is None else _visible(grant.get("gpus", ()))

    # Warm starts

    def bring_to_gate(self, key: AttemptKey, launch: Launch) -> None:
        if self._fork(key, launch):
            self._forking[key] = launch
        else:
            super().bring_to_gate(key, launch)

    def _fork(self, key: AttemptKey, launch: Launch) -> bool:
        """Ask for a warm start, if there can be one."""
        if self._warm is None:
            return False
        self.runtime.create_files(launch)  # here, where a full disk only delays the trial
        return self._warm.fork(key, launch)

    def _forked(self, key: AttemptKey, started: Started) -> None:
        """A warm start was answered."""
        launch = self._forking.pop(key, None)
        if launch is None:  # cancelled meanwhile
            started.close()
        else:
            self.runtime.take(key, launch, started)
            self.at_gate(key, launch, started.identity)

    def _start_cold(self, key: AttemptKey) -> None:
        """A warm start will not be answered."""
        if self._forking.pop(key, None) is not None:
            self.wait(key)


def _visible(gpus: Sequence[int]) -> dict[str, str]:
    """Makes CUDA see these GPUs alone, by the numbers that the driver gives them."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
