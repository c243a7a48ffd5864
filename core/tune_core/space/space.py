"""`SearchSpace`: the feasible region of an experiment, parsed and validated once."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tune_core.errors import SearchSpaceError
from tune_core.space import checking, grid
from tune_core.space.clauses import Clause
from tune_core.space.parsing import parse_tree
from tune_core.space.tree import Leaf, walk
from tune_core.space.values import copy_json
from tune_core.trial import Parameters

if TYPE_CHECKING:  # NumPy takes 100 ms to import, and `tune validate` needs none of it
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from tune_core.space.codec import Codec

__all__ = ["SearchSpace"]

_DRAWS = 10_000
_REDRAWS = 100  # of one parameter each, before all are drawn anew
_MOST_COUNTED = 100_000


class SearchSpace:
    """The feasible region: what each parameter may be, and when it is there at all.

    Made by `parse`. `len`, iteration, `names` and indexing are about the top-level parameters;
    `leaves` and the encoding also hold what nested choices hide in their branches.

    Two spaces are equal when their JSON is, the order of parameters included: it decides which
    random number falls to which parameter.
    """

    def __init__(self, raw: dict[str, Any], tree: tuple[Leaf, ...], clauses: tuple[Clause, ...] = ()) -> None:
        self._raw = raw
        self._tree = tree
        self._clauses = clauses

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, allow_empty: bool = False) -> SearchSpace:
        """Read a search space in NNI's form, `{name: {"_type": ..., "_value": ...}}`.

        Args:
            raw: What a search-space file holds, once it is read.
            allow_empty: Accept `{}`, for an algorithm that brings its own space.

        Raises:
            SearchSpaceError: `problems` holds everything that is wrong, each with its place.
        """
        tree, clauses = parse_tree(raw, allow_empty=allow_empty)  # first: it refuses what has no end
        return cls(copy_json(raw), tree, clauses)

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
        checking.check(self._tree, self._clauses, parameters, extra=extra)

    def contains(self, parameters: Mapping[str, Any], *, extra: bool = False) -> bool:
        """Whether `check` would pass."""
        return not checking.problems(self._tree, self._clauses, parameters, extra=extra)

    @property
    def has_forbidden(self) -> bool:
        """Whether some combinations of values are forbidden, so that `decode` may give one."""
        return bool(self._clauses)

    def is_forbidden(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a combination of values is, though each may be what it is by itself."""
        return self._clause_of(parameters) is not None

    def repair(self, parameters: Parameters, rng: np.random.Generator) -> Parameters:
        """`parameters`, if forbidden with as few of them drawn anew as need be.

        Keys beside those of the space stay as they are.

        Raises:
            SearchSpaceError: As `sample`.
        """
        for _ in range(_REDRAWS):
            clause = self._clause_of(parameters)
            if clause is None:
                return parameters
            units, active = self.encode([parameters])
            units[~active] = rng.random(int((~active).sum()))  # a branch that is not there yet
            units[0, clause.leaves[int(rng.integers(len(clause.leaves)))].index] = rng.random()
            parameters = {**parameters, **self.decode(units)[0]}
        return {**parameters, **self.sample(rng)}

    def _clause_of(self, parameters: Mapping[str, Any]) -> Clause | None:
        try:
            return next((clause for clause in self._clauses if clause.fits(parameters)), None)
        except (LookupError, TypeError, ValueError, OverflowError):
            return None  # it is no configuration of this space at all: `check` says why

    @cached_property
    def size(self) -> float:
        """The number of different configurations: an int, or infinity.

        Forbidden ones are not counted, unless the space has more than 100,000: then they are.
        """
        whole = grid.size(self._tree)
        if not self._clauses or whole > _MOST_COUNTED:
            return whole
        return sum(1 for _ in self.grid())

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
            SearchSpaceError: The space is not finite, or forbids something.
        """
        grid.require_finite(self.leaves)
        if self._clauses:
            raise SearchSpaceError("the configurations of a space that forbids some are not numbered")
        if not 0 <= number < self.size:
            raise IndexError(f"configuration {number} of {self.size}")
        return grid.at(self._tree, number)

    def grid(self) -> Iterator[Parameters]:
        """Every configuration of a finite space, one at a time; the last key changes fastest.

        Raises:
            SearchSpaceError: The space is not finite; names the parameters that are to blame.
        """
        grid.require_finite(self.leaves)
        everything = (grid.at(self._tree, number) for number in range(int(grid.size(self._tree))))
        return (each for each in everything if not self.is_forbidden(each)) if self._clauses else everything

    def sample(self, rng: np.random.Generator) -> Parameters:
        """A random configuration, distributed as NNI documents for each type.

        Takes one `rng.random()` for each leaf in the order of `leaves`, whether active or not: the
        same generator gives the same configuration everywhere, and editing what a branch holds
        does not change what is drawn before it. One that is forbidden is drawn again.

        Raises:
            SearchSpaceError: 10,000 in a row are forbidden.
        """
        for _ in range(_DRAWS if self._clauses else 1):
            configuration = self.decode(rng.random((1, self.dimensions)))[0]
            if not self.is_forbidden(configuration):
                return configuration
        raise SearchSpaceError(
            f"{_DRAWS:,} random configurations in a row are forbidden: _forbidden leaves next to none"
        )

    def from_unit_cube(self, point: Sequence[float]) -> Parameters:
        """The configuration at `point`, one coordinate in [0, 1] for each of `leaves`.

        Uniform points give the distribution of `sample`, but for what is forbidden; see `repair`.
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

        Whatever the coordinates, 0 and 1 included, the values lie in their domains, though their
        combination may be forbidden: see `repair`. Coordinates
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
