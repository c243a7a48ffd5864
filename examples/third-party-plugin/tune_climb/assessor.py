"""Plateau: end a trial whose results no longer improve."""

from collections.abc import Sequence

from tune_core import Assessor


class PlateauAssessor(Assessor):
    """Stop a trial when its last `patience` results brought nothing better than the ones before.

    Args:
        patience: How many results without improvement are too many.
        min_delta: By how much a result must be better to count.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"patience is {patience}; give 1 or more")
        self._patience = patience
        self._min_delta = min_delta

    def assess_trial(self, trial_id: str, history: Sequence[float]) -> bool:
        before, recent = history[: -self._patience], history[-self._patience :]
        return not before or min(recent) < min(before) - self._min_delta
