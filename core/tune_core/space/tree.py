"""The tree of a search space: its leaves, which hang under the branches of nested choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tune_core.space.domains import Domain

__all__ = ["Leaf", "walk"]


@dataclass(frozen=True)
class Leaf:
    """One thing to decide: a parameter, or which branch of a nested choice.

    Attributes:
        name: Its key in the configuration, beside its siblings.
        path: For a person: `layer0`, `layer0.Conv.kernel_size`.
        index: Its column in `SearchSpace.encode`: the tree's leaves counted from 0, a nested choice
            before what its branches hold.
        domain: Its values; those of a nested choice are the names of its branches.
        parent: The column of the nested choice that it hangs under, None at the top.
        branch: Which branch (option number) of `parent` makes it active.
        branches: Of a nested choice, what each branch holds; otherwise empty.
    """

    name: str
    path: str
    index: int
    domain: Domain
    parent: int | None = None
    branch: int | None = None
    branches: tuple[tuple[Leaf, ...], ...] = ()

    @property
    def is_nested(self) -> bool:
        return bool(self.branches)


def walk(leaves: Sequence[Leaf]) -> Iterator[Leaf]:
    """Every leaf of the tree, in the order of `Leaf.index`."""
    for leaf in leaves:
        yield leaf
        for children in leaf.branches:
            yield from walk(children)
