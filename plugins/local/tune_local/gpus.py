"""What GPUs this machine has, through NVIDIA's management library where it is there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tune_core import TrainingServiceError
from tune_core.services.gpus import Gpu

__all__ = ["list_gpus"]

_NO_DRIVER = (9, 12)  # NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIBRARY_NOT_FOUND


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
        return [_gpu(pynvml, index) for index in range(count)]
    except pynvml.NVMLError as error:
        missing = getattr(error, "value", None) in _NO_DRIVER
        why = "no NVIDIA driver on this machine" if missing else f"the NVIDIA driver answers {str(error)!r}"
        raise TrainingServiceError(f"no GPU can be seen: {why}") from error


def _gpu(pynvml: Any, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    uuid = pynvml.nvmlDeviceGetUUID(handle)
    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:  # not told in some containers, and for divided GPUs
        processes = []
    return Gpu(index, tuple(sorted(process.pid for process in processes)), str(uuid))
