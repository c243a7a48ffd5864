"""From results, of which lower is better, to rewards, of which higher is better and whose scale is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tune_ppo.policy import Floats

__all__ = ["rewards"]

_MOST = 3.0  # standard deviations: one disaster is no reason to forget everything else


def rewards(batch: Sequence[float | None], results: Sequence[float]) -> Floats:
    """Standardised by all results so far, and cut to three deviations; shape (batch,).

    Args:
        batch: Results of the batch; None for a failure, which is worth the mean of the others.
        results: All results so far, those of the batch among them.
    """
    known = np.array([value for value in batch if value is not None])
    if not len(known):
        return np.zeros(len(batch))
    everything = np.asarray(results, dtype=np.float64)
    scale = float(np.abs(everything).max()) or 1.0  # first to [-1, 1]: squares of 1e300 overflow
    everything, known = everything / scale, known / scale
    deviation = float(everything.std())
    gained = np.zeros(len(known)) if deviation < 1e-12 else (everything.mean() - known) / deviation
    gained = np.clip(gained, -_MOST, _MOST)
    rewarded = np.full(len(batch), gained.mean())
    rewarded[[value is not None for value in batch]] = gained
    return rewarded
