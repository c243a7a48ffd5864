"""Patience: a trial that has not improved for some time is done, whatever the others do.

Prechelt, L. (1998). Early stopping - but when? In: Neural networks: tricks of the trade.
https://doi.org/10.1007/3-540-49430-8_3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from tune_core import Assessor

__all__ = ["PatienceAssessor"]


@dataclass
class _Progress:
    best: float = float("inf")
    best_at: int = 0  # results that had come with the last improvement
    heard: int = 0


class PatienceAssessor(Assessor):
    """Stop a trial when `patience` results in a row are no improvement.

    Args:
        patience: Results in a row.
        min_delta: An improvement is one by more than this, in the unit of the metric.
        start_step: Let every trial reach this number of results; its patience runs all the same.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        patience: int = Field(default=10, ge=1, description="Results in a row without improvement.")
        min_delta: float = Field(
            default=0.0, ge=0, description="An improvement is one by more than this, in the metric's unit."
        )
        start_step: int = Field(default=0, ge=0, description="Results before a trial may be stopped.")

    def __init__(self, patience: int = 10, min_delta: float = 0.0, start_step: int = 0) -> None:
        self._patience = patience
        self._min_delta = min_delta
        self._start_step = start_step
        self._running: dict[str, _Progress] = {}

    def assess_trial(self, trial_id: str, history: Sequence[float]) -> bool:
        progress = self._running.get(trial_id)
        if progress is None or progress.heard >= len(history):  # new, or started again
            progress = self._running[trial_id] = _Progress()
        for value in history[progress.heard :]:
            progress.heard += 1
            if value < progress.best - self._min_delta:
                progress.best, progress.best_at = value, progress.heard
        return progress.heard < self._start_step or progress.heard - progress.best_at < self._patience

    def trial_end(self, trial_id: str, success: bool) -> None:
        self._running.pop(trial_id, None)
