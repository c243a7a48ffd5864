"""What GPUs this machine has for trials, and which of them, on machines made up for the purpose."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tune_local.config import LocalConfig
from tune_local.gpus import list_gpus

from tune_core import ConfigError, TrainingServiceError
from tune_core.config import load_config
from tune_core.config.checking import check
from tune_core.experiment.assemble import create, reopen
from tune_core.services.gpus import Gpu


def fake_driver(*pids: tuple[int, ...] | None) -> ModuleType:
    """Something like the module of nvidia-ml-py: per GPU the processes on it, None if it will not say."""
    driver = ModuleType("pynvml")

    class NVMLError(Exception):
        pass

    def processes(index: int) -> list[SimpleNamespace]:
        found = pids[index]
        if found is None:
            raise NVMLError("Not Supported")
        return [SimpleNamespace(pid=pid) for pid in found]

    vars(driver).update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(pids),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda index: f"GPU-{index}",
        nvmlDeviceGetComputeRunningProcesses=processes,
    )
    return driver


def test_driver_is_asked_for_gpus_and_who_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_driver((), (7, 3), None))
    assert list_gpus() == [Gpu(0, (), "GPU-0"), Gpu(1, (3, 7), "GPU-1"), Gpu(2, (), "GPU-2")]


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (9, "Driver Not Loaded", "no NVIDIA driver on this machine"),
        (12, "NVML Shared Library Not Found", "no NVIDIA driver on this machine"),
        (
            18,
            "Driver/library version mismatch",
            "the NVIDIA driver answers 'Driver/library version mismatch'",
        ),
    ],
)
def test_driver_that_is_missing_or_broken_is_said_so(
    monkeypatch: pytest.MonkeyPatch, code: int, text: str, said: str
) -> None:
    driver = fake_driver()

    def refuse() -> None:
        error = driver.NVMLError(text)
        error.value = code
        raise error

    monkeypatch.setattr(driver, "nvmlInit", refuse, raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    with pytest.raises(TrainingServiceError) as caught:
        list_gpus()
    assert str(caught.value) == f"no GPU can be seen: {said}"


def test_missing_library_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(TrainingServiceError, match=r"pip install 'tune-local\[gpu\]'"):
        list_gpus()


@pytest.mark.parametrize(("written", "read"), [(1, (1,)), ([0, 2], (0, 2)), ("0,2", (0, 2)), (None, None)])
def test_gpu_indices_are_read_as_nni_did(written: Any, read: Any) -> None:
    assert check(LocalConfig, {"platform": "local", "gpuIndices": written}).gpu_indices == read


def test_configuration_that_can_never_run_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_local.service.list_gpus", lambda: [Gpu(0), Gpu(1)])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    path = tmp_path / "experiment.yml"
    lines = [
        "searchSpace: {x: {_type: uniform, _value: [0, 1]}}",
        "trialCommand: 'true'",
        "trialConcurrency: 1",
        "tuner: {name: Random}",
        "trainingService: {platform: local}",
        f"experimentWorkingDirectory: {tmp_path}",
        "trialGpuNumber: ",
    ]
    path.write_text("\n".join(lines) + "2\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    (problem,) = caught.value.problems
    assert problem.path == ("trialGpuNumber",)
    assert problem.place is not None
    assert problem.place.line == 7
    assert problem.message == "2 GPUs for each trial, but this machine has 1 GPU"

    path.write_text("\n".join(lines) + "1\n")
    config = load_config(path)
    directory, _ = create(config, "made")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(TrainingServiceError, match="this machine has no GPUs"):
        create(config, "refused")
    assert not (tmp_path / "refused").exists()
    with pytest.raises(TrainingServiceError, match="this machine has no GPUs"):
        reopen(directory)
    reopen(directory, runs_trials=False)  # only to look, or to end it


@pytest.mark.parametrize(
    "section",
    [
        {"maxTrialNumberPerGpu": 0},
        {"gpuIndices": [0, 0]},
        {"gpuIndices": -1},
        {"killGrace": -1},
        {"outputLimit": 0},
    ],
)
def test_nonsense_in_the_configuration_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(section))):
        check(LocalConfig, section)
