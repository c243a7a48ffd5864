"""How many configurations get how much: the arithmetic of successive halving, in whole numbers.

Li, L., Jamieson, K., DeSalvo, G., Rostamizadeh, A. and Talwalkar, A. (2017). Hyperband: bandit-based
configuration evaluation for hyperparameter optimization. ICLR 2017, table 1.
https://openreview.net/forum?id=ry18Ww5ee
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Rung", "brackets", "halvings", "rungs"]


class Rung(NamedTuple):
    """Some configurations that are compared at the same budget."""

    size: int
    budget: int


def halvings(maximum: int, eta: int, minimum: int = 1) -> int:
    """How often `maximum` can be divided by `eta` without going below `minimum`."""
    # In whole numbers: log(243) / log(3) is 4.999..., and a bracket would be missing.
    count = 0
    while maximum >= minimum * eta ** (count + 1):
        count += 1
    return count


def rungs(size: int, maximum: int, eta: int, count: int) -> list[Rung]:
    """A ladder of `count` halvings that begins with `size` configurations and ends at budget `maximum`."""
    return [Rung(max(1, size // eta**i), maximum * eta**i // eta**count) for i in range(count + 1)]


def brackets(maximum: int, eta: int, minimum: int = 1) -> list[list[Rung]]:
    """The brackets of Hyperband, the boldest first; no budget is below `minimum`.

    Bracket s begins with floor((s_max + 1) / (s + 1)) * eta^s configurations, which is the paper's table and
    its authors' own code. Algorithm 1 says ceil((s_max + 1) * eta^s / (s + 1)), which NNI follows: 34, 15 and
    8 for R = 81 and eta = 3 in place of 27, 9 and 6, so that a rung does not divide into the next.
    """
    s_max = halvings(maximum, eta, minimum)
    return [rungs((s_max + 1) // (s + 1) * eta**s, maximum, eta, s) for s in range(s_max, -1, -1)]
