"""`TuneSearchCV`: scikit-learn's search over parameters, with any tuner."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from tune_core import AskTell, NoMoreTrial
from tune_core.algorithms.ask_tell import Asked
from tune_scikit_learn.grid import EstimatorSpace

__all__ = ["TuneSearchCV"]

Results = Mapping[str, Any]
EvaluateCandidates = Callable[..., Results]


class TuneSearchCV(BaseSearchCV):
    """Cross-validated search over the parameters of an estimator, led by a tuner of tune.

    It is used as `RandomizedSearchCV` is, and has the same attributes after `fit`. What is tried next depends
    on the scores so far.

    Args:
        estimator: What is tuned; a pipeline too.
        search_space: As in a search-space file, by the names of `set_params`. Options of a choice may be any
            objects. A branch of a nested choice is the value of the parameter, and its own parameters are
            parameters of the estimator.
        n_iter: Configurations to try; fewer if the search space ends before.
        tuner: The name of an installed tuner or advisor.
        tuner_arguments: What a configuration would have under `classArgs`.
        batch_size: Configurations that are proposed before the scores of any of them are known. What is found
            depends on it and not on `n_jobs`; more keep more workers busy, fewer learn faster.
        scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score: As in
            `RandomizedSearchCV`. Of several scores, that named by `refit` is maximised; all of them if it
            names none, which takes a tuner for several objectives.
        random_state: Fixes what the tuner proposes.
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012 (scikit-learn's own idiom)
        **BaseSearchCV._parameter_constraints,
        "search_space": [dict],
        "n_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "tuner": [str],
        "tuner_arguments": [dict, None],
        "batch_size": [Interval(numbers.Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        search_space: Mapping[str, Any],
        *,
        n_iter: int = 50,
        tuner: str = "TPE",
        tuner_arguments: Mapping[str, Any] | None = None,
        batch_size: int = 1,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
    ) -> None:
        self.search_space = search_space
        self.n_iter = n_iter
        self.tuner = tuner
        self.tuner_arguments = tuner_arguments
        self.batch_size = batch_size
        self.random_state = random_state
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )

    def _run_search(self, evaluate_candidates: EvaluateCandidates) -> None:
        space = EstimatorSpace(self.search_space, self.tuner)
        study = self._study(space)
        splits = self._same_splits()
        scored = 0
        failure: ValueError | None = None
        for batch in self._batches(study):
            candidates = [space.read(asked.parameters) for asked in batch]
            try:
                results = evaluate_candidates(candidates, cv=splits)
            except ValueError as err:
                # scikit-learn gives up where no fit of a call succeeds. Here a call is a batch, and one
                # configuration that cannot be fitted says nothing of the next.
                if self.error_score == "raise" or "fits failed" not in str(err):
                    raise
                failure = err
                warnings.warn(f"{candidates} is left out: {_last_line(err)}", FitFailedWarning, stacklevel=2)
                scores: Sequence[Any] = [None] * len(batch)
            else:
                scores = [self._score(results, scored + place) for place in range(len(batch))]
                scored += len(batch)
            for asked, score in zip(batch, scores, strict=True):
                study.tell(asked, score)
        if failure is not None and not scored:
            raise failure

    def _same_splits(self) -> _SameSplits | None:
        """The folds for all batches; None where scikit-learn keeps them, as it does those of a list."""
        is_splitter = self.cv is None or isinstance(self.cv, numbers.Integral) or hasattr(self.cv, "split")
        return _SameSplits(self.cv, classifier=is_classifier(self.estimator)) if is_splitter else None

    def _study(self, space: EstimatorSpace) -> AskTell:
        names = self._objectives()
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return AskTell(
            self.tuner,
            space.for_tuner,
            mode=dict.fromkeys(names, "maximize") if names else "maximize",
            seed=int(seed),
            arguments=self.tuner_arguments,
        )

    def _objectives(self) -> list[str]:
        """The scores that are all to be maximised; none where there is one."""
        several = isinstance(self.scoring, (list, tuple, set, dict))
        return sorted(self.scoring) if several and not isinstance(self.refit, str) else []

    def _batches(self, study: AskTell) -> Iterator[list[Asked]]:
        """What to evaluate next, until there is enough or the tuner has no more."""
        left = self.n_iter
        while left:
            batch = _ask(study, min(self.batch_size, left))
            if not batch:
                return
            left -= len(batch)
            yield batch

    def _score(self, results: Results, place: int) -> Any:
        """What the tuner is told of a candidate; None where there is no score."""
        names = self._objectives()
        if names:
            scores = {name: float(results[f"mean_test_{name}"][place]) for name in names}
            return scores if all(map(np.isfinite, scores.values())) else None
        key = f"mean_test_{self.refit}" if f"mean_test_{self.refit}" in results else "mean_test_score"
        if key not in results:
            raise ValueError("scoring returns several scores; name that which is to be maximised as refit")
        score = float(results[key][place])
        return score if np.isfinite(score) else None


class _SameSplits:
    """The same folds for every batch, though a splitter without a seed draws new ones each time."""

    def __init__(self, cv: Any, *, classifier: bool) -> None:
        self._cv = cv
        self._classifier = classifier
        self._splits: list[Any] | None = None

    def split(self, X: Any, y: Any = None, **params: Any) -> list[Any]:  # noqa: N803 (scikit-learn's word)
        if self._splits is None:
            splitter = check_cv(self._cv, y, classifier=self._classifier)
            self._splits = list(splitter.split(X, y, **params))
        return self._splits


def _ask(study: AskTell, count: int) -> list[Asked]:
    """Up to `count` configurations: fewer if the tuner wants results first, none if it has no more."""
    batch: list[Asked] = []
    while len(batch) < count:
        try:
            asked = study.ask()
        except NoMoreTrial:
            break
        if asked is None:
            break
        batch.append(asked)
    return batch


def _last_line(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2]
