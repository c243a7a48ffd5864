"""A callback of XGBoost that reports what it evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xgboost import collective
from xgboost.callback import TrainingCallback

from tune.callbacks import LearningCurve

__all__ = ["TuneCallback"]


class TuneCallback(TrainingCallback):
    """Reports an evaluation metric after each round, and at the end how the training came out.

    That is the metric of the best round if the training stopped early, of the last round otherwise: what
    `predict` is going to use. Under distributed training only the first worker reports. It never stops the
    training: a trial is ended from outside.

    Args:
        metric: Which one, as XGBoost prints it: `validation-auc`. None takes the last metric of the last
            data set, as XGBoost's early stopping does.
        final: Whether to report the final result; False leaves it to the script.

    Raises:
        ValueError: While training, if there is no such metric.
    """

    def __init__(self, metric: str | None = None, *, final: bool = True) -> None:
        super().__init__()
        self.metric = metric
        self.final = final
        self._start(0)

    def _start(self, rounds: int) -> None:
        self._rounds_before = rounds  # of a model that is trained on
        self._history: Mapping[str, Mapping[str, Any]] = {}
        self._curve: LearningCurve | None = None

    def before_training(self, model: Any) -> Any:
        self._start(model.num_boosted_rounds())
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._history = evals_log
        self._report_new()
        return False

    def after_training(self, model: Any) -> Any:
        # A callback that stops the training keeps those behind it from hearing of that round.
        self._report_new()
        if self._curve and self.final:
            best = model.attr("best_iteration")
            self._curve.report_final(None if best is None else int(best))
        return model

    def _report_new(self) -> None:
        """Report the rounds that the curve does not have yet."""
        metrics = {
            f"{data}-{name}": each for data, names in self._history.items() for name, each in names.items()
        }
        if not metrics:
            return
        if self._curve is None:
            self._curve = LearningCurve(self.metric or list(metrics)[-1], silent=collective.get_rank() > 0)
        rounds = len(next(iter(metrics.values())))
        for place in range(len(self._curve.values), rounds):
            after_round = {name: _mean(values[place]) for name, values in metrics.items()}
            self._curve.report(self._rounds_before + place, after_round)


def _mean(value: Any) -> float:
    """Of a cross-validation, `value` is the mean over the folds and its deviation."""
    return float(value[0] if isinstance(value, tuple) else value)
