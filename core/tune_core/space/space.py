"""`SearchSpace`: the feasible region of an experiment, parsed and validated once."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tune_core.errors import SearchSpaceError
from tune_core.space import checking, grid
from tune_core.space.parsing import parse_tree
from tune_core.space.tree import Leaf, walk
from tune_core.space.values import copy_json
from tune_core.trial import Parameters

if TYPE_CHECKING:  # NumPy takes 100 ms to import, and `tune validate` needs none of it
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from tune_core.space.codec import Codec

__all__ = ["SearchSpace"]


class SearchSpace:
    """The feasible region: what each parameter may be, and when it is there at all.

    Made by `parse`. `len`, iteration, `names` and indexing are about the top-level parameters;
    `leaves` and the encoding also hold what nested choices hide in their branches.

    Two spaces are equal when their JSON is, the order of parameters included: it decides which
    random number falls to which parameter.
    """

    def __init__(self, raw: dict[str, Any], tree: tuple[Leaf, ...]) -> None:
        self._raw = raw
        self._tree = tree

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, allow_empty: bool = False) -> SearchSpace:
        """Read a search space in NNI's form, `{name: {"_type": ..., "_value": ...}}`.

        Args:
            raw: What a search-space file holds, once it is read.
            allow_empty: Accept `{}`, for an algorithm that brings its own space.

        Raises:
            SearchSpaceError: `problems` holds everything that is wrong, each with its place.
        """
        tree = parse_tree(raw, allow_empty=allow_empty)
        return cls(copy_json(raw), tree)

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON that this space was read from; a copy."""
        return copy_json(self._raw)  # type: ignore[no-any-return]

    @property
    def parameters(self) -> tuple[Leaf, ...]:
        """The top-level parameters, in order."""
        return self._tree

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the top-level parameters, in order."""
        return tuple(leaf.name for leaf in self._tree)

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """All decisions, those in the branches of nested choices too; `leaves[i].index == i`."""
        return tuple(walk(self._tree))

    @property
    def dimensions(self) -> int:
        """The number of leaves: columns of `encode`, coordinates of `from_unit_cube`."""
        return len(self.leaves)

    @property
    def is_nested(self) -> bool:
        """Whether some parameters are there only with certain options of others."""
        return any(leaf.is_nested for leaf in self._tree)

    def __len__(self) -> int:
        return len(self._tree)

    def __iter__(self) -> Iterator[Leaf]:
        return iter(self._tree)

    def __getitem__(self, name: str) -> Leaf:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __bool__(self) -> bool:
        return True  # also when it is empty: it is still a space

    @cached_property
    def _by_name(self) -> dict[str, Leaf]:
        return {leaf.name: leaf for leaf in self._tree}

    @cached_property
    def _text(self) -> str:
        return json.dumps(self._raw)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, SearchSpace) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"SearchSpace({self._raw!r})"

    def check(self, parameters: Mapping[str, Any], *, extra: bool = False) -> None:
        """Raise unless `parameters` is a configuration of this space.

        2.0 passes for 2, and a multiple of q may be off by a rounding error.

        Args:
            parameters: What a trial would receive.
            extra: Let other top-level keys pass, such as Hyperband's TRIAL_BUDGET.

        Raises:
            SearchSpaceError: `problems` says what is missing, unknown or out of range, and where.
        """
        checking.check(self._tree, parameters, extra=extra)

    def contains(self, parameters: Mapping[str, Any], *, extra: bool = False) -> bool:
        """Whether `check` would pass."""
        return not checking.problems(self._tree, parameters, extra=extra)

    @cached_property
    def size(self) -> float:
        """The number of different configurations: an int, or infinity."""
        return grid.size(self._tree)

    @property
    def is_finite(self) -> bool:
        return self.size != math.inf

    def key(self, parameters: Mapping[str, Any]) -> Hashable:
        """Something hashable that is equal for equal configurations, however they are written.

        Keys beside those of the space do not count. Comparable within this space only.

        Raises:
            SearchSpaceError: A parameter is missing, or its value unknown or no number.
        """
        try:
            return checking.key(self._tree, parameters)
        except (LookupError, TypeError, ValueError, OverflowError):
            self.check(parameters, extra=True)
            raise

    def at(self, number: int) -> Parameters:
        """Configuration `number` of a finite space, in the order of `grid`, without making the rest.

        Raises:
            IndexError: `number` is negative or not below `size`.
            SearchSpaceError: The space is not finite.
        """
        grid.require_finite(self.leaves)
        if not 0 <= number < self.size:
            raise IndexError(f"configuration {number} of {self.size}")
        return grid.at(self._tree, number)

    def grid(self) -> Iterator[Parameters]:
        """Every configuration of a finite space, one at a time; the last key changes fastest.

        Raises:
            SearchSpaceError: The space is not finite; names the parameters that are to blame.
        """
        grid.require_finite(self.leaves)
        return (grid.at(self._tree, number) for number in range(int(self.size)))

    def sample(self, rng: np.random.Generator) -> Parameters:
        """A random configuration, distributed as NNI documents for each type.

        Takes one `rng.random()` for each leaf in the order of `leaves`, whether active or not: the
        same generator gives the same configuration everywhere, and editing what a branch holds
        does not change what is drawn before it.
        """
        return self.decode(rng.random((1, self.dimensions)))[0]

    def from_unit_cube(self, point: Sequence[float]) -> Parameters:
        """The configuration at `point`, one coordinate in [0, 1] for each of `leaves`.

        Uniform points give the distribution of `sample`.
        """
        return self.decode([point])[0]

    def encode(
        self, configurations: Sequence[Mapping[str, Any]]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Configurations as numbers.

        Log types are encoded in log space and normal types by their distribution function. A value
        of an integer, q or categorical type is the middle of the share of [0, 1] that decodes to
        it. Numbers outside their domain count as its nearest value.

        Returns:
            Coordinates in [0, 1], shape (n, dimensions), 0.5 where the leaf is not active; and
            whether it is, same shape.

        Raises:
            SearchSpaceError: A parameter is missing, or its value unknown or no number.
        """
        try:
            return self._codec.encode(configurations)
        except (LookupError, TypeError, ValueError, OverflowError):
            for configuration in configurations:
                self.check(configuration, extra=True)
            raise

    def decode(self, units: ArrayLike) -> list[Parameters]:
        """Coordinates, shape (n, dimensions), to configurations; inverse of `encode`.

        Whatever the coordinates, 0 and 1 included, the values lie in their domains. Coordinates
        outside [0, 1] count as the nearest inside, those of inactive leaves do not count.
        """
        return self._codec.decode(self._matrix(units))

    def snap(self, units: ArrayLike) -> NDArray[np.float64]:
        """`encode(decode(units))` without making the configurations: integer, q and categorical
        coordinates go to the middle of their cells, continuous ones stay. Shape (n, dimensions)."""
        return self._codec.snap(self._matrix(units))

    def cells(self, units: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the shares of [0, 1] begin and end that decode to the same values as `units`; equal
        for continuous leaves. Both of shape (n, dimensions)."""
        return self._codec.cells(self._matrix(units))

    def activity(self, units: ArrayLike) -> NDArray[np.bool_]:
        """Which leaves are active at `units`, shape (n, dimensions)."""
        return self._codec.activity(self._matrix(units))

    def _matrix(self, units: ArrayLike) -> NDArray[np.float64]:
        import numpy as np

        matrix = np.asarray(units, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != self.dimensions:
            expected = f"(n, {self.dimensions})"
            raise SearchSpaceError(
                f"coordinates of this search space have the shape {expected}, not {matrix.shape}"
            )
        if np.isnan(matrix).any():
            raise SearchSpaceError("coordinates must be numbers, found nan")
        return matrix

    @cached_property
    def _codec(self) -> Codec:
        from tune_core.space.codec import Codec

        return Codec(self._tree)
