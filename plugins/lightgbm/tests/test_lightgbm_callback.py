"""The callback in trainings with LightGBM itself."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from tune_lightgbm import TuneCallback

import tune.trial
from tune_core import Experiment

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

Reports = Callable[[], tuple[list[float], list[float]]]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reports:
    """What was reported, in a process that has reported nothing before: intermediate and final results."""
    monkeypatch.setattr(tune.trial, "_final_reported", threading.Lock())

    def read() -> tuple[list[float], list[float]]:
        text = capsys.readouterr().out
        found = [re.findall(rf"tune: {kind}.*: (.*)", text) for kind in ("intermediate", "final")]
        return [float(value) for value in found[0]], [float(value) for value in found[1]]

    return read


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


def test_example_runs_as_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    scripts = re.findall(r"^```(\w+)\n(.*?)^```$", README.read_text(), flags=re.M | re.S)
    for language, name in (("python", "train.py"), ("yaml", "config.yml")):
        Path(name).write_text(next(text for kind, text in scripts if kind == language))
    config = Path("config.yml").read_text().replace("maxTrialNumber: 20", "maxTrialNumber: 2")
    Path("config.yml").write_text(config)
    experiment = Experiment("config.yml")
    assert experiment.run() == "DONE"
    for trial in experiment.trials():
        values = [each.value for each in experiment.metrics(trial) if not each.final]
        assert len(values) >= 10
        assert trial.value == max(values) > 0.9
