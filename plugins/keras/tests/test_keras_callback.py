"""The callback in trainings with Keras itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from trainings import Reports, check_example
from tune_keras import TuneCallback

pytestmark = [
    # Keras's own, when it copies weights with NumPy 2.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning:keras"
    ),
    pytest.mark.xdist_group("keras"),  # the first fit imports TensorFlow where there is one
]

README = Path(__file__).parents[1] / "README.md"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype("float32")
Y = RNG.integers(0, 2, size=96).astype("float32")  # nothing to learn, but to remember
VALID = X[64:], Y[64:]


def train(*callbacks: Any, epochs: int = 3, **options: Any) -> tuple[keras.Model, dict[str, list[float]]]:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    options = {"validation_data": VALID, "verbose": 0, **options}
    history = model.fit(X[:64], Y[:64], epochs=epochs, callbacks=list(callbacks), **options)
    return model, history.history


def early_stopping(**options: Any) -> keras.callbacks.EarlyStopping:
    return keras.callbacks.EarlyStopping("val_loss", patience=3, **options)


def test_validation_loss_is_reported(reports: Reports) -> None:
    _, history = train(TuneCallback())
    assert reports() == (history["val_loss"], history["val_loss"][-1:])


def test_metric_is_chosen_by_name_and_script_may_have_the_last_word(reports: Reports) -> None:
    _, history = train(TuneCallback("accuracy", final=False), validation_data=None)
    assert reports() == (history["accuracy"], [])


@pytest.mark.parametrize("metric", ["val_auc", "auc"])
def test_unknown_metric_is_refused_with_those_there_are(metric: str) -> None:
    with pytest.raises(ValueError, match=f"no metric '{metric}'; there are: accuracy, .*val_loss"):
        train(TuneCallback(metric))


def test_training_without_validation_does_not_report_one(reports: Reports) -> None:
    train(TuneCallback(), validation_data=None)
    assert reports() == ([], [])


def test_epochs_that_are_not_validated_are_left_out(reports: Reports) -> None:
    _, history = train(TuneCallback(), epochs=5, validation_freq=2)
    assert len(history["val_loss"]) == 2
    assert reports() == (history["val_loss"], history["val_loss"][-1:])


@pytest.mark.parametrize("first", [True, False])
def test_restored_weights_make_their_epoch_final(reports: Reports, first: bool) -> None:
    stop = early_stopping(restore_best_weights=True)
    report = TuneCallback("val_accuracy", early_stopping=stop)
    order = [report, stop] if first else [stop, report]
    model, history = train(*order, epochs=40, initial_epoch=10)
    assert 4 <= len(history["val_loss"]) < 30
    assert history["val_accuracy"][-1] != history["val_accuracy"][-4]
    assert reports() == (history["val_accuracy"], [history["val_accuracy"][-4]])
    _, accuracy = model.evaluate(*VALID, verbose=0)
    assert accuracy == pytest.approx(history["val_accuracy"][-4])


def test_weights_that_stay_make_the_last_epoch_final(reports: Reports) -> None:
    stop = early_stopping(restore_best_weights=False)
    _, history = train(TuneCallback(early_stopping=stop), stop, epochs=40)
    assert len(history["val_loss"]) < 40
    assert reports() == (history["val_loss"], history["val_loss"][-1:])


def test_second_training_starts_anew(reports: Reports) -> None:
    report = TuneCallback(final=False)
    train(report, epochs=4)
    report.final = True
    _, history = train(report, epochs=2)
    assert reports()[1] == history["val_loss"][-1:]


def test_example_runs_as_an_experiment(tmp_path: Path) -> None:
    check_example(README, tmp_path, epochs=4, above=0.9)
