"""A callback of Lightning that reports what validation measures."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import tune
from tune.callbacks import LearningCurve

__all__ = ["TuneCallback"]

LIBRARIES = ("lightning.pytorch", "pytorch_lightning")  # the same, by its new and its old name


def _base_classes() -> tuple[type, ...]:
    """`Callback` of the library that the script has imported, or of both; else of one that is there."""
    imported = [sys.modules[name] for name in LIBRARIES if name in sys.modules]
    if not imported:
        try:
            imported = [import_module(LIBRARIES[0])]
        except ModuleNotFoundError:
            imported = [import_module(LIBRARIES[1])]
    return tuple(library.Callback for library in imported)


class TuneCallback(*_base_classes()):  # type: ignore[misc] # which ones is known when it is imported
    """Reports a metric after each validation of a fit, and at its end how the training came out.

    The sanity check before the training is left out. In a distributed training only rank 0 reports. It never
    stops the training: a trial is ended from outside.

    Args:
        metric: Which one, by the name under which the module logs it in validation: `val_accuracy`.
        best: Make the score of the best checkpoint the result, instead of the last validation's: a
            `ModelCheckpoint` of the trainer has to monitor the metric.
        final: Whether to report the final result; False leaves it to the script.

    Raises:
        ValueError: While training, if there is no such metric; before it, if no checkpoint monitors it.
    """

    def __init__(self, metric: str, *, best: bool = False, final: bool = True) -> None:
        super().__init__()
        self.metric = metric
        self.best = best
        self.final = final
        self._curve = LearningCurve(metric)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._curve = LearningCurve(self.metric, silent=not trainer.is_global_zero)
        if self.best:
            self._checkpoint(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._curve.report(trainer.global_step, trainer.callback_metrics)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if not self.final:
            return
        score = self._checkpoint(trainer).best_model_score if self.best else None
        if score is None:
            self._curve.report_final()
        elif trainer.is_global_zero:
            tune.report_final_result(float(score))

    def _checkpoint(self, trainer: Any) -> Any:
        """The checkpoint callback that knows the best score."""
        for callback in trainer.checkpoint_callbacks:
            if getattr(callback, "monitor", None) == self.metric:
                return callback
        raise ValueError(
            f"best=True takes the score from a checkpoint callback, and the trainer has none that monitors "
            f"{self.metric!r}; add ModelCheckpoint(monitor={self.metric!r}, mode=...)"
        )
