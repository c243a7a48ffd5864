"""Which results count as good, and how much each counts."""

from __future__ import annotations

import math

import numpy as np

from tune_tpe.history import Floats, Indices

__all__ = ["count_good", "forgetting_weights", "improvement_weights", "split", "thin"]


def count_good(n: int, gamma: float | None, most: int) -> int:
    """How many of `n` results are good: three of twenty, or with `gamma` NNI's ceil(gamma sqrt(n)).

    >>> [count_good(n, None, 25) for n in (1, 6, 7, 100, 1000)]
    [1, 1, 2, 15, 25]
    >>> [count_good(n, 0.25, 25) for n in (1, 20, 100, 40000)]
    [1, 2, 3, 25]
    """
    share = 0.15 * n if gamma is None else gamma * math.sqrt(n)
    return min(math.ceil(share), most)


def split(values: Floats, n_good: int) -> tuple[Indices, Indices]:
    """Numbers of the `n_good` lowest values, the older of equal ones first, and of the others; both
    ascending, which is oldest first."""
    order = np.argsort(values, kind="stable")
    return np.sort(order[:n_good]), np.sort(order[n_good:])


def forgetting_weights(n: int, newest: int) -> Floats:
    """1 for the `newest`, rising in a straight line from 1/n for the older ones (Bergstra's ramp).

    >>> forgetting_weights(4, newest=2)
    array([0.25, 1.  , 1.  , 1.  ])
    """
    older = max(n - newest, 0)
    return np.concatenate([np.linspace(1.0 / max(n, 1), 1.0, older), np.ones(n - older)])


def improvement_weights(good: Floats, threshold: float) -> Floats:
    """By how much each value is below `threshold`, over the mean of that; 1 where all are equal.

    Song, J. et al. (2022). A general recipe for likelihood-free Bayesian optimization. ICML.
    """
    with np.errstate(over="ignore"):  # results may be as far apart as floating point allows
        gain = np.maximum(threshold - good, 0.0)
    top = gain.max(initial=0.0)
    if not (0 < top < math.inf):
        return np.ones(len(good))
    gain = np.maximum(gain / top, 1e-6)
    weights: Floats = gain / gain.mean()
    return weights


def thin(numbers: Indices, weights: Floats, most: int, rng: np.random.Generator) -> tuple[Indices, Floats]:
    """At most `most` of `numbers`: the newest half, and a sample of the older ones that stands for all
    of them, with its weights scaled up to theirs.

    It bounds the time of an ask, and a broad density needs fewer kernels than a sharp one.
    """
    if len(numbers) <= most:
        return numbers, weights
    older = len(numbers) - most // 2
    sample = np.sort(rng.choice(older, size=most - most // 2, replace=False))
    scale = weights[:older].sum() / weights[sample].sum()
    kept = np.concatenate([sample, np.arange(older, len(numbers))])
    return numbers[kept], np.concatenate([weights[sample] * scale, weights[older:]])
