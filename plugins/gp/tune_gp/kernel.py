"""The Matern kernel as a function of the squared distance, with its slope.

Rasmussen, C. E. and Williams, C. K. I. (2006). Gaussian processes for machine learning, section 4.2.
http://gaussianprocess.org/gpml/
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gamma, kv

from tune_gp.embedding import Floats

__all__ = ["matern", "matern_and_slope", "matern_slope", "squared_distances"]

_LEAST = 1e-24  # squared distance: below it the general formulae divide by 0
_SMOOTHEST = 60.0  # beyond, the gamma function and the power leave floating point


def squared_distances(x: Floats, y: Floats, y_squares: Floats | None = None) -> Floats:
    """Between the rows of `x`, shape (n, k), and of `y`, shape (m, k); shape (n, m).

    Args:
        y_squares: Squared lengths of the rows of `y`, if they are known.
    """
    squares: Floats = (-2.0 * x) @ y.T
    squares += np.einsum("ij,ij->i", x, x)[:, None]
    squares += np.einsum("ij,ij->i", y, y) if y_squares is None else y_squares
    return np.maximum(squares, 0.0, out=squares)


def matern(squares: Floats, nu: float) -> Floats:
    """Correlation at squared distances; 1 at 0. `nu` infinite is the squared exponential."""
    if nu == 2.5:
        # In place: to make large arrays takes longer than to fill them.
        r = 5.0 * squares
        correlation: Floats = r / 3.0
        np.sqrt(r, out=r)
        correlation += r
        correlation += 1.0
        np.negative(r, out=r)
        correlation *= np.exp(r, out=r)
    elif nu == 1.5:
        r = np.sqrt(3.0 * squares)
        correlation = (1.0 + r) * np.exp(-r)
    elif nu == 0.5:
        correlation = np.exp(-np.sqrt(squares))
    elif math.isinf(nu):
        correlation = np.exp(-0.5 * squares)
    else:
        correlation = _bessel(squares, nu)
    return correlation


def matern_slope(squares: Floats, nu: float) -> Floats:
    """Derivative of `matern` with respect to the squared distance."""
    if nu == 2.5:
        r = np.sqrt(5.0 * squares)
        slope: Floats = (-5.0 / 6.0) * (1.0 + r) * np.exp(-r)
    elif nu == 1.5:
        slope = -1.5 * np.exp(-np.sqrt(3.0 * squares))
    elif nu == 0.5:
        r = np.sqrt(np.maximum(squares, _LEAST))
        slope = -0.5 / r * np.exp(-r)
    elif math.isinf(nu):
        slope = -0.5 * np.exp(-0.5 * squares)
    elif nu > 1:  # d/dz z^nu K_nu(z) = -z^nu K_(nu-1)(z)
        slope = -0.5 * nu / (nu - 1.0) * _bessel(squares * (nu / (nu - 1.0)), nu - 1.0)
    else:
        z = np.sqrt(2.0 * nu * np.maximum(squares, _LEAST))
        slope = -nu * 2.0 ** (1.0 - nu) / gamma(nu) * z ** (nu - 1.0) * kv(nu - 1.0, z)
    return slope


def matern_and_slope(squares: Floats, nu: float) -> tuple[Floats, Floats]:
    """`matern` and `matern_slope`, in less time than both."""
    if nu != 2.5:
        return matern(squares, nu), matern_slope(squares, nu)
    r = np.sqrt(5.0 * squares)
    decay = np.exp(-r)
    slope = (1.0 + r) * decay
    return slope + (5.0 / 3.0) * squares * decay, (-5.0 / 6.0) * slope


def _bessel(squares: Floats, nu: float) -> Floats:
    """The general form; where its factors are out of range of floating point, the distance is next to 0."""
    if nu > _SMOOTHEST:
        return matern(squares, math.inf)
    z = np.sqrt(2.0 * nu * np.maximum(squares, _LEAST))
    with np.errstate(over="ignore", invalid="ignore"):
        value = 2.0 ** (1.0 - nu) / gamma(nu) * z**nu * kv(nu, z)
    return np.where(np.isfinite(value), value, 1.0)
