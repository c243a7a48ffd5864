"""What the Gaussian process says of all that was measured, and what it says one more result would tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tune_gp.embedding import Bools, Embedding, Floats, Indices
from tune_gp.history import refit_after, thin
from tune_gp.process import Hyper, Process, Smoothness, fit
from tune_gp.surrogate import Posterior
from tune_gp.warp import warp

from tune_metis.gain import expected_minimum
from tune_metis.samples import Samples

__all__ = ["Belief", "Model"]

_SURPRISING = 1.96  # standard deviations: outside of 95 % of what the other results lead to expect


@dataclass(frozen=True)
class Belief(Posterior):
    """The model at one moment.

    Attributes:
        process: Conditioned on the rows that are modelled, then on trials that run.
        weights: Of the mean, shape (rows and running trials,).
        shown: What the model was shown for these, shape (rows and running trials,).
        noise: Variance of one measurement, of targets.
        rows: Numbers of the rows that are modelled.
        targets: The part of `shown` that is theirs, shape (rows,).
        values: Their results: medians, lower is better.
        factor: By which results near the best were scaled to targets.
    """

    shown: Floats
    noise: float
    rows: Indices
    targets: Floats
    values: Floats
    factor: float

    def mean(self, units: Floats, active: Bools) -> Floats:
        """Expected targets, shape (m,)."""
        return np.asarray(self.process.covariance(self.embedding(units, active)) @ self.weights)

    def in_units_of_the_result(self, target: float, deviation: float) -> tuple[float, float]:
        """An expected target and its deviation, as a result and its deviation."""
        order = np.argsort(self.targets, kind="stable")
        best = int(order[0])
        below = min(target - float(self.targets[best]), 0.0) / self.factor
        result = float(np.interp(target, self.targets[order], self.values[order])) + below
        return result, deviation / self.factor

    def surprises(self) -> Indices:
        """Places among `rows` whose result is not what the others lead to expect, the strangest first.

        Each is predicted from all others at once: Rasmussen and Williams' equations 5.11 and 5.12.
        """
        n = len(self.targets)
        errors = self.process.left_out(self.process.weights(self.targets))
        variances = self.process.left_out(np.ones(n))
        strangeness = np.abs(errors) / np.sqrt(variances)
        order = np.argsort(-strangeness, kind="stable")
        return order[strangeness[order] > _SURPRISING]

    def optimum_after(self, units: Floats, active: Bools, places: tuple[Floats, Bools]) -> float:
        """The lowest mean to expect once a configuration has been measured.

        Args:
            units, active: The configuration, shape (dimensions,).
            places: Where the lowest mean may be, beside the configuration itself.
        """
        point = self.embedding(units[None], active[None])
        mean, variance = self.process.posterior(point, self.weights)
        larger = self.process.extended(point)
        covariance = larger.covariance(np.concatenate([self.embedding(*places), point]))
        # The means are straight lines in the result. One that meets the expectation changes nothing; the
        # slope is what one predictive deviation more makes of it.
        result = np.append(self.shown, mean)
        means = covariance @ larger.weights(result)
        result[-1] += np.sqrt(variance[0] + self.noise)
        return expected_minimum(means, covariance @ larger.weights(result) - means)


class Model:
    """Makes beliefs about samples.

    Scales are fitted now and then, by a schedule that depends on the number of results alone: an experiment
    that is resumed computes the same numbers, to the last bit.

    Args:
        most: Configurations that are modelled; of more, `thin` chooses.
    """

    def __init__(self, embedding: Embedding, samples: Samples, form: Smoothness, *, most: int) -> None:
        self._embedding, self._samples = embedding, samples
        self._form, self._most = form, most
        self._fitted = 0  # results at the last fit
        self._hyper: Hyper | None = None

    def believe(self, running: tuple[Floats, Bools]) -> Belief:
        """The belief after all results, of which there is one at least.

        Args:
            running: Configurations on trial, shape (n, dimensions). They count as measured, with the result
                that is expected of them: the mean stays and its deviation shrinks.
        """
        hyper = self._scales()
        rows, values = self._samples.rows, self._samples.rows.values
        chosen = thin(values, self._most)
        targets, factor = warp(values[chosen])
        features = self._embedding(rows.units[chosen], rows.active[chosen])
        process = Process(features, self._embedding.owners, hyper, self._form)
        weights, shown = process.weights(targets), targets
        if len(running[0]):
            more = self._embedding(*running)
            shown = np.concatenate([targets, process.covariance(more) @ weights])
            process = process.extended(more)
            weights = process.weights(shown)
        noise = hyper.noise + self._form.alpha
        return Belief(
            self._embedding, process, weights, shown, noise, chosen, targets, values[chosen], factor
        )

    def _scales(self) -> Hyper:
        """Those fitted to as many of the first results as the schedule says."""
        due = self._fitted or 1
        while refit_after(due) <= len(self._samples):
            due = refit_after(due)
        if due != self._fitted or self._hyper is None:
            medians = self._samples.medians(due)
            chosen = thin(medians, self._most)
            rows, targets = self._samples.rows, warp(medians[chosen])[0]
            features = self._embedding(rows.units[chosen], rows.active[chosen])
            embedding = self._embedding
            self._hyper = fit(features, targets, embedding.owners, embedding.scales, self._form)
            self._fitted = due
        return self._hyper
