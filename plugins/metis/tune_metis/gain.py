"""What a measurement is worth: by how much it is expected to lower the predicted optimum.

NNI's Metis supposes each candidate's result to lie at either end of its 95 % interval, and takes the lower of
the two optima that follow, which makes the least known candidate win nearly always. Here the expectation is
over all results that the model holds possible, which is the knowledge gradient:
Frazier, P., Powell, W. and Dayanik, S. (2009). The knowledge-gradient policy for correlated normal beliefs.
INFORMS Journal on Computing 21, 599-613, algorithm 1. https://doi.org/10.1287/ijoc.1080.0314
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr
from tune_gp.embedding import Floats

__all__ = ["expected_minimum"]


def expected_minimum(intercepts: Floats, slopes: Floats) -> float:
    """E[min over i of (intercepts_i + slopes_i Z)] for Z standard normal.

    >>> round(expected_minimum(np.array([0.0, 0.0]), np.array([0.0, 1.0])), 6)  # E[min(0, Z)]
    -0.398942
    """
    a, b, corners = _envelope(intercepts, slopes)
    if not len(corners):
        return float(a[0])
    edges = np.concatenate([[-math.inf], corners, [math.inf]])
    density = np.exp(-0.5 * edges**2) / math.sqrt(2.0 * math.pi)
    # From edge to edge one line is the lowest: its integral against the normal density.
    return float((a * np.diff(ndtr(edges)) - b * np.diff(density)).sum())


def _envelope(intercepts: Floats, slopes: Floats) -> tuple[Floats, Floats, Floats]:
    """The lines that are lowest somewhere, from left to right, and where one takes over from another."""
    # From left to right the slope of the lowest line falls.
    order = np.lexsort((intercepts, -slopes))
    kept: list[int] = []
    corners: list[float] = []
    for line in order.tolist():
        if kept and slopes[line] == slopes[kept[-1]]:
            continue  # parallel and not lower
        while kept:
            last = kept[-1]
            corner = (intercepts[line] - intercepts[last]) / (slopes[last] - slopes[line])
            if corners and corner <= corners[-1]:
                kept.pop()
                corners.pop()
            else:
                corners.append(float(corner))
                break
        kept.append(line)
    return intercepts[kept], slopes[kept], np.array(corners)
