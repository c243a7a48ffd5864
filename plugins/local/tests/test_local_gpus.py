"""Who gets which GPU, and what the others are told, on machines made up for the purpose."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tune_local.config import LocalConfig
from tune_local.gpus import Gpu, list_gpus, visible_gpus
from tune_local.placement import Placement

from tune_core import AttemptKey, ConfigError, TrainingServiceError
from tune_core.config import load_config
from tune_core.config.checking import check
from tune_core.experiment.assemble import create, reopen

A, B, C = (AttemptKey(name, 0) for name in "abc")


def placement(gpus: list[Gpu], **options: Any) -> Placement:
    return Placement(LocalConfig(**options), lambda: gpus)


def test_trial_that_asks_for_none_needs_no_inventory() -> None:
    def refuse() -> list[Gpu]:
        raise AssertionError("the GPUs were looked at")

    empty = Placement(LocalConfig(), refuse)
    assert empty.place(A, None) == ()
    assert empty.place(B, 0) == ()


def test_gpus_are_given_in_order_and_taken_back() -> None:
    machine = placement([Gpu(0), Gpu(1), Gpu(2)])
    assert machine.place(A, 2) == (0, 1)
    assert (
        machine.place(B, 2) == "waits for 2 GPUs, 1 free: GPU 0 is held by trial a, GPU 1 is held by trial a"
    )
    assert machine.place(C, 1) == (2,)
    machine.release(A)
    assert machine.place(B, 2) == (0, 1)


def test_trials_share_a_gpu_up_to_the_limit_and_spread_first() -> None:
    machine = placement([Gpu(0), Gpu(1)], max_trial_number_per_gpu=2)
    keys = [AttemptKey(str(number), 0) for number in range(5)]
    assert [machine.place(key, 1) for key in keys[:4]] == [(0,), (1,), (0,), (1,)]
    assert "GPU 0 is held by trial 0, 2" in machine.place(keys[4], 1)


def test_gpu_of_another_program_is_left_alone_unless_allowed() -> None:
    gpus = [Gpu(0, pids=(4242,)), Gpu(1)]
    assert placement(gpus).place(A, 1) == (1,)
    reason = placement(gpus[:1]).place(A, 1)
    assert reason == (
        "waits for 1 GPU, 0 free: GPU 0 is used by another program "
        "(pid 4242; `useActiveGpu: true` would share it)"
    )
    assert placement(gpus, use_active_gpu=True).place(A, 2) == (0, 1)


def test_machine_is_looked_at_once_for_many_trials() -> None:
    looks = []
    machine = Placement(LocalConfig(), lambda: looks.append(1) or [Gpu(0)])
    for number in range(100):
        machine.place(AttemptKey(str(number), 0), 1)
    assert len(looks) == 1
    machine.look_again()
    machine.place(A, 1)
    assert len(looks) == 2


def test_own_trials_processes_are_no_other_program() -> None:
    gpus = [Gpu(0)]
    machine = Placement(LocalConfig(max_trial_number_per_gpu=2), lambda: gpus)
    assert machine.place(A, 1) == (0,)
    gpus[0] = Gpu(0, pids=(4242,))  # the trial has begun to compute
    machine.look_again()
    assert machine.place(B, 1) == (0,)


def test_only_the_indices_that_are_allowed_are_given() -> None:
    machine = placement([Gpu(0), Gpu(1), Gpu(2)], gpu_indices=(1, 2))
    assert machine.place(A, 2) == (1, 2)
    with pytest.raises(
        TrainingServiceError, match=r"^3 GPUs for each .* has 2 GPUs among gpuIndices \[1, 2\]"
    ):
        machine.place(B, 3)
    with pytest.raises(TrainingServiceError, match=r"gpuIndices names GPU 5, but this machine has 1 GPU$"):
        placement([Gpu(0)], gpu_indices=(0, 5)).place(A, 1)


def test_more_than_the_machine_has_is_refused_not_waited_for() -> None:
    with pytest.raises(TrainingServiceError, match=r"^1 GPU for each trial, but this machine has no GPUs"):
        placement([]).place(A, 1)


def test_what_can_never_be_is_known_beforehand() -> None:
    machine = placement([Gpu(0)])
    assert machine.place(A, 1) == (0,)
    machine.check(1)  # held now, but not for ever
    machine.check(None)
    with pytest.raises(TrainingServiceError, match=r"^2 GPUs for each trial, but this machine has 1 GPU"):
        machine.check(2)


@pytest.mark.parametrize(
    ("restriction", "indices"),
    [(None, [0, 1, 2]), ("", []), ("-1", []), ("2,0", [0, 2]), (" 1 ", [1]), ("GPU-b", [1]), ("GPU-x", [])],
)
def test_managers_own_restriction_is_kept(restriction: str | None, indices: list[int]) -> None:
    gpus = [Gpu(number, uuid=f"GPU-{letter}1234") for number, letter in enumerate("abc")]
    environment = {} if restriction is None else {"CUDA_VISIBLE_DEVICES": restriction}
    assert [gpu.index for gpu in visible_gpus(gpus, environment)] == indices


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


def test_adopted_trials_hold_their_gpus() -> None:
    machine = placement([Gpu(0), Gpu(1)])
    machine.occupy(A, [1])
    assert machine.place(B, 1) == (0,)
    assert "GPU 1 is held by trial a" in machine.place(C, 1)


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
