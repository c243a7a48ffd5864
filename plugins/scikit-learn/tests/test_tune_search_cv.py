"""`TuneSearchCV` beside scikit-learn's own searches, and scikit-learn's own checks of it."""

# ruff: noqa: N803 (X is what scikit-learn calls it)

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import parallel_backend
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator
from tune_scikit_learn import TuneSearchCV

import tune
from tune_core import ConfigError, SearchSpaceError

X, Y = load_iris(return_X_y=True)
SPACE = {"C": tune.loguniform(1e-3, 1e3)}


class Peak(RegressorMixin, BaseEstimator):
    """Learns nothing: its score is best, and 0, at x = 3. It cannot be fitted below `floor`."""

    def __init__(self, x: float = 0.0, floor: float = -100.0) -> None:
        self.x = x
        self.floor = floor

    def fit(self, X: Any, y: Any) -> Peak:
        if self.x < self.floor:
            raise RuntimeError("too low")
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))

    def score(self, X: Any, y: Any) -> float:
        return -((self.x - 3) ** 2)


@pytest.mark.parametrize(
    ("estimator", "space", "failing"),
    [
        (LogisticRegression(), SPACE, []),
        # Nor does scikit-learn's own RandomizedSearchCV(Ridge(), ...) pass it.
        (Ridge(), {"alpha": tune.loguniform(1e-2, 10)}, ["check_supervised_y_2d"]),
    ],
    ids=["classifier", "regressor"],
)
def test_search_passes_the_checks_of_scikit_learn(estimator: Any, space: Any, failing: list[str]) -> None:
    search = TuneSearchCV(estimator, space, n_iter=2, cv=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks give it data that no estimator takes
        # Not parametrize_with_checks: it skips, and a skip fails in CI, what needs other array libraries.
        outcomes = check_estimator(search, on_skip=None, on_fail=None)
    assert [each["check_name"] for each in outcomes if each["status"] == "failed"] == failing
    assert sum(each["status"] == "passed" for each in outcomes) > 40


def test_grid_finds_what_grid_search_finds() -> None:
    values = [0.001, 0.1, 10.0]
    theirs = GridSearchCV(SVC(), {"C": values, "gamma": ["auto", "scale"]}, cv=3).fit(X, Y)
    space = {"C": tune.choice(values), "gamma": tune.choice("auto", "scale")}
    ours = TuneSearchCV(SVC(), space, tuner="Grid", n_iter=100, cv=3).fit(X, Y)
    key = "mean_test_score"
    scores = {str(sorted(params.items())): score for params, score in zip_results(theirs, key)}
    assert {str(sorted(params.items())): score for params, score in zip_results(ours, key)} == scores
    assert ours.best_score_ == theirs.best_score_


def zip_results(search: Any, key: str) -> list[tuple[dict[str, Any], float]]:
    return list(zip(search.cv_results_["params"], search.cv_results_[key], strict=True))


def test_tuner_learns_from_the_scores() -> None:
    search = TuneSearchCV(Peak(), {"x": tune.uniform(-10, 10)}, n_iter=60, cv=2, random_state=0).fit(X, Y)
    tried = np.asarray(search.cv_results_["param_x"], dtype=float)
    assert abs(search.best_params_["x"] - 3) < 0.1
    assert np.median(abs(tried[-20:] - 3)) < 1.5  # of random points the median is 5


def test_best_score_is_that_of_cross_validation() -> None:
    search = TuneSearchCV(SVC(), SPACE, n_iter=5, cv=3, random_state=0).fit(X, Y)
    assert search.best_score_ == cross_val_score(SVC(**search.best_params_), X, Y, cv=3).mean()
    assert search.score(X, Y) == SVC(**search.best_params_).fit(X, Y).score(X, Y)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_same_seed_finds_the_same_with_any_number_of_jobs(batch_size: int) -> None:
    search = TuneSearchCV(SVC(), SPACE, n_iter=12, batch_size=batch_size, cv=2, random_state=7)
    alone = clone(search).fit(X, Y).cv_results_["params"]
    with parallel_backend("threading"):
        together = clone(search).set_params(n_jobs=3).fit(X, Y).cv_results_["params"]
    assert alone == together
    assert len(alone) == 12


def test_branch_is_a_value_with_parameters_of_its_own() -> None:
    space = {
        "svc__kernel": tune.choice(
            tune.branch("rbf", svc__gamma=tune.loguniform(1e-3, 1)),
            tune.branch("poly", svc__degree=tune.randint(2, 4), svc__coef0=tune.uniform(0, 1)),
        )
    }
    search = TuneSearchCV(make_pipeline(StandardScaler(), SVC()), space, n_iter=20, cv=2, random_state=0)
    params = search.fit(X, Y).cv_results_["params"]
    kinds = {(each["svc__kernel"], *sorted(set(each) - {"svc__kernel"})) for each in params}
    assert kinds == {("rbf", "svc__gamma"), ("poly", "svc__coef0", "svc__degree")}
    assert all(2 <= each["svc__degree"] < 4 for each in params if "svc__degree" in each)


def test_options_are_any_objects() -> None:
    words = make_pipeline(CountVectorizer(), LogisticRegression())
    space = {
        "countvectorizer__ngram_range": tune.choice((1, 1), (1, 2)),
        "logisticregression": tune.choice(LogisticRegression(C=0.1), LogisticRegression(C=10)),
    }
    texts = ["good film", "bad film", "very good", "very bad"] * 3
    search = TuneSearchCV(words, space, tuner="Grid", n_iter=10, cv=2).fit(texts, [1, 0, 1, 0] * 3)
    assert set(search.cv_results_["param_countvectorizer__ngram_range"]) == {(1, 1), (1, 2)}
    assert len(search.cv_results_["params"]) == 4
    assert search.predict(["good"]) == [1]


@pytest.mark.parametrize(
    "folds",
    [
        KFold(3, shuffle=True),
        list(KFold(3).split(X)),
        KFold(3, shuffle=True).split(X),
    ],  # the first is new at each call
    ids=["splitter", "list", "iterator"],
)
def test_folds_are_the_same_for_all_batches(folds: Any) -> None:
    space = {"copy_X": tune.choice(True, False)}  # of no influence on the score
    results = TuneSearchCV(Ridge(), space, tuner="Grid", n_iter=2, cv=folds).fit(X, Y).cv_results_
    assert len(results["params"]) == 2
    for fold in range(3):
        first, second = results[f"split{fold}_test_score"]
        assert first == pytest.approx(second, rel=1e-12)


def test_configuration_that_cannot_be_fitted_is_left_out() -> None:
    space = {"x": tune.choice(-5, 1, 2)}
    search = TuneSearchCV(Peak(floor=0), space, tuner="Grid", n_iter=3, cv=2)
    with pytest.warns(FitFailedWarning, match=r"'x': -5.*RuntimeError: too low"):
        search.fit(X, Y)
    assert sorted(search.cv_results_["param_x"]) == [1, 2]
    assert search.best_params_ == {"x": 2}
    with pytest.raises(RuntimeError, match="too low"):
        search.set_params(error_score="raise").fit(X, Y)


def test_search_without_any_score_says_why() -> None:
    search = TuneSearchCV(Peak(floor=50), {"x": tune.uniform(0, 1)}, n_iter=2, cv=2)
    with pytest.warns(FitFailedWarning), pytest.raises(ValueError, match=r"(?s)fits failed.*too low"):
        search.fit(X, Y)


def test_wrong_parameter_of_the_estimator_ends_the_search() -> None:
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        TuneSearchCV(SVC(), {"depth": tune.randint(1, 3)}, n_iter=3).fit(X, Y)


def test_wrong_search_space_is_refused() -> None:
    with pytest.raises(SearchSpaceError, match="C"):
        TuneSearchCV(SVC(), {"C": tune.loguniform(-1, 1)}).fit(X, Y)


def test_parameter_in_branch_and_beside_is_refused() -> None:
    space = {**SPACE, "kernel": tune.choice(tune.branch("linear", C=tune.uniform(1, 2)))}
    with pytest.raises(ValueError, match="'C' is there twice"):
        TuneSearchCV(SVC(), space, n_iter=1).fit(X, Y)


@pytest.mark.parametrize("tuner", ["Hyperband", "PBT"])
def test_tuner_that_varies_training_is_refused(
    tuner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where PBT names folders
    with pytest.raises(ValueError, match=f"tuner {tuner} proposes .*not in the search space"):
        TuneSearchCV(SVC(), SPACE, tuner=tuner, n_iter=3).fit(X, Y)


def test_score_that_refit_names_is_maximised() -> None:
    scoring = {"high": lambda model, X, y: model.x, "low": lambda model, X, y: -model.x}
    space = {"x": tune.uniform(-10, 10)}
    for name, expected in [("high", 10), ("low", -10)]:
        search = TuneSearchCV(Peak(), space, n_iter=40, cv=2, scoring=scoring, refit=name, random_state=1)
        assert search.fit(X, Y).best_params_["x"] == pytest.approx(expected, abs=0.3)


def test_several_scores_without_a_name_are_all_objectives() -> None:
    scoring = {
        "near": lambda model, X, y: -((model.x - 1) ** 2),
        "far": lambda model, X, y: -((model.x + 1) ** 2),
    }
    search = TuneSearchCV(Peak(), {"x": tune.uniform(-10, 10)}, n_iter=60, cv=2, scoring=scoring, refit=False)
    tried = np.asarray(search.set_params(random_state=0).fit(X, Y).cv_results_["param_x"], dtype=float)
    last = tried[-30:]  # the front is from -1 to 1, a tenth of the space
    assert np.mean(abs(last) < 1.5) > 0.4  # with any seed more than half, where 0.15 would be by chance
    with pytest.raises(ConfigError, match="objective"):
        search.set_params(tuner="Anneal").fit(X, Y)


def test_refused_scores_are_named() -> None:
    search = TuneSearchCV(GaussianNB(), {"var_smoothing": tune.loguniform(1e-9, 1)}, n_iter=2)
    search.set_params(scoring=lambda model, X, y: {"a": 1.0, "b": 2.0}, refit=False)
    with pytest.raises(ValueError, match="name that which is to be maximised as refit"):
        search.fit(X, Y)
