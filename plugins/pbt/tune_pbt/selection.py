"""Exploit: who copies whom. Truncation selection, section 4.1.1 of the paper."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from tune_core import Parameters

__all__ = ["State", "Turn", "leaders_and_laggards", "turn_of"]


class State(NamedTuple):
    """Where a member stands: what its last trial that succeeded ran with, left, and achieved.

    Attributes:
        checkpoint: The folder that the trial saved to.
        value: Lower is better.
    """

    configuration: Parameters
    checkpoint: str
    value: float


class Turn(NamedTuple):
    """What a member does next.

    Attributes:
        origin: Whose parameters and checkpoint it goes on from, its own or another's; None: it begins anew.
        explores: Whether it changes the parameters.
    """

    member: int
    origin: State | None
    explores: bool


def leaders_and_laggards(
    states: Mapping[int, State], failed: Collection[int], fraction: float
) -> tuple[list[int], set[int]]:
    """The best ceil(fraction n) members, best first, and as many of the worst with all that failed.

    Args:
        states: Of those with a result. Of two equals the lower number is better.
        failed: The others, who are ranked last.
    """
    ranked = sorted(states, key=lambda member: (states[member].value, member))
    cutoff = math.ceil(fraction * (len(ranked) + len(failed)))
    leaders = ranked[:cutoff]
    worst = [*ranked, *failed][-cutoff:]
    return leaders, {*worst, *failed}.difference(leaders)


def turn_of(
    member: int,
    own: State | None,
    states: Mapping[int, State],
    failed: Collection[int],
    fraction: float,
    rng: np.random.Generator,
) -> Turn:
    """A laggard copies a random leader and explores, another goes on as it is.

    Where there are no leaders, since all have failed, a laggard goes on from where it was.

    Args:
        own: Where the member stands; None if it never had a result.
        states, failed: The population that it is compared with.
    """
    leaders, laggards = leaders_and_laggards(states, failed, fraction)
    if member not in laggards:
        return Turn(member, own, explores=False)
    if not leaders:
        return Turn(member, own, explores=True)
    return Turn(member, states[leaders[int(rng.integers(len(leaders)))]], explores=True)
