"""A callback of Keras that reports what it measures."""

from __future__ import annotations

from typing import Any

from keras.callbacks import Callback, EarlyStopping

from tune.callbacks import LearningCurve

__all__ = ["TuneCallback"]


class TuneCallback(Callback):
    """Reports a metric after each epoch, and at the end how the training came out.

    It never stops the training: a trial is ended from outside.

    Args:
        metric: Which one, as Keras prints it: `val_accuracy`. One of the validation is reported after the
            epochs that are validated.
        early_stopping: The training's own, so that the result is that of the epoch whose weights it
            restores. Else it is that of the last epoch.
        final: Whether to report the final result; False leaves it to the script.

    Raises:
        ValueError: While training, if there is no such metric.
    """

    def __init__(
        self,
        metric: str = "val_loss",
        *,
        early_stopping: EarlyStopping | None = None,
        final: bool = True,
    ) -> None:
        super().__init__()
        self.metric = metric
        self.early_stopping = early_stopping
        self.final = final
        self._curve = LearningCurve(metric)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._curve = LearningCurve(self.metric)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = logs or {}
        is_validated = any(name.startswith("val_") for name in metrics)
        if is_validated or not self.metric.startswith("val_"):
            self._curve.report(epoch, metrics)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.final:
            self._curve.report_final(self._restored_epoch())

    def _restored_epoch(self) -> int | None:
        stopping = self.early_stopping
        if stopping and stopping.restore_best_weights and stopping.best_weights is not None:
            return int(stopping.best_epoch)
        return None
