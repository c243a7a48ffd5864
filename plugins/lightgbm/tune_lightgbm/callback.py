"""A callback of LightGBM that reports what it evaluates."""

from __future__ import annotations

from typing import Any

from lightgbm import LGBMModel

from tune.callbacks import LearningCurve

__all__ = ["TuneCallback"]

ORDER = 25  # LightGBM's early stopping is 30, and callbacks behind it do not hear of the round that it ends


class TuneCallback:
    """Reports an evaluation metric after each round, and at the end how the training came out.

    LightGBM tells a callback nothing of the end of a training, so `report_final` has to be called then. It
    never stops the training: a trial is ended from outside.

    Args:
        metric: Which one, as the data set and the metric: `valid auc`. None takes the first metric of the
            first data set that is not the training's own.

    Raises:
        ValueError: While training, if there is no such metric.
    """

    def __init__(self, metric: str | None = None) -> None:
        self.metric = metric
        self.order = ORDER  # of the instance: LightGBM looks for it in its __dict__
        self._curve: LearningCurve | None = None

    def __call__(self, env: Any) -> None:
        if env.iteration == env.begin_iteration:
            self._curve = None
        metrics = {_name(data, metric): value for data, metric, value, *_ in env.evaluation_result_list or ()}
        if not metrics:
            return
        if self._curve is None:
            self._curve = LearningCurve(self.metric or _first_of_validation(list(metrics)))
        self._curve.report(env.iteration + 1, metrics)  # counted as `best_iteration` is

    def report_final(self, model: Any) -> None:
        """Report the final result: the metric of the best round if the training stopped early, of the last
        round otherwise; what `predict` is going to use.

        Args:
            model: What was trained: a booster, an estimator, or the `cvbooster` of a cross-validation.

        Raises:
            ValueError: There was nothing to evaluate on.
        """
        if self._curve is None:
            raise ValueError(
                "no metric was evaluated; train with valid_sets, or fit with data to evaluate on"
            )
        booster = model.booster_ if isinstance(model, LGBMModel) else model
        self._curve.report_final(booster.best_iteration)


def _first_of_validation(names: list[str]) -> str:
    valid = [name for name in names if name.partition(" ")[0] not in {"training", "train"}]
    return (valid or names)[0]


def _name(data: str, metric: str) -> str:
    return metric if data == "cv_agg" else f"{data} {metric}"  # before LightGBM 4.7 a metric of cv has both
