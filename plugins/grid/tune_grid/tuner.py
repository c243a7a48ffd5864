"""Grid search: every configuration of a finite space, an ever finer grid of one that is not.

Results are not used. What comes next is the first configuration of the grid that was not on trial yet,
whoever proposed it, so that a resumed experiment needs to know no more than what was tried.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from tune_core import NoMoreTrial, Parameters, SearchSpace, Tuner
from tune_core.space.values import freeze
from tune_grid.grid import Grid

__all__ = ["GridSearchTuner"]


class GridSearchTuner(Tuner):
    """Tries the points of a grid in a fixed order, in which the last parameter changes fastest.

    A space of `choice`, `randint` and q types ends when all is tried. Any other goes on for ever: each
    epoch halves the distances, in probability, between the values of every continuous parameter.

    Raises:
        SearchSpaceError: From `update_search_space`: with `legacy_q`, a q that is no number of values.
    """

    class Arguments(BaseModel):
        """What `classArgs` may hold beside what the kernel takes."""

        model_config = ConfigDict(extra="forbid")

        legacy_q: bool = Field(
            default=False,
            description="The q of quniform and qloguniform is the number of values from low to high, both "
            "included, as in NNI until 0.6.",
        )

    replays_proposals: ClassVar[bool] = False
    deduplicates: ClassVar[bool] = True

    def __init__(self, legacy_q: bool = False) -> None:
        self._legacy_q = legacy_q
        self._tried: dict[Hashable, Parameters] = {}
        self._next = 0  # all of the grid before it was tried, or is forbidden

    def update_search_space(self, search_space: SearchSpace) -> None:
        self._grid = Grid(search_space.parameters, legacy_q=self._legacy_q)
        self._space = search_space
        self._tried = {self._key(parameters): parameters for parameters in self._tried.values()}
        self._next = 0
        self._between = SearchSpace.parse(_without_q(search_space.raw)) if self._legacy_q else search_space

    def takes(self, parameters: Parameters) -> bool:
        """With `legacy_q` any number between the bounds of a parameter: its steps are others."""
        return self._between.contains(parameters, extra=True)

    def generate_parameters(self, parameter_id: int) -> Parameters:
        while True:
            try:
                parameters: Parameters = self._grid.at(self._next)
            except IndexError:
                raise NoMoreTrial("the whole grid was tried") from None
            if self._key(parameters) not in self._tried and not self._space.is_forbidden(parameters):
                return parameters
            self._next += 1

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        self._tried[self._key(parameters)] = parameters

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        """Nothing is learnt."""

    def _key(self, parameters: Parameters) -> Hashable:
        if not self._legacy_q and self._space.contains(parameters, extra=True):
            return self._space.key(parameters)
        return freeze({name: value for name, value in parameters.items() if name in self._space})


def _without_q(spec: Any) -> Any:
    """A search space in which every number between the bounds is a value of quniform and qloguniform."""
    if isinstance(spec, list):
        return [_without_q(each) for each in spec]
    if not isinstance(spec, dict):
        return spec
    if spec.get("_type") in ("quniform", "qloguniform"):
        return {"_type": spec["_type"].removeprefix("q"), "_value": spec["_value"][:2]}
    return {key: _without_q(each) for key, each in spec.items()}
