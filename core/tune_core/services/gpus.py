"""Which GPUs of one machine a trial gets, and what a trial that gets none waits for.

For training services. A GPU may be taken when it is among those that trials may use, holds fewer
trials of this experiment than may share one, and no other program computes on it unless that is
allowed. The emptiest come first, then those of low number. A trial that does not fit lets those
pass that fit now: with the same number of GPUs for every trial, which is what a configuration
says, nobody can be passed for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tune_core.errors import TrainingServiceError
from tune_core.trial import AttemptKey

__all__ = ["Gpu", "GpuAccount"]


@dataclass(frozen=True)
class Gpu:
    """One GPU: its number as the driver counts, and the processes that compute on it."""

    index: int
    pids: tuple[int, ...] = ()
    uuid: str = ""


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
        """`key` is over; whether it held any."""
        return self._held.pop(key, None) is not None

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
