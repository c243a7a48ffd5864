"""The callback in trainings with the Trainer of Transformers itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import Reports, check_example
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed
from tune_transformers import TuneCallback

README = Path(__file__).parents[1] / "README.md"
SCORES = [0.25, 0.75, 0.5]
ROWS = [{"input_ids": torch.tensor([1, 2, each]), "labels": each % 2} for each in range(8)]
SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Arguments of three epochs of two steps each, for any test to change."""
    return {
        "output_dir": str(tmp_path / "output"),
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def make_trainer(
    options: dict[str, Any], callback: TuneCallback, *, scores: Sequence[float] = SCORES, **others: Any
) -> Trainer:
    """A trainer whose evaluations score `scores`, one after the other."""
    set_seed(0)
    scored = iter(scores)
    others = {"eval_dataset": ROWS, "compute_metrics": lambda _: {"score": next(scored)}, **others}
    model = BertForSequenceClassification(BertConfig(vocab_size=10, **SMALL))
    return Trainer(model, TrainingArguments(**options), train_dataset=ROWS, callbacks=[callback], **others)


def losses(trainer: Trainer) -> list[float]:
    return [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]


@pytest.mark.parametrize("metric", ["score", "eval_score"])
def test_metric_is_chosen_by_name_with_its_prefix_or_without(
    metric: str, options: dict[str, Any], reports: Reports
) -> None:
    make_trainer(options, TuneCallback(metric)).train()
    assert reports() == (SCORES, [0.5])


def test_loss_is_reported_without_a_name(options: dict[str, Any], reports: Reports) -> None:
    trainer = make_trainer(options, TuneCallback())
    trainer.train()
    assert reports() == (losses(trainer), losses(trainer)[-1:])


def test_unknown_metric_is_refused_with_those_there_are(options: dict[str, Any]) -> None:
    trainer = make_trainer(options, TuneCallback("f1"))
    with pytest.raises(ValueError, match="no metric 'eval_f1'; there are: eval_loss, eval_score, "):
        trainer.train()
    assert trainer.state.global_step == 2  # in time


def test_loaded_checkpoint_is_final_and_its_metric_the_default(
    options: dict[str, Any], reports: Reports
) -> None:
    options.update(save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="score")
    trainer = make_trainer(options, TuneCallback())
    trainer.train()
    assert trainer.state.best_model_checkpoint.endswith("-4")
    assert reports() == (SCORES, [0.75])


def test_other_metric_of_the_loaded_checkpoint_is_final(options: dict[str, Any], reports: Reports) -> None:
    options.update(save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="score")
    trainer = make_trainer(options, TuneCallback("loss"))
    trainer.train()
    assert reports() == (losses(trainer), losses(trainer)[1:2])


def test_best_checkpoint_of_an_interrupted_training_is_final(
    options: dict[str, Any], reports: Reports
) -> None:
    options.update(save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="score")
    make_trainer({**options, "num_train_epochs": 2}, TuneCallback(final=False)).train()
    assert reports() == ([0.25, 0.75], [])
    options["eval_on_start"] = True
    again = make_trainer(options, TuneCallback(), scores=[0.125, 0.5])
    again.train(resume_from_checkpoint=True)
    assert reports() == ([0.5], [0.75])


def test_evaluations_around_the_training_are_left_out(options: dict[str, Any], reports: Reports) -> None:
    options["eval_on_start"] = True
    trainer = make_trainer(options, TuneCallback("score"), scores=[0.0, 0.125, *SCORES, 1.0])
    trainer.evaluate()
    trainer.train()
    trainer.evaluate()
    assert reports() == (SCORES, [0.5])


def test_one_of_several_data_sets_is_chosen_by_name(options: dict[str, Any], reports: Reports) -> None:
    sets = {"seen": ROWS, "other": ROWS}
    scores = [0.0, 0.25, 0.0, 0.75, 0.0, 0.5]
    make_trainer(options, TuneCallback("other_score"), scores=scores, eval_dataset=sets).train()
    assert reports() == (SCORES, [0.5])


def test_training_without_evaluation_reports_nothing(options: dict[str, Any], reports: Reports) -> None:
    make_trainer({**options, "eval_strategy": "no"}, TuneCallback()).train()
    assert reports() == ([], [])


def test_first_process_alone_reports(options: dict[str, Any], reports: Reports) -> None:
    trainer = make_trainer(options, TuneCallback("score"))
    trainer.is_world_process_zero = lambda: False  # which is where the state has it from
    trainer.train()
    assert not trainer.state.is_world_process_zero
    assert reports() == ([], [])


def test_example_runs_as_an_experiment(tmp_path: Path) -> None:
    # A learning rate of 0.005, with which it learns from wherever it begins; of 0.015 one in 8 does not.
    check_example(README, tmp_path, epochs=5, above=0.9, seed=6)
