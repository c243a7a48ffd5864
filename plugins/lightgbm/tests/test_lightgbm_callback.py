"""The callback in trainings with LightGBM itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from trainings import Reports, check_example
from tune_lightgbm import TuneCallback

README = Path(__file__).parents[1] / "README.md"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 5))
Y = (X[:, 0] + RNG.normal(size=600) > 0).astype(int)
PARAMS = {
    "objective": "binary",
    "metric": ["binary_logloss", "binary_error"],
    "learning_rate": 0.3,
    "num_threads": 1,
    "verbose": -1,
}


def train(*callbacks: Any, rounds: int = 8, **options: Any) -> tuple[lightgbm.Booster, Any]:
    data = lightgbm.Dataset(X[:400], Y[:400], free_raw_data=False)
    valid = lightgbm.Dataset(X[400:], Y[400:], reference=data, free_raw_data=False)
    history: dict[str, Any] = {}
    recorded = lightgbm.record_evaluation(history)
    options = {"valid_sets": [data, valid], "valid_names": ["training", "valid"], **options}
    return lightgbm.train(PARAMS, data, rounds, callbacks=[*callbacks, recorded], **options), history


def test_first_metric_of_validation_is_reported(reports: Reports) -> None:
    report = TuneCallback()
    booster, history = train(report)
    report.report_final(booster)
    assert reports() == (history["valid"]["binary_logloss"], [history["valid"]["binary_logloss"][-1]])


def test_metric_is_chosen_by_name(reports: Reports) -> None:
    _, history = train(TuneCallback("training binary_error"))
    assert reports() == (history["training"]["binary_error"], [])


def test_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no metric 'valid auc'; there are: training binary_logloss, .*"):
        train(TuneCallback("valid auc"))


@pytest.mark.parametrize("first", [True, False])
def test_early_stopping_makes_the_best_round_final(reports: Reports, first: bool) -> None:
    report, stop = TuneCallback(), lightgbm.early_stopping(5, first_metric_only=True, verbose=False)
    booster, history = train(*([report, stop] if first else [stop, report]), rounds=200)
    report.report_final(booster)
    values = history["valid"]["binary_logloss"]
    assert len(values) < 200
    assert reports() == (values, [min(values)])
    assert values[booster.best_iteration - 1] == min(values)


def test_best_round_of_a_continued_training_is_final(reports: Reports) -> None:
    few, _ = train(rounds=2)
    report, stop = TuneCallback(), lightgbm.early_stopping(5, first_metric_only=True, verbose=False)
    booster, history = train(report, stop, rounds=200, init_model=few)
    report.report_final(booster)
    assert booster.best_iteration > 2
    assert reports() == (history["valid"]["binary_logloss"], [min(history["valid"]["binary_logloss"])])


def test_second_training_starts_anew(reports: Reports) -> None:
    report = TuneCallback()
    train(report, rounds=9)
    booster, history = train(report, rounds=3)
    report.report_final(booster)
    assert reports()[1] == [history["valid"]["binary_logloss"][2]]


@pytest.mark.parametrize(
    "stopping", [[], [lightgbm.early_stopping(4, first_metric_only=True, verbose=False)]]
)
def test_cross_validation_reports_means(reports: Reports, stopping: list[Any]) -> None:
    report = TuneCallback("valid binary_logloss")
    data = lightgbm.Dataset(X, Y)
    options = {"nfold": 3, "return_cvbooster": True, "callbacks": [report, *stopping]}
    results = lightgbm.cv(PARAMS, data, 60 if stopping else 5, **options)
    report.report_final(results["cvbooster"])
    means = results["valid binary_logloss-mean"]  # up to the best round
    intermediate, final = reports()
    assert intermediate[: len(means)] == pytest.approx(means)
    assert final == pytest.approx(means[-1:])
    assert len(intermediate) == len(means) + (4 if stopping else 0)


def test_estimator_reports(reports: Reports) -> None:
    report = TuneCallback()
    model = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1)
    model.fit(X[:400], Y[:400], eval_X=X[400:], eval_y=Y[400:], callbacks=[report])
    report.report_final(model)
    values = model.evals_result_["valid_0"]["binary_logloss"]
    assert reports() == (values, values[-1:])


def test_training_without_evaluation_has_nothing_to_report(reports: Reports) -> None:
    report = TuneCallback()
    booster, _ = train(report, valid_sets=None, valid_names=None)
    with pytest.raises(ValueError, match="no metric was evaluated; train with valid_sets"):
        report.report_final(booster)
    assert reports() == ([], [])


def test_example_runs_as_an_experiment(tmp_path: Path) -> None:
    check_example(README, tmp_path, epochs=10, above=0.9)
