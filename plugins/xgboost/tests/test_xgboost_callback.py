"""The callback in trainings with XGBoost itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from trainings import Reports, check_example
from tune_xgboost import TuneCallback

README = Path(__file__).parents[1] / "README.md"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5))
Y = (X[:, 0] + RNG.normal(size=300) > 0).astype(int)
TRAIN, VALID = xgboost.DMatrix(X[:200], Y[:200]), xgboost.DMatrix(X[200:], Y[200:])
PARAMS = {"objective": "binary:logistic", "eval_metric": ["error", "logloss"], "eta": 0.5, "nthread": 1}
EVALS = [(TRAIN, "train"), (VALID, "valid")]


def train(*callbacks: Any, rounds: int = 12, **options: Any) -> tuple[xgboost.Booster, Any]:
    history: dict[str, Any] = {}
    options = {"evals": EVALS, "evals_result": history, "verbose_eval": False, **options}
    return xgboost.train(PARAMS, TRAIN, rounds, callbacks=list(callbacks), **options), history


def test_last_metric_of_last_data_is_reported(reports: Reports) -> None:
    _, history = train(TuneCallback())
    assert reports() == (history["valid"]["logloss"], [history["valid"]["logloss"][-1]])


def test_metric_is_chosen_by_name(reports: Reports) -> None:
    _, history = train(TuneCallback("train-error"))
    assert reports() == (history["train"]["error"], [history["train"]["error"][-1]])


def test_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no metric 'valid-auc'; there are: train-error, .*valid-logloss"):
        train(TuneCallback("valid-auc"))


@pytest.mark.parametrize("first", [True, False])
def test_early_stopping_makes_the_best_round_final(reports: Reports, first: bool) -> None:
    stop = xgboost.callback.EarlyStopping(rounds=5)
    order = [TuneCallback(), stop] if first else [stop, TuneCallback()]
    booster, history = train(*order, rounds=100)
    values = history["valid"]["logloss"]
    assert len(values) < 100
    assert reports() == (values, [min(values)])
    assert values[booster.best_iteration] == min(values)


def test_continued_training_reports_its_own_rounds(reports: Reports) -> None:
    earlier, _ = train(rounds=100, early_stopping_rounds=5)
    _, history = train(TuneCallback(), rounds=3, xgb_model=earlier)  # which carries its best_iteration along
    assert reports() == (history["valid"]["logloss"], [history["valid"]["logloss"][-1]])


def test_best_round_of_a_continued_training_is_final(reports: Reports) -> None:
    few, _ = train(rounds=2)
    _, history = train(TuneCallback(), rounds=100, xgb_model=few, early_stopping_rounds=5)
    values = history["valid"]["logloss"]
    assert reports() == (values, [min(values)])


def test_cross_validation_reports_means(reports: Reports) -> None:
    table = xgboost.cv(
        PARAMS, TRAIN, 6, nfold=3, seed=0, as_pandas=False, callbacks=[TuneCallback("test-error")]
    )
    intermediate, final = reports()
    assert intermediate == pytest.approx(table["test-error-mean"])
    assert final == intermediate[-1:]


def test_estimator_reports_and_script_may_have_the_last_word(reports: Reports) -> None:
    model = xgboost.XGBClassifier(n_estimators=4, n_jobs=1, callbacks=[TuneCallback(final=False)])
    model.fit(X[:200], Y[:200], eval_set=[(X[200:], Y[200:])], verbose=False)
    assert reports() == (model.evals_result()["validation_0"]["logloss"], [])


def test_training_without_evaluation_reports_nothing(reports: Reports) -> None:
    train(TuneCallback(), evals=())
    assert reports() == ([], [])


def test_example_runs_as_an_experiment(tmp_path: Path) -> None:
    check_example(README, tmp_path, epochs=10, above=0.9)
