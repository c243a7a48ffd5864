"""A callback of LightGBM that reports what it evaluates."""

from __future__ import annotations

from typing import Any

from lightgbm import LGBMModel

import tune

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
        self._values: list[float] = []
        self._rounds_before = 0

    def __call__(self, env: Any) -> None:
        if env.iteration == env.begin_iteration:
            self._values, self._rounds_before = [], env.begin_iteration
        if env.evaluation_result_list:
            value = self._pick(env.evaluation_result_list)
            self._values.append(value)
            tune.report_intermediate_result(value)

    def report_final(self, model: Any) -> None:
        """Report the final result: the metric of the best round if the training stopped early, of the last
        round otherwise; what `predict` is going to use.

        Args:
            model: What was trained: a booster, an estimator, or the `cvbooster` of a cross-validation.

        Raises:
            ValueError: There was nothing to evaluate on.
        """
        if not self._values:
            raise ValueError(
                "no metric was evaluated; train with valid_sets, or fit with data to evaluate on"
            )
        booster = model.booster_ if isinstance(model, LGBMModel) else model
        best = booster.best_iteration - self._rounds_before  # counted from 1
        tune.report_final_result(self._values[best - 1 if 1 <= best <= len(self._values) else -1])

    def _pick(self, results: list[tuple[Any, ...]]) -> float:
        found = {_name(data, metric): float(value) for data, metric, value, *_ in results}
        name = self.metric
        if name is None:
            valid = [each for each in found if each.partition(" ")[0] not in {"training", "train"}]
            name = (valid or list(found))[0]
        if name not in found:
            raise ValueError(f"no metric {name!r}; there are: {', '.join(found)}")
        return found[name]


def _name(data: str, metric: str) -> str:
    return metric if data == "cv_agg" else f"{data} {metric}"  # before LightGBM 4.7 a metric of cv has both
