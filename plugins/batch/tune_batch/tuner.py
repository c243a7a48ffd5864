"""Batch: run the configurations of a list, in its order, each once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

from tune_core import NoMoreTrial, Parameters, SearchSpace, SearchSpaceError, Tuner
from tune_core.space import Choice
from tune_core.space.values import copy_json, freeze

__all__ = ["BatchTuner"]


class BatchTuner(Tuner):
    """Runs the options of the one `choice` that the search space consists of; results are not used.

    An option that is an object is what the trial receives, without the key around it, as in NNI. Any
    other is received under the key.

    Raises:
        SearchSpaceError: From `update_search_space`, for anything but exactly one `choice`.
    """

    replays_proposals: ClassVar[bool] = False
    deduplicates: ClassVar[bool] = True

    def __init__(self) -> None:
        self._done: set[Hashable] = set()
        self._next = 0  # all of the list before it is done

    def update_search_space(self, search_space: SearchSpace) -> None:
        if len(search_space) != 1:
            names = ", ".join(search_space.names)
            raise SearchSpaceError(
                f"Batch takes a search space of exactly one choice, this one has {len(search_space)} "
                f"parameters: {names}\n  list whole configurations as its options, or use GridSearch for all "
                "combinations"
            )
        [leaf] = search_space
        if leaf.is_nested or not isinstance(leaf.domain, Choice) or leaf.domain.type != "choice":
            kind = "a nested choice" if leaf.is_nested else leaf.domain.type
            raise SearchSpaceError(f"{leaf.path}: Batch takes one choice of whole configurations, not {kind}")
        self._name = leaf.name
        self._configurations = [self._received(option) for option in leaf.domain.options]
        self._known = {freeze(configuration) for configuration in self._configurations}
        self._next = 0

    def takes(self, parameters: Parameters) -> bool:
        """A configuration of the list as a trial receives it, without the key around it."""
        return freeze(parameters) in self._known

    def generate_parameters(self, parameter_id: int) -> Parameters:
        while self._next < len(self._configurations):
            configuration = self._configurations[self._next]
            if freeze(configuration) not in self._done:
                return copy_json(configuration)  # type: ignore[no-any-return]
            self._next += 1
        raise NoMoreTrial(f"all {len(self._configurations)} configurations of {self._name} were tried")

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        """Also of what was imported or submitted by hand, with the key around it or without."""
        self._done.add(freeze(parameters))
        if set(parameters) == {self._name}:
            self._done.add(freeze(self._received(parameters[self._name])))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        """Nothing is learnt."""

    def _received(self, option: Any) -> Parameters:
        return dict(option) if isinstance(option, Mapping) else {self._name: option}
