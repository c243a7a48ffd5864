"""Twelve families of learning curves, fitted by least squares, and what they predict together.

Domhan, T., Springenberg, J. T. and Hutter, F. (2015). Speeding up automatic hyperparameter optimization of
deep neural networks by extrapolation of learning curves. IJCAI 2015, table 1.
https://www.ijcai.org/Abstract/15/487

The paper samples parameters and weights by MCMC, for minutes. Here each family has its least-squares fit and
weighs by Akaike's criterion, exp(-AIC / 2): deterministic, and milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import leastsq  # type: ignore[import-untyped]

__all__ = ["FAMILIES", "Family", "predict"]

Floats: TypeAlias = NDArray[np.float64]

LEAST_FITTED = 4  # NNI's: fewer families that agree are no prediction
MOST_POINTS = 60  # of a longer history that many are used: more only take time
MOST_EVALUATIONS = 80  # of a family, for each of its parameters
_EPSILON = 1e-9
_LARGE = 1e6  # the residual of what is no number


class Family(NamedTuple):
    """One form of curve.

    Attributes:
        curve: Of the step x, shape (n,), and the parameters; shape (n,).
        start: The parameters from which the fit starts; of the number of steps seen.
    """

    name: str
    curve: Callable[..., Floats]
    start: Callable[[int], tuple[float, ...]]


def _power(base: Floats | float, exponent: Floats | float) -> Floats:
    result: Floats = np.power(np.maximum(base, _EPSILON), exponent)
    return result


FAMILIES: tuple[Family, ...] = (
    Family("vap", lambda x, a, b, c: np.exp(a + b / x + c * np.log(x)), lambda _: (0.0, -1.0, 0.05)),
    Family("pow3", lambda x, c, a, alpha: c - a * x**-alpha, lambda _: (1.0, 1.0, 0.5)),
    Family("linear", lambda x, a, b: a * x + b, lambda n: (1.0 / n, 0.1)),
    Family("logx_linear", lambda x, a, b: a * np.log(x) + b, lambda n: (1.0 / np.log(n + 1), 0.1)),
    Family(
        "dr_hill_zero_background",
        lambda x, theta, eta, kappa: theta / (1.0 + _power(_power(kappa, 1.0) / x, eta)),
        lambda n: (1.1, 1.0, n / 4),
    ),
    Family(
        "log_power", lambda x, a, b, c: a / (1.0 + (x / np.exp(b)) ** c), lambda n: (1.1, np.log(n / 4), -1.0)
    ),
    Family("pow4", lambda x, c, a, b, alpha: c - _power(a * x + b, -alpha), lambda _: (1.1, 1.0, 0.5, 0.7)),
    Family(
        "mmf",
        lambda x, alpha, beta, kappa, delta: alpha - (alpha - beta) / (1.0 + _power(kappa * x, delta)),
        lambda n: (1.1, 0.0, 4.0 / n, 1.0),
    ),
    Family(
        "exp4",
        lambda x, c, a, b, alpha: c - np.exp(-a * x**alpha + b),
        lambda n: (1.0, 2.0 / n**0.7, 0.0, 0.7),
    ),
    Family("ilog2", lambda x, c, a: c - a / np.log(x + 1.0), lambda _: (1.2, 0.8)),
    Family(
        "weibull",
        lambda x, alpha, beta, kappa, delta: alpha - (alpha - beta) * np.exp(-_power(kappa * x, delta)),
        lambda n: (1.0, 0.1, 3.0 / n, 0.8),
    ),
    Family(
        "janoschek",
        lambda x, alpha, beta, kappa, delta: alpha - (alpha - beta) * np.exp(-kappa * x**delta),
        lambda n: (1.0, 0.1, 3.0 / n, 1.0),
    ),
)


class _Fit(NamedTuple):
    prediction: float
    criterion: float  # Akaike's, up to a constant


def predict(values: Sequence[float], step: int) -> float | None:
    """What a curve that began with `values` will be at `step`, counted from 1; None if nobody knows.

    Args:
        values: Lower is better, finite.
    """
    y = np.asarray(values, dtype=np.float64)
    worst, best = float(y.max()), float(y.min())
    with np.errstate(over="ignore"):
        span = worst - best
    if span == 0.0:
        return best
    if not np.isfinite(span):
        return None
    # The families rise from about 0 to about 1.
    chosen = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_POINTS)).round().astype(np.intp))
    scaled: Floats = 0.1 + 0.9 * ((worst - y[chosen]) / span)
    predicted = _predict_scaled(np.add(chosen, 1.0, dtype=np.float64), scaled, len(y), float(step))
    return None if predicted is None else worst - span * (predicted - 0.1) / 0.9


def _predict_scaled(x: Floats, y: Floats, n: int, step: float) -> float | None:
    fits = [fit for family in FAMILIES if (fit := _fit(family, x, y, n, step)) is not None]
    fits = _near_the_median(fits)
    if len(fits) < LEAST_FITTED:
        return None
    criteria = np.array([fit.criterion for fit in fits])
    weights = np.exp(-0.5 * (criteria - criteria.min()))
    return float(np.average([fit.prediction for fit in fits], weights=weights))


def _fit(family: Family, x: Floats, y: Floats, n: int, step: float) -> _Fit | None:
    """The least-squares fit to `y` at the steps `x`, or None where there is none."""
    start = np.array(family.start(n))
    if len(x) < len(start):
        return None

    def residuals(parameters: Floats) -> Floats:
        off = family.curve(x, *parameters) - y
        total = float(off @ off)
        return off if total < _LARGE else np.full(len(x), _LARGE)  # also when it is no number

    with np.errstate(all="ignore"):
        found, *_ = leastsq(residuals, start, maxfev=MOST_EVALUATIONS * len(start), full_output=True)
        prediction = float(family.curve(np.array([step]), *found)[0])
        off = family.curve(x, *found) - y
        error = float(off @ off) / len(x)
    if not np.isfinite(prediction) or not error < 1.0:  # it fits worse than a constant
        return None
    # A fit to the last digit must not silence all others: a metric is seldom exact beyond 1e-4 of its range.
    return _Fit(prediction, len(x) * np.log(error + 1e-8) + 2 * len(start))


def _near_the_median(fits: list[_Fit]) -> list[_Fit]:
    """Without those whose prediction is more than a standard deviation from the median, as in NNI."""
    if not fits:
        return []
    predictions = np.array([fit.prediction for fit in fits])
    off = np.abs(predictions - np.median(predictions))
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = np.sqrt(np.mean(off**2))
    return [fit for fit, distance in zip(fits, off, strict=True) if distance <= deviation]
