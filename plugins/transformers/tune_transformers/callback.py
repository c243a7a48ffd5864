"""A callback of the Hugging Face Trainer that reports what it evaluates."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from tune.callbacks import LearningCurve

__all__ = ["TuneCallback"]


class TuneCallback(TrainerCallback):  # type: ignore[misc] # Any where Transformers is not installed
    """Reports a metric after each evaluation while training, and at the end how the training came out.

    That is the metric of the checkpoint that the trainer loads at the end (`load_best_model_at_end`), or of
    the last evaluation. What is evaluated before the first step and after the training is left out. In a
    distributed training one process reports. It never stops the training: a trial is ended from outside.

    Args:
        metric: Which one: `eval_accuracy` or, as `compute_metrics` has it, `accuracy`. None takes the
            `metric_for_best_model` of the arguments, and the loss where there is none.
        final: Whether to report the final result; False leaves it to the script.

    Raises:
        ValueError: While training, if there is no such metric.
    """

    def __init__(self, metric: str | None = None, *, final: bool = True) -> None:
        self.metric = metric
        self.final = final
        self._curve: LearningCurve | None = None  # there is one while training
        self._first_step = 0
        self._evaluated: dict[str, Any] = {}  # and not reported yet

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        name = self.metric or args.metric_for_best_model or "loss"
        name = name if name.startswith("eval_") else f"eval_{name}"
        self._curve = LearningCurve(name, silent=not state.is_world_process_zero)
        # Of a training that goes on from a checkpoint, which may turn out to be the best one.
        self._curve.values = {each["step"]: float(each[name]) for each in state.log_history if name in each}
        self._first_step = state.global_step
        self._evaluated = {}

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:
        if self._curve and state.global_step > self._first_step:
            self._evaluated.update(metrics)  # several data sets are evaluated one after the other

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._report(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._report(state)
        if self._curve and self.final:
            loaded = state.best_model_checkpoint if args.load_best_model_at_end else None
            self._curve.report_final(int(loaded.rpartition("-")[2]) if loaded else None)  # .../checkpoint-500
        self._curve = None

    def _report(self, state: Any) -> None:
        if self._curve and self._evaluated:
            self._curve.report(state.global_step, self._evaluated)
            self._evaluated = {}
