"""Which GPUs a trial gets, and what a trial that gets none waits for.

A GPU may be taken when it is among `gpuIndices`, holds fewer than `maxTrialNumberPerGpu` trials of
this experiment, and no other program computes on it unless `useActiveGpu` is set. The emptiest
come first, then those of low number. Trials are served in the order of submission, and one that
does not fit lets those pass that fit now: with the same number of GPUs for every trial, which is
what a configuration says, nobody can be passed for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tune_core import AttemptKey, TrainingServiceError
from tune_local.config import LocalConfig
from tune_local.gpus import Gpu

__all__ = ["Placement"]


class Placement:
    """Keeps account of the GPUs that this experiment's trials hold.

    Args:
        config: The service's options.
        inventory: Lists the machine's GPUs. Asked only by trials that need some.
    """

    def __init__(self, config: LocalConfig, inventory: Callable[[], Sequence[Gpu]]) -> None:
        self._config = config
        self._inventory = inventory
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
        gpus = self._seen
        indices = self._config.gpu_indices
        missing = sorted(set(indices or ()) - {gpu.index for gpu in gpus})
        if missing:
            raise TrainingServiceError(
                f"gpuIndices names GPU {missing[0]}, but this machine has {_gpus(len(gpus))}"
            )
        allowed = [gpu for gpu in gpus if indices is None or gpu.index in indices]
        if len(allowed) < number:
            among = "" if indices is None else f" among gpuIndices {list(indices)}"
            raise TrainingServiceError(
                f"{_gpus(number)} for each trial, but this machine has {_gpus(len(allowed))}{among}"
            )
        return allowed

    def _obstacle(self, gpu: Gpu) -> str:
        """Why the GPU cannot be taken now; empty when it can."""
        holders = self._holders(gpu.index)
        if len(holders) >= self._config.max_trial_number_per_gpu:
            return f"is held by trial {', '.join(key.trial_id for key in holders)}"
        if gpu.pids and not holders and not self._config.use_active_gpu:
            pids = ", ".join(map(str, gpu.pids))
            return f"is used by another program (pid {pids}; `useActiveGpu: true` would share it)"
        return ""

    def _holders(self, index: int) -> list[AttemptKey]:
        return [key for key, indices in self._held.items() if index in indices]


def _gpus(number: int) -> str:
    return f"{number or 'no'} GPU{'' if number == 1 else 's'}"
