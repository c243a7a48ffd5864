"""Architectures as sequences of actions: for every configuration of a space there is exactly one.

Each option of a `layer_choice` or a `choice` is an action. Of an `input_choice` the candidates are chosen in
the order of the list, one action each, and a last action says that these were all. An action that cannot lead
to a configuration is illegal, and where only one is legal there is nothing to decide, hence no action.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tune_core import Parameters, SearchSpace, SearchSpaceError
from tune_core.space import InputChoice, Leaf

__all__ = ["Choose", "Grammar"]

Choose: TypeAlias = Callable[[int, Sequence[int]], int]
"""Picks one of the legal actions, given the number of the decision and those actions, ascending."""

_TYPES = ("layer_choice", "input_choice", "choice")
_MOST_ACTIONS = 10_000


class Grammar:
    """The sequences of one search space.

    Attributes:
        actions: How many different actions there are.
        decisions: How many parameters there are to decide on.

    Raises:
        SearchSpaceError: For other types than the three and for nested choices; names the parameter.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._leaves: list[tuple[Leaf, int]] = []  # and the number of the first action of each
        self.actions = 0
        for leaf in space:
            _check(leaf)
            self._leaves.append((leaf, self.actions))
            self.actions += _count(leaf)
        self.decisions = len(self._leaves)
        if self.actions > _MOST_ACTIONS:
            raise SearchSpaceError(
                f"PPO takes up to {_MOST_ACTIONS:,} options in all, this search space has {self.actions:,}; "
                "RegularizedEvolution takes any number"
            )

    def write(self, choose: Choose) -> Parameters:
        """The configuration that `choose` decides on."""
        return {
            leaf.name: self._inputs(number, leaf.domain, first, choose)
            if isinstance(leaf.domain, InputChoice)
            else leaf.domain.at(
                _forced_or(choose, number, range(first, first + int(leaf.domain.size))) - first
            )
            for number, (leaf, first) in enumerate(self._leaves)
        }

    def read(self, parameters: Parameters, heed: Callable[[int, Sequence[int], int], None]) -> None:
        """Tell `heed` the actions that lead to a configuration.

        Args:
            heed: Told the number of the decision, the legal actions, and the one that is taken.
        """
        wanted: dict[int, list[int]] = {}
        for number, (leaf, first) in enumerate(self._leaves):
            value = parameters[leaf.name]
            if isinstance(leaf.domain, InputChoice):
                places = [*sorted(map(int, value["_idx"])), len(leaf.domain.candidates)]
            else:
                places = [int(leaf.domain.positions([value])[0])]
            wanted[number] = [first + place for place in places]

        def choose(number: int, legal: Sequence[int]) -> int:
            # What was forced is not asked for, so the next that is legal is the one.
            action = next(each for each in wanted[number] if each in legal)
            wanted[number] = wanted[number][wanted[number].index(action) + 1 :]
            heed(number, legal, action)
            return action

        self.write(choose)

    def _inputs(self, number: int, domain: InputChoice, first: int, choose: Choose) -> dict[str, Any]:
        chosen: list[int] = []
        enough = len(domain.candidates)  # the place of the action that ends the choice
        while (place := _forced_or(choose, number, _legal(domain, first, chosen)) - first) != enough:
            chosen.append(place)
        return {"_value": [domain.candidates[place] for place in chosen], "_idx": chosen}


def _forced_or(choose: Choose, number: int, legal: Sequence[int]) -> int:
    return legal[0] if len(legal) == 1 else choose(number, legal)


def _legal(domain: InputChoice, first: int, chosen: list[int]) -> list[int]:
    """What may follow `chosen`: candidates after the last of them, if with those behind it a permitted number
    can be reached; and the end, if their number is permitted."""
    candidates, count = len(domain.candidates), len(chosen) + 1
    following = range(chosen[-1] + 1 if chosen else 0, candidates)
    able = [
        place
        for place in following
        if any(count <= wanted < count + candidates - place for wanted in domain.counts)
    ]
    end = [candidates] if len(chosen) in domain.counts else []
    return [first + place for place in (*able, *end)]


def _count(leaf: Leaf) -> int:
    domain = leaf.domain
    return len(domain.candidates) + 1 if isinstance(domain, InputChoice) else int(domain.size)


def _check(leaf: Leaf) -> None:
    if leaf.is_nested or leaf.domain.type not in _TYPES:
        kind = "a nested choice" if leaf.is_nested else leaf.domain.type
        raise SearchSpaceError(
            f"{leaf.path}: PPO takes layer_choice, input_choice and choice, not {kind}; TPE takes every type"
        )
