"""A callback of XGBoost that reports what it evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xgboost import collective
from xgboost.callback import TrainingCallback

import tune

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
        self._reported = 0

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
        values = self._values() if self._history else []
        if values and self.final and _is_first():
            best = model.attr("best_iteration")
            place = -1 if best is None else int(best) - self._rounds_before
            tune.report_final_result(values[place if 0 <= place < len(values) else -1])
        return model

    def _report_new(self) -> None:
        if self._history and _is_first():
            values = self._values()
            for value in values[self._reported :]:
                tune.report_intermediate_result(value)
            self._reported = len(values)

    def _values(self) -> list[float]:
        """The metric after each round so far; of a cross-validation, its mean over the folds."""
        if self.metric is None:
            values = list(list(self._history.values())[-1].values())[-1]
        else:
            data, _, name = self.metric.partition("-")  # a data set has no dash in its name
            try:
                values = self._history[data][name]
            except KeyError:
                there = [f"{data}-{name}" for data, names in self._history.items() for name in names]
                raise ValueError(f"no metric {self.metric!r}; there are: {', '.join(there)}") from None
        return [float(value[0] if isinstance(value, tuple) else value) for value in values]


def _is_first() -> bool:
    return bool(collective.get_rank() == 0)
