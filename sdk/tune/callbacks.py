"""What callbacks of training libraries share: one metric, by name, reported as it comes.

A library tells its callbacks after each epoch what it measured, and at the end, if at all, which epoch was
the best. The callbacks of `tune-xgboost`, `tune-keras` and their like translate that into these three calls:

    class TuneCallback(library.Callback):
        def on_train_begin(self):
            self.curve = LearningCurve("val_loss")

        def on_epoch_end(self, epoch, metrics):  # {"loss": 0.4, "val_loss": 0.5}
            self.curve.report(epoch, metrics)

        def on_train_end(self):
            self.curve.report_final()

A handwritten training loop may do the same.
"""

from __future__ import annotations

from tune.trial import report_final_result, report_intermediate_result

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["LearningCurve"]


class LearningCurve:
    """One metric of one training, from its first evaluation to the final result.

    Args:
        metric: Its name among those that are measured.
        silent: Report nothing; for all but one of the processes of a distributed training. A name that
            there is not is an error in all of them, so that none waits for another.

    Attributes:
        values: What was measured so far, by the steps after which it was.
    """

    def __init__(self, metric: str, *, silent: bool = False) -> None:
        self.metric = metric
        self.silent = silent
        self.values: dict[int, float] = {}

    def report(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Report the metric as an intermediate result.

        Args:
            step: The epoch, round or step after which it was measured, as the library counts them.
            metrics: All that was measured then: numbers, or scalars of NumPy or torch.

        Raises:
            ValueError: The metric is not among them.
        """
        if self.metric not in metrics:
            raise ValueError(
                f"no metric {self.metric!r}; there are: {', '.join(map(str, metrics)) or 'none'}"
            )
        value = self.values[step] = float(metrics[self.metric])
        if not self.silent:
            report_intermediate_result(value)

    def report_final(self, best: int | None = None) -> None:
        """Report the final result: the metric after the step `best`, or after the last one if that is None
        or not a step of this training. Without any evaluation there is nothing to report."""
        if self.values and not self.silent:
            last = next(reversed(self.values))
            report_final_result(self.values[last if best is None or best not in self.values else best])
