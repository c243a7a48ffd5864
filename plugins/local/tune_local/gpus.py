"""What GPUs this machine has, through NVIDIA's management library where it is there."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tune_core import TrainingServiceError

__all__ = ["Gpu", "list_gpus"]


@dataclass(frozen=True)
class Gpu:
    """One GPU: its number as CUDA_VISIBLE_DEVICES counts, and the processes that compute on it."""

    index: int
    pids: tuple[int, ...] = ()


def list_gpus() -> list[Gpu]:
    """The GPUs of this machine and who computes on them now.

    Raises:
        TrainingServiceError: They cannot be seen; says why.
    """
    try:
        pynvml: Any = import_module("pynvml")  # the module of nvidia-ml-py; typed nowhere
    except ImportError as error:
        raise TrainingServiceError(
            "no GPU can be seen without nvidia-ml-py: pip install 'tune-local[gpu]', "
            "or leave trialGpuNumber unset to give every trial all GPUs"
        ) from error
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        return [Gpu(index, _pids(pynvml, index)) for index in range(count)]
    except pynvml.NVMLError as error:
        raise TrainingServiceError(f"no GPU can be seen: {error}") from error


def _pids(pynvml: Any, index: int) -> tuple[int, ...]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    return tuple(sorted(process.pid for process in processes))
