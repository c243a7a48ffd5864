"""Which GPUs of one machine a trial gets, and what a trial that gets none waits for.

For training services. A GPU may be taken when it is among those that trials may use, holds fewer
trials of this experiment than may share one, and no other program computes on it unless that is
allowed. The emptiest come first, then those of low number. A trial that does not fit lets those
pass that fit now: with the same number of GPUs for every trial, which is what a configuration
says, nobody can be passed for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tune_core.errors import TrainingServiceError
from tune_core.trial import AttemptKey

__all__ = ["Gpu", "GpuAccount", "visible_gpus"]


@dataclass(frozen=True)
class Gpu:
    """One GPU: its number as the driver counts, and the processes that compute on it."""

    index: int
    pids: tuple[int, ...] = ()
    uuid: str = ""


def visible_gpus(gpus: Sequence[Gpu], restriction: str | None) -> list[Gpu]:
    """Those that a machine may use of its own, where a scheduler or a user has restricted it.

    Args:
        restriction: Its `CUDA_VISIBLE_DEVICES`: numbers and beginnings of UUIDs; None when unset. As
            for CUDA, what follows a name that nothing has is not seen.

    >>> [gpu.index for gpu in visible_gpus([Gpu(0), Gpu(1, uuid="GPU-8f1c"), Gpu(2)], "2,GPU-8f,9,0")]
    [1, 2]
    """
    if restriction is None:
        return list(gpus)
    seen: set[int] = set()
    for name in restriction.split(","):
        named = {gpu.index for gpu in gpus if _is_named(gpu, name.strip())}
        if not named:
            break
        seen |= named
    return [gpu for gpu in gpus if gpu.index in seen]


def _is_named(gpu: Gpu, name: str) -> bool:
    return name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name))


class GpuAccount:
    """Keeps account of the GPUs of one machine that this experiment's trials hold.

    Args:
        inventory: Lists the machine's GPUs, or raises TrainingServiceError, which says why they
            cannot be seen. Asked only for trials that need some, and once until `look_again`.
        place: What messages call the machine.
        indices: `gpuIndices`: those that trials may use; None for all.
        per_gpu: `maxTrialNumberPerGpu`: the most trials that share one.
        use_active: `useActiveGpu`: also those that other programs compute on.
    """

    def __init__(
        self,
        inventory: Callable[[], Sequence[Gpu]],
        *,
        place: str = "this machine",
        indices: Sequence[int] | None = None,
        per_gpu: int = 1,
        use_active: bool = False,
    ) -> None:
        self._inventory = inventory
        self._place = place
        self._indices = indices
        self._per_gpu = per_gpu
        self._use_active = use_active
        self._seen: Sequence[Gpu] | None = None
        self._held: dict[AttemptKey, tuple[int, ...]] = {}

    def look_again(self) -> None:
        """Ask for the inventory anew when it is needed next: other programs come and go."""
        self._seen = None

    def check(self, number: int | None) -> None:
        """Whether a trial can ever have `number` GPUs here.

        Raises:
            TrainingServiceError: It cannot; says why.
        """
        if number:
            self._allowed(number)

    def place(self, key: AttemptKey, number: int | None) -> Sequence[int] | str:
        """Give `key` its GPUs: their indices, or why it must wait.

        Raises:
            TrainingServiceError: As `check`; a GPU has been lost since.
        """
        if not number:
            return ()
        gpus = self._allowed(number)
        obstacles = {gpu.index: self._obstacle(gpu) for gpu in gpus}
        free = [gpu.index for gpu in gpus if not obstacles[gpu.index]]
        if len(free) < number:
            reasons = ", ".join(f"GPU {index} {why}" for index, why in obstacles.items() if why)
            return f"waits for {_gpus(number)}, {len(free)} free: {reasons}"
        free.sort(key=lambda index: (len(self._holders(index)), index))
        self._held[key] = tuple(free[:number])
        return self._held[key]

    def occupy(self, key: AttemptKey, indices: Sequence[int]) -> None:
        """`key` holds these already: it was started by an earlier manager."""
        if indices:
            self._held[key] = tuple(indices)

    def held_by(self, key: AttemptKey) -> Sequence[int]:
        """The indices of the GPUs that `key` holds."""
        return self._held.get(key, ())

    def release(self, key: AttemptKey) -> bool:
        """`key` is over; whether it held any.

        What was seen to compute on its GPUs belonged to it, and is not there any more.
        """
        indices = self._held.pop(key, None)
        if indices is None:
            return False
        if self._seen is not None:
            free = {index for index in indices if not self._holders(index)}
            self._seen = [replace(gpu, pids=()) if gpu.index in free else gpu for gpu in self._seen]
        return True

    def _allowed(self, number: int) -> Sequence[Gpu]:
        if self._seen is None:
            self._seen = self._inventory()
        gpus, indices = self._seen, self._indices
        missing = sorted(set(indices or ()) - {gpu.index for gpu in gpus})
        if missing:
            raise TrainingServiceError(
                f"gpuIndices names GPU {missing[0]}, but {self._place} has {_gpus(len(gpus))}"
            )
        allowed = [gpu for gpu in gpus if indices is None or gpu.index in indices]
        if len(allowed) < number:
            among = "" if indices is None else f" among gpuIndices {list(indices)}"
            raise TrainingServiceError(
                f"{_gpus(number)} for each trial, but {self._place} has {_gpus(len(allowed))}{among}"
            )
        return allowed

    def _obstacle(self, gpu: Gpu) -> str:
        """Why the GPU cannot be taken now; empty when it can."""
        holders = self._holders(gpu.index)
        if len(holders) >= self._per_gpu:
            return f"is held by trial {', '.join(key.trial_id for key in holders)}"
        if gpu.pids and not holders and not self._use_active:
            pids = ", ".join(map(str, gpu.pids))
            return f"is used by another program (pid {pids}; `useActiveGpu: true` would share it)"
        return ""

    def _holders(self, index: int) -> list[AttemptKey]:
        return [key for key, indices in self._held.items() if index in indices]


def _gpus(number: int) -> str:
    return f"{number or 'no'} GPU{'' if number == 1 else 's'}"
