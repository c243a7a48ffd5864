"""Who gets which GPU, and what the others are told, on machines made up for the purpose."""

from __future__ import annotations

from typing import Any

import pytest

from tune_core.errors import TrainingServiceError
from tune_core.services.gpus import Gpu, GpuAccount, visible_gpus
from tune_core.trial import AttemptKey

A, B, C = (AttemptKey(name, 0) for name in "abc")


def account(gpus: list[Gpu], **options: Any) -> GpuAccount:
    return GpuAccount(lambda: gpus, **options)


def test_trial_that_asks_for_none_needs_no_inventory() -> None:
    def refuse() -> list[Gpu]:
        raise AssertionError("the GPUs were looked at")

    empty = GpuAccount(refuse)
    assert empty.place(A, None) == ()
    assert empty.place(B, 0) == ()


def test_gpus_are_given_in_order_and_taken_back() -> None:
    machine = account([Gpu(0), Gpu(1), Gpu(2)])
    assert machine.place(A, 2) == (0, 1)
    assert (
        machine.place(B, 2) == "waits for 2 GPUs, 1 free: GPU 0 is held by trial a, GPU 1 is held by trial a"
    )
    assert machine.place(C, 1) == (2,)
    machine.release(A)
    assert machine.place(B, 2) == (0, 1)


def test_trials_share_a_gpu_up_to_the_limit_and_spread_first() -> None:
    machine = account([Gpu(0), Gpu(1)], per_gpu=2)
    keys = [AttemptKey(str(number), 0) for number in range(5)]
    assert [machine.place(key, 1) for key in keys[:4]] == [(0,), (1,), (0,), (1,)]
    assert "GPU 0 is held by trial 0, 2" in machine.place(keys[4], 1)


def test_gpu_of_another_program_is_left_alone_unless_allowed() -> None:
    gpus = [Gpu(0, pids=(4242,)), Gpu(1)]
    assert account(gpus).place(A, 1) == (1,)
    reason = account(gpus[:1]).place(A, 1)
    assert reason == (
        "waits for 1 GPU, 0 free: GPU 0 is used by another program "
        "(pid 4242; `useActiveGpu: true` would share it)"
    )
    assert account(gpus, use_active=True).place(A, 2) == (0, 1)


def test_machine_is_looked_at_once_for_many_trials() -> None:
    looks = []
    machine = GpuAccount(lambda: looks.append(1) or [Gpu(0)])
    for number in range(100):
        machine.place(AttemptKey(str(number), 0), 1)
    assert len(looks) == 1
    machine.look_again()
    machine.place(A, 1)
    assert len(looks) == 2


def test_own_trials_processes_are_no_other_program() -> None:
    gpus = [Gpu(0)]
    machine = GpuAccount(lambda: gpus, per_gpu=2)
    assert machine.place(A, 1) == (0,)
    gpus[0] = Gpu(0, pids=(4242,))  # the trial has begun to compute
    machine.look_again()
    assert machine.place(B, 1) == (0,)


def test_only_the_indices_that_are_allowed_are_given() -> None:
    machine = account([Gpu(0), Gpu(1), Gpu(2)], indices=(1, 2))
    assert machine.place(A, 2) == (1, 2)
    with pytest.raises(
        TrainingServiceError, match=r"^3 GPUs for each .* has 2 GPUs among gpuIndices \[1, 2\]"
    ):
        machine.place(B, 3)
    with pytest.raises(TrainingServiceError, match=r"gpuIndices names GPU 5, but this machine has 1 GPU$"):
        account([Gpu(0)], indices=(0, 5)).place(A, 1)


def test_more_than_the_machine_has_is_refused_not_waited_for() -> None:
    with pytest.raises(TrainingServiceError, match=r"^1 GPU for each trial, but this machine has no GPUs"):
        account([]).place(A, 1)


def test_what_can_never_be_is_known_beforehand() -> None:
    machine = account([Gpu(0)])
    assert machine.place(A, 1) == (0,)
    machine.check(1)  # held now, but not for ever
    machine.check(None)
    with pytest.raises(TrainingServiceError, match=r"^2 GPUs for each trial, but this machine has 1 GPU"):
        machine.check(2)


def test_adopted_trials_hold_their_gpus() -> None:
    machine = account([Gpu(0), Gpu(1)])
    machine.occupy(A, [1])
    assert machine.place(B, 1) == (0,)
    assert "GPU 1 is held by trial a" in machine.place(C, 1)


def test_machine_is_called_by_its_name() -> None:
    with pytest.raises(TrainingServiceError, match=r"^1 GPU for each trial, but machine b has no GPUs"):
        account([], place="machine b").place(A, 1)


def test_gpu_is_free_as_soon_as_the_trial_that_computed_on_it_is_over() -> None:
    gpus = [Gpu(0, pids=(7,)), Gpu(1, pids=(8,)), Gpu(2, pids=(9,))]
    machine = account(gpus, per_gpu=2)
    machine.occupy(A, [0, 1])
    machine.occupy(B, [1])
    assert "GPU 2 is used by another program" in str(machine.place(C, 3))
    machine.release(A)
    assert machine.place(C, 2) == (0, 1)
    machine.look_again()
    machine.release(B)
    machine.release(C)
    assert "GPU 0 is used by another program (pid 7;" in str(machine.place(A, 1))  # seen since


@pytest.mark.parametrize(
    ("restriction", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [0, 2]),
        (" 1 ", [1]),
        ("GPU-b", [1]),
        ("GPU-x", []),
        ("GPU-c, 0", [0, 2]),
        ("1,-1,0", [1]),  # CUDA stops at what it does not know
        ("0,7,1", [0]),
        ("MIG-GPU-a1234/1/0", []),
    ],
)
def test_machines_own_restriction_is_kept(restriction: str | None, indices: list[int]) -> None:
    gpus = [Gpu(number, uuid=f"GPU-{letter}1234") for number, letter in enumerate("abc")]
    assert [gpu.index for gpu in visible_gpus(gpus, restriction)] == indices
