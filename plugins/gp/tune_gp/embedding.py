"""Configurations as points of a Euclidean space, so that any kernel of the distance is a valid one.

The squared distance of two points is a sum over the leaves of the search space, each divided by the
square of its own length scale. A leaf owns one or more features:

- an ordered one is its coordinate, u, and 1/2 where it is not active. So what two branches of a nested choice
  do not share adds little to their distance, which is the choice's own to have, and what they do share is
  learnt from all of them;
- of the others, two different options are at distance 1, and all are equally far from not being active. A
  selection of several inputs is a vector of zeros and ones, so that selections that share inputs are alike.

A fixed value for what is not active is due to Hutter, F., Hoos, H. and Leyton-Brown, K. (2011). Sequential
model-based optimization for general algorithm configuration. LION 5. With the arcs of Swersky et al. (2013)
each parameter of a branch would keep the branch away from the others once more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tune_core.space import Domain, InputChoice, Leaf

__all__ = ["Bools", "Embedding", "Floats", "Indices"]

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Indices: TypeAlias = NDArray[np.intp]

_MOST_AXES = 32  # of more options each is a random direction, nearly at right angles to the others
_HALF_ROOT = math.sqrt(0.5)  # at this distance from the origin, at right angles, options are at distance 1
_MOST_LISTED = 5_000  # selections of inputs that are listed beforehand


class Embedding:
    """The map from coordinates and activity, as `SearchSpace.encode` gives them, to features.

    Attributes:
        owners: For each feature the number of the length scale that it is divided by, shape (features,).
        scales: How many length scales there are: leaves of more than one value.
        numeric: Columns of the encoding that can be moved a little: the ordered leaves.
    """

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        varied = [leaf for leaf in leaves if leaf.domain.size > 1]
        ordered = [leaf for leaf in varied if leaf.domain.is_ordered]
        self.scales = len(varied)
        self.numeric: Indices = np.array([leaf.index for leaf in ordered], dtype=np.intp)
        number = {leaf.index: place for place, leaf in enumerate(varied)}
        plain = [leaf for leaf in varied if _is_plain(leaf.domain)]
        self._plain: Indices = np.array([leaf.index for leaf in plain], dtype=np.intp)
        self._sizes: Indices = np.array([leaf.domain.size for leaf in plain], dtype=np.intp)
        self._starts: Indices = len(ordered) + np.cumsum(self._sizes) - self._sizes
        others = [leaf for leaf in varied if not (leaf.domain.is_ordered or _is_plain(leaf.domain))]
        self._coded = [(leaf, _Code(leaf.domain)) for leaf in others]
        widths = [*((leaf, 1) for leaf in ordered), *((leaf, int(leaf.domain.size)) for leaf in plain)]
        widths += [(leaf, code.width) for leaf, code in self._coded]
        owners = [number[leaf.index] for leaf, width in widths for _ in range(width)]
        self.owners: Indices = np.array(owners, dtype=np.intp)

    def __call__(self, units: Floats, active: Bools) -> Floats:
        """Features of snapped coordinates, shape (n, dimensions) to (n, features)."""
        features = np.zeros((len(units), len(self.owners)))
        features[:, : len(self.numeric)] = np.where(active[:, self.numeric], units[:, self.numeric], 0.5)
        # All of them at once: one after the other they would take longer than the kernel.
        options = np.minimum((units[:, self._plain] * self._sizes).astype(np.intp), self._sizes - 1)
        rows = np.arange(len(units))[:, None]
        features[rows, self._starts + options] = _HALF_ROOT * active[:, self._plain]
        start = len(self.numeric) + int(self._sizes.sum())
        for leaf, code in self._coded:
            values = code(units[:, leaf.index]) * active[:, leaf.index, None]
            features[:, start : start + code.width] = values
            start += code.width
        return features

    def pull_back(self, units: Floats, active: Bools, gradient: Floats) -> Floats:
        """From the gradient in the features to that in the ordered coordinates, 0 in the others.

        Args:
            units: Shape (n, dimensions), as `active`.
            gradient: Shape (n, features). Returns shape (n, dimensions).
        """
        result = np.zeros(units.shape)
        columns = self.numeric
        result[:, columns] = gradient[:, : len(columns)] * active[:, columns]
        return result


def _is_plain(domain: Domain) -> bool:
    """Whether each option has an axis of its own."""
    return not (domain.is_ordered or isinstance(domain, InputChoice)) and domain.size <= _MOST_AXES


class _Code:
    """A vector for each option of an unordered domain of many options, or of selections."""

    def __init__(self, domain: Domain) -> None:
        self._size = int(domain.size)
        self._inputs = domain if isinstance(domain, InputChoice) else None
        self._table: Floats | None = None
        if self._inputs is not None:
            self.width = len(self._inputs.candidates)
            if self._size <= _MOST_LISTED:
                self._table = self._selections(np.arange(self._size))
        else:
            self._table = _directions(self._size)
            self.width = self._table.shape[1]

    def __call__(self, units: Floats) -> Floats:
        """Shape (n,) to (n, width)."""
        options = np.minimum((units * self._size).astype(np.intp), self._size - 1)
        return self._selections(options) if self._table is None else self._table[options]

    def _selections(self, options: Indices) -> Floats:
        assert self._inputs is not None
        vectors = np.zeros((len(options), self.width))
        for row, option in enumerate(options.tolist()):
            vectors[row, self._inputs.value(option)["_idx"]] = 1.0
        most = 2.0 * max(self._inputs.counts)  # by which two selections may differ
        return np.asarray(vectors / np.sqrt(max(min(most, self.width), 1.0)))


def _directions(count: int) -> Floats:
    """`count` vectors nearly at distance 1 from each other, shape (count, _MOST_AXES)."""
    vectors = np.random.default_rng(0).standard_normal((count, _MOST_AXES))
    normed: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * _HALF_ROOT
    return normed
