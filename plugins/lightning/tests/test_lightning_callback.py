"""The callback in trainings with Lightning itself, under both of its names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch
import pytest
import pytorch_lightning
import torch
from torch.utils.data import DataLoader
from trainings import Reports, check_example, reports_in
from tune_lightning import TuneCallback  # after the libraries, as in a script

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),  # nor need them
    pytest.mark.filterwarnings(
        "ignore:.*LeafSpec.* is deprecated:FutureWarning"
    ),  # Lightning 2.6, torch 2.13
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
]

README = Path(__file__).parents[1] / "README.md"
SCORES = [0.25, 0.75, 0.5]
DATA = DataLoader(torch.zeros(4, 2), batch_size=1)


@pytest.fixture(params=[lightning.pytorch, pytorch_lightning], ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def module(library: Any) -> Any:
    """A module whose score after each epoch is known."""

    class Module(library.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            self.validations = 0

        def training_step(self, batch: Any) -> Any:
            return self.layer(batch).sum()

        def validation_step(self, batch: Any) -> None:
            self.log("score", SCORES[self.current_epoch % 3])

        def on_validation_epoch_end(self) -> None:
            self.validations += not self.trainer.sanity_checking
            self.log("validations", float(self.validations))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    return Module()


def train(library: Any, *callbacks: Any, valid: Any = DATA, **options: Any) -> Any:
    usual = {"max_epochs": 3, "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    has_checkpoint = any(isinstance(each, library.callbacks.ModelCheckpoint) for each in callbacks)
    usual.update(accelerator="cpu", log_every_n_steps=1, enable_checkpointing=has_checkpoint)
    trainer = library.Trainer(callbacks=list(callbacks), **{**usual, **options})
    trainer.fit(module(library), DATA, valid)
    return trainer


def test_metric_is_reported_after_each_validation(library: Any, reports: Reports) -> None:
    train(library, TuneCallback("score"))  # the sanity check is one more
    assert reports() == (SCORES, [0.5])


def test_one_callback_needs_no_list(library: Any) -> None:
    callback = TuneCallback("score")
    assert callback in library.Trainer(callbacks=callback, logger=False, accelerator="cpu").callbacks


def test_metric_of_the_end_of_validation_is_there(library: Any, reports: Reports) -> None:
    train(library, TuneCallback("validations", final=False))
    assert reports() == ([1, 2, 3], [])


def test_each_of_several_validations_in_an_epoch_is_reported(library: Any, reports: Reports) -> None:
    train(library, TuneCallback("validations"), val_check_interval=0.5)
    assert reports() == ([1, 2, 3, 4, 5, 6], [6])


def test_unknown_metric_is_refused_with_those_there_are(library: Any) -> None:
    with pytest.raises(ValueError, match="no metric 'accuracy'; there are: score, validations"):
        train(library, TuneCallback("accuracy"))


def test_best_checkpoint_may_be_final(library: Any, reports: Reports, tmp_path: Path) -> None:
    checkpoint = library.callbacks.ModelCheckpoint(tmp_path, monitor="score", mode="max")
    train(library, checkpoint, TuneCallback("score", best=True))
    assert reports() == (SCORES, [0.75])
    loaded = torch.load(checkpoint.best_model_path, weights_only=True)
    assert loaded["epoch"] == 1


def test_best_checkpoint_is_refused_where_none_monitors_the_metric(library: Any, tmp_path: Path) -> None:
    other = library.callbacks.ModelCheckpoint(tmp_path, monitor="validations")
    with pytest.raises(ValueError, match=r"add ModelCheckpoint\(monitor='score', mode=...\)"):
        train(library, other, TuneCallback("score", best=True))
    assert not list(tmp_path.iterdir())


def test_validation_outside_of_a_fit_is_not_reported(library: Any, reports: Reports) -> None:
    trainer = train(library, TuneCallback("score"))
    reports()
    trainer.validate(module(library), DATA, verbose=False)
    assert reports() == ([], [])


def test_training_without_validation_reports_nothing(library: Any, reports: Reports) -> None:
    train(library, TuneCallback("score"), valid=None)
    assert reports() == ([], [])


DISTRIBUTED = """
import sys

sys.modules["lightning"] = None  # as if it were not installed
from tune_lightning import TuneCallback
import pytorch_lightning
import torch
from torch.utils.data import DataLoader

class Module(pytorch_lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch):
        return self.layer(batch).sum()

    def validation_step(self, batch):
        self.log("ranks", float(self.global_rank), sync_dist=True, reduce_fx="sum")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

assert isinstance(TuneCallback("ranks"), pytorch_lightning.Callback)
data = DataLoader(torch.zeros(4, 2), batch_size=1)
trainer = pytorch_lightning.Trainer(
    max_epochs=2, accelerator="cpu", devices=2, strategy="ddp_fork", callbacks=TuneCallback("ranks"),
    logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(Module(), data, data)
"""


def test_first_of_two_processes_reports(tmp_path: Path) -> None:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("TUNE_")}
    command = [sys.executable, "-c", DISTRIBUTED]
    done = subprocess.run(
        command, env=alone, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    intermediate, final = reports_in(done.stdout)
    assert len(intermediate) == 2
    assert final == intermediate[-1:]


def test_example_runs_as_an_experiment(tmp_path: Path) -> None:
    check_example(README, tmp_path, epochs=10, above=0.9)
