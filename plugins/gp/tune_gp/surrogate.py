"""The model of a history: fitted now and then, extended by each result in between.

Between two fits the same rows are appended in the same order whether or not anybody asked meanwhile, so
that an experiment that is resumed computes the same numbers to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tune_gp.embedding import Bools, Embedding, Floats, Indices
from tune_gp.history import History, refit_after, thin
from tune_gp.process import Process, Smoothness, fit
from tune_gp.warp import warp

__all__ = ["Belief", "Posterior", "Surrogate"]

_NEWEST_FAILED = 50


@dataclass(frozen=True)
class Posterior:
    """What a process says of configurations, by their coordinates.

    Attributes:
        embedding: From coordinates to features.
        process: Conditioned on what is known.
        weights: Of the mean.
    """

    embedding: Embedding
    process: Process
    weights: Floats

    def predict(self, units: Floats, active: Bools) -> tuple[Floats, Floats]:
        """Mean and standard deviation, both of shape (m,)."""
        mean, variance = self.process.posterior(self.embedding(units, active), self.weights)
        return mean, np.sqrt(variance)

    def slopes(self, units: Floats, active: Bools) -> tuple[Floats, Floats, Floats, Floats]:
        """`predict`, and the gradients of both in the coordinates, shape (m, dimensions)."""
        features = self.embedding(units, active)
        mean, variance, by_mean, by_variance = self.process.slopes(features, self.weights)
        deviation = np.sqrt(variance)
        by_deviation = by_variance / (2.0 * deviation[:, None])
        pull_back = self.embedding.pull_back
        return mean, deviation, pull_back(units, active, by_mean), pull_back(units, active, by_deviation)


@dataclass(frozen=True)
class Belief(Posterior):
    """What the model says at one moment, of the function that is to be minimised.

    Attributes:
        process: Conditioned on the finished trials that are modelled, then on those that failed, then on
            those that run.
        weights: Of the mean, shape (finished and failed ones,).
        means: At the finished trials that are modelled: of a noisy result less is believed.
        factor: By which the best results were scaled.
        rows: Numbers of the finished trials that are modelled.
        explained: Which share of the variance of the results the model predicts, each from the others; 1
            is all, 0 or less is none.
    """

    means: Floats
    factor: float
    rows: Indices
    explained: float

    @property
    def noise(self) -> float:
        """Standard deviation of the noise, as a share of that of the function."""
        return float(np.sqrt(self.process.hyper.noise / self.process.hyper.signal))


def _guesses(process: Process, failed: Floats, features: Floats, weights: Floats, worst: float) -> Floats:
    """What failed trials are taken to have had, shape (n_failed,).

    Between what the model expects there and the worst result, by the share of failures around: where all
    fail it is as bad as can be, and a failure by chance tells little but that this point was tried. The
    cube keeps one failure in five from raising the model where the best results are.
    """
    cross = process.covariance(failed)
    expected = cross[:, : len(weights)] @ weights
    successes = process.nearness(failed, features).sum(axis=1)
    failures = process.nearness(failed, failed).sum(axis=1)  # itself counts 1
    share = np.maximum(failures - 1.0, 0.0) / (successes + failures)
    return np.asarray(expected + share**3 * (worst - expected))


class Surrogate:
    """Makes beliefs about one history.

    Args:
        most: Results that are modelled; of more, `thin` chooses.
        straighten: Whether results are warped.
    """

    def __init__(
        self, embedding: Embedding, history: History, form: Smoothness, *, most: int, straighten: bool
    ) -> None:
        self.embedding = embedding
        self._history = history
        self._form, self._most, self._straighten = form, most, straighten
        self._fitted = 0  # results at the last fit
        self._rows: Indices = np.empty(0, dtype=np.intp)
        self._process: Process | None = None
        self._belief: Belief | None = None
        self._believed = 0  # changes of the history at the last belief

    def believe(self) -> Belief:
        """The belief after all that is in the history, which holds a result at least."""
        if self._belief is None or self._believed != self._history.changes:
            self._belief, self._believed = self._conclude(), self._history.changes
        return self._belief

    def _conclude(self) -> Belief:
        finished = self._history.finished
        process = self._conditioned(finished.n)
        targets, factor = warp(finished.values[self._rows], straighten=self._straighten)
        weights = process.weights(targets)
        means = process.means(targets, weights)
        errors = process.left_out(weights)
        explained = 1.0 - float(errors @ errors) / max(float(targets @ targets), 1e-300)
        failed = self._failed()
        more = np.concatenate([failed, self._running()])
        if len(more):
            features = self.embedding(finished.units[self._rows], finished.active[self._rows])
            guesses = _guesses(process, failed, features, weights, float(targets.max()))
            process = process.extended(more)
            weights = process.weights(np.concatenate([targets, guesses]))
        return Belief(self.embedding, process, weights, means, factor, self._rows, explained)

    def _failed(self) -> Floats:
        """Features of the newest failed trials, shape (n_failed, features)."""
        failed = self._history.failed
        newest = slice(max(failed.n - _NEWEST_FAILED, 0), failed.n)
        return self.embedding(failed.units[newest], failed.active[newest])

    def _running(self) -> Floats:
        """Features of the trials that run, oldest first, shape (n_running, features)."""
        pending = self._history.pending.values()
        if not pending:
            return np.empty((0, len(self.embedding.owners)))
        units, active = (np.array(part) for part in zip(*pending, strict=True))
        return self.embedding(units, active)

    def _conditioned(self, n: int) -> Process:
        """The process given the first `n` results, fitted when the schedule says so."""
        finished = self._history.finished
        due = self._fitted or 1
        while refit_after(due) <= n:
            due = refit_after(due)
        if due != self._fitted or self._process is None:
            self._fit(due)
        assert self._process is not None
        start = self._fitted + len(self._process) - len(self._rows_at_fit)
        for row in range(start, n):
            features = self.embedding(finished.units[row][None], finished.active[row][None])
            self._process = self._process.extended(features)
        self._rows = np.concatenate([self._rows_at_fit, np.arange(self._fitted, n)])
        return self._process

    def _fit(self, n: int) -> None:
        finished = self._history.finished
        rows = thin(finished.values[:n], self._most)
        features = self.embedding(finished.units[rows], finished.active[rows])
        targets, _ = warp(finished.values[rows], straighten=self._straighten)
        hyper = fit(features, targets, self.embedding.owners, self.embedding.scales, self._form)
        self._process = Process(features, self.embedding.owners, hyper, self._form)
        self._rows_at_fit, self._fitted = rows, n
