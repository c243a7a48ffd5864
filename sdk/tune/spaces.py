"""Search spaces in Python: functions that return what a search-space file says.

    space = {"lr": tune.loguniform(1e-4, 1e-1), "layers": tune.choice(1, 2, 4)}

The same can stand in the hints or defaults of a function that `tune_core.minimize` is given.
"""

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from typing import Any, Dict

    Spec = Dict[str, Any]

__all__ = [
    "branch",
    "choice",
    "lognormal",
    "loguniform",
    "normal",
    "qlognormal",
    "qloguniform",
    "qnormal",
    "quniform",
    "randint",
    "uniform",
]


def choice(*options: "Any") -> "Spec":
    """One of the options; a single list is taken for the options themselves.

    >>> choice("adam", "sgd")
    {'_type': 'choice', '_value': ['adam', 'sgd']}
    """
    only = options[0] if len(options) == 1 else None
    return _spec("choice", *(only if isinstance(only, (list, tuple)) else options))


def branch(name: str, **parameters: "Any") -> "Spec":
    """An option of `choice` with parameters of its own, which only count where it is chosen.

    >>> choice(branch("conv", size=choice(3, 5)), branch("none"))["_value"][1]
    {'_name': 'none'}
    """
    return {"_name": name, **parameters}


def randint(lower: int, upper: int) -> "Spec":
    """A whole number from `lower` to below `upper`."""
    return _spec("randint", lower, upper)


def uniform(low: float, high: float) -> "Spec":
    """A number from `low` to `high`."""
    return _spec("uniform", low, high)


def quniform(low: float, high: float, q: float) -> "Spec":
    """A multiple of `q`, or a bound, from `low` to `high`."""
    return _spec("quniform", low, high, q)


def loguniform(low: float, high: float) -> "Spec":
    """A number from `low` to `high`, both above zero, whose logarithm is uniform."""
    return _spec("loguniform", low, high)


def qloguniform(low: float, high: float, q: float) -> "Spec":
    """A multiple of `q`, or a bound, whose logarithm is about uniform."""
    return _spec("qloguniform", low, high, q)


def normal(mu: float, sigma: float) -> "Spec":
    """A number around `mu`, of standard deviation `sigma`."""
    return _spec("normal", mu, sigma)


def qnormal(mu: float, sigma: float, q: float) -> "Spec":
    """A multiple of `q` around `mu`."""
    return _spec("qnormal", mu, sigma, q)


def lognormal(mu: float, sigma: float) -> "Spec":
    """A number whose logarithm is around `mu`."""
    return _spec("lognormal", mu, sigma)


def qlognormal(mu: float, sigma: float, q: float) -> "Spec":
    """A multiple of `q` whose logarithm is around `mu`."""
    return _spec("qlognormal", mu, sigma, q)


def _spec(kind: str, *value: "Any") -> "Spec":
    return {"_type": kind, "_value": list(value)}
