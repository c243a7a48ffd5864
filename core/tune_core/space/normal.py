"""The standard normal distribution to full double precision, on NumPy arrays.

Cody, W. J. (1969). Rational Chebyshev approximations for the error function. Mathematics of
Computation 23, 631-637. https://doi.org/10.2307/2004390

Wichura, M. J. (1988). Algorithm AS 241: the percentage points of the normal distribution. Applied
Statistics 37, 477-484. https://doi.org/10.2307/2347330
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["normal_cdf", "normal_ppf"]

Array: TypeAlias = NDArray[np.float64]

# Coefficients in order of ascending powers, numerator then denominator.
_ERF = (
    (
        3.20937758913846947e03, 3.77485237685302021e02, 1.13864154151050156e02,
        3.16112374387056560e00, 1.85777706184603153e-1,
    ),
    (
        2.84423683343917062e03, 1.28261652607737228e03, 2.44024637934444173e02,
        2.36012909523441209e01, 1.0,
    ),
)  # fmt: skip
_ERFC_MIDDLE = (
    (
        1.23033935479799725e03, 2.05107837782607147e03, 1.71204761263407058e03,
        8.81952221241769090e02, 2.98635138197400131e02, 6.61191906371416295e01,
        8.88314979438837594e00, 5.64188496988670089e-1, 2.15311535474403846e-8,
    ),
    (
        1.23033935480374942e03, 3.43936767414372164e03, 4.36261909014324716e03,
        3.29079923573345963e03, 1.62138957456669019e03, 5.37181101862009858e02,
        1.17693950891312499e02, 1.57449261107098347e01, 1.0,
    ),
)  # fmt: skip
_ERFC_TAIL = (
    (
        6.58749161529837803e-4, 1.60837851487422766e-2, 1.25781726111229246e-1,
        3.60344899949804439e-1, 3.05326634961232344e-1, 1.63153871373020978e-2,
    ),
    (
        2.33520497626869185e-3, 6.05183413124413191e-2, 5.27905102951428412e-1,
        1.87295284992346725e00, 2.56852019228982242e00, 1.0,
    ),
)  # fmt: skip
_PPF_CENTRE = (
    (
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
        1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
        3.3430575583588128105e4, 2.5090809287301226727e3,
    ),
    (
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2,
        5.3941960214247511077e3, 2.1213794301586595867e4, 3.9307895800092710610e4,
        2.8729085735721942674e4, 5.2264952788528545610e3,
    ),
)  # fmt: skip
_PPF_MIDDLE = (
    (
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
        3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
        2.27238449892691845833e-2, 7.74545014278341407640e-4,
    ),
    (
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0,
        6.89767334985100004550e-1, 1.48103976427480074590e-1, 1.51986665636164571966e-2,
        5.47593808499534494600e-4, 1.05075007164441684324e-9,
    ),
)  # fmt: skip
_PPF_TAIL = (
    (
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
        2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
        2.71155556874348757815e-5, 2.01033439929228813265e-7,
    ),
    (
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1,
        1.48753612908506148525e-2, 7.86869131145613259100e-4, 1.84631831751005468180e-5,
        1.42151175831644588870e-7, 2.04426310338993978564e-15,
    ),
)  # fmt: skip

_SQRT_HALF = 0.70710678118654752440
_INV_SQRT_PI = 5.6418958354775628695e-1


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    result = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result *= x
        result += coefficient
    return result


def _ratio(coefficients: tuple[Sequence[float], Sequence[float]], x: Array) -> Array:
    return _polynomial(coefficients[0], x) / _polynomial(coefficients[1], x)


def _erfc_of_large(y: Array) -> Array:
    """The complementary error function where y > 0.46875."""
    result = np.empty_like(y)
    tail = y > 4.0
    middle = ~tail
    result[middle] = _ratio(_ERFC_MIDDLE, y[middle])
    far = np.minimum(y[tail], 40.0)  # erfc(40) underflows to 0; inf would give nan
    inverse_square = 1.0 / (far * far)
    result[tail] = (_INV_SQRT_PI - inverse_square * _ratio(_ERFC_TAIL, inverse_square)) / far
    # exp(-y*y) in two factors: the square of a rounded to sixteenths is exact.
    y = np.minimum(y, 40.0)
    rounded = np.trunc(y * 16.0) / 16.0
    result *= np.exp(-rounded * rounded) * np.exp(-(y - rounded) * (y + rounded))
    return result


def normal_cdf(x: Any) -> Array:
    """P(X <= x) for a standard normal X; relative precision also in the lower tail."""
    z = np.asarray(x, dtype=np.float64) * -_SQRT_HALF
    y = np.abs(z)
    small = y <= 0.46875
    result = np.empty_like(y)
    centre = z[small]
    result[small] = 0.5 - 0.5 * centre * _ratio(_ERF, centre * centre)
    large = ~small
    upper = 0.5 * _erfc_of_large(y[large])
    result[large] = np.where(z[large] > 0, upper, 1.0 - upper)
    return result


def normal_ppf(p: Any) -> Array:
    """The x with P(X <= x) = p for a standard normal X; infinite at 0 and 1."""
    p = np.asarray(p, dtype=np.float64)
    q: Array = p - 0.5
    result = np.empty_like(q)
    centre = np.abs(q) <= 0.425
    result[centre] = q[centre] * _ratio(_PPF_CENTRE, 0.180625 - q[centre] ** 2)
    outer = ~centre
    with np.errstate(divide="ignore"):
        r = np.sqrt(-np.log(np.where(q[outer] < 0, p[outer], 1.0 - p[outer])))
    far = np.where(
        r <= 5.0,
        _ratio(_PPF_MIDDLE, np.minimum(r, 5.0) - 1.6),
        _ratio(_PPF_TAIL, np.clip(r, 5.0, 30.0) - 5.0),
    )
    result[outer] = np.copysign(np.where(np.isinf(r), np.inf, far), q[outer])
    return result
