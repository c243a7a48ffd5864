"""Where trials come from: the configuration's initial points, the algorithm, and the user."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tune_core.algorithms.base import Observation
from tune_core.errors import NoMoreTrial
from tune_core.experiment.trials import LiveTrial
from tune_core.space import SearchSpace
from tune_core.store.events import Event
from tune_core.trial import Parameters

if TYPE_CHECKING:
    from tune_core.experiment.engine import Engine

__all__ = ["Proposals"]

_log = logging.getLogger(__name__)


class Proposals:
    """What is to be tried next, recorded before it is.

    Attributes:
        exhausted: The algorithm has no more, unless data is imported or the search space changes.
        under_way: The algorithm is being asked.
    """

    def __init__(self, engine: Engine, initial: Sequence[Parameters], exhausted: bool) -> None:
        self.exhausted = exhausted
        self.under_way = False
        self._engine = engine
        self._roster = engine.roster
        self._journal = engine.journal
        self._advice = engine.advice
        self._initial = deque(initial)
        self._numbering = asyncio.Lock()  # held from asking with a sequence number to using it

    def fill(self) -> None:
        """Begin to ask for as many trials as there are free slots."""
        if not self.under_way and not self._advice.declined and self._engine.room() > 0:
            self.under_way = True
            self._engine.spawn(self._fill())

    async def add(self, parameters: Parameters, source: str = "user") -> LiveTrial:
        """Run a configuration of the user's own; it counts towards the number of trials."""
        async with self._numbering:
            trial = self._roster.new(parameters, source)

            def recorded(event: Event) -> None:
                register = self._advice.advisor.register_pending
                self._advice.tell(event.id, register, trial.sequence, parameters)
                self._hold(trial)

            await self._journal.event("proposed", trial, recorded, **_content(trial, self._advice.heard))
        return trial

    async def import_observations(self, observations: Sequence[Observation]) -> None:
        """Give the algorithm evaluations made elsewhere."""

        def recorded(event: Event) -> None:
            self._advice.tell(event.id, self._advice.advisor.import_data, list(observations))
            self.exhausted = False
            self._engine.wake()

        data = [observation.to_json() for observation in observations]
        async with self._numbering:  # or an algorithm that is just giving up would not hear of it
            await self._journal.event("imported", None, recorded, observations=data)

    async def update_search_space(self, space: SearchSpace) -> None:
        """Search another space from now on.

        Raises:
            SearchSpaceError: The algorithm cannot take it; nothing has changed.
        """
        self._engine.check_space(space)
        async with self._numbering:
            after = self._advice.heard
            await self._advice.call(self._advice.advisor.update_search_space, space)

            def recorded(event: Event) -> None:
                self._advice.heard = event.id
                self._advice.declined = self.exhausted = False

            await self._journal.event("space", None, recorded, search_space=space.raw, after=after)
            self._engine.search_space = space
        self._engine.wake()

    async def _fill(self) -> None:
        """Fill the free slots, one at a time: the algorithm's calls are serial anyway."""
        try:
            while self._engine.room() > 0 and self._engine.may_propose():
                if self._initial:
                    await self.add(self._initial.popleft(), "initial")
                    continue
                async with self._numbering:
                    parameters, heard = await self._advice.propose(self._roster.next_sequence)
                    if parameters is not None:
                        self._record(parameters, heard)
                    elif self._advice.declined:
                        return
        except NoMoreTrial as err:
            _log.info("no more trials: %s", err)
            self.exhausted = True
            self._journal.event("exhausted")
        except Exception as err:  # noqa: BLE001 (a plugin's code; shown with its traceback)
            self._advice.fail(err)
        finally:
            self.under_way = False
            self._engine.wake()

    def _record(self, parameters: Parameters, heard: int) -> None:
        trial = self._roster.new(parameters, "algorithm")

        def recorded(_: Event) -> None:
            self._hold(trial)
            if self._engine.may_submit():
                self._engine.dispatch.submit_held()  # at once, rather than after a turn

        self._journal.event("proposed", trial, recorded, **_content(trial, heard))

    def _hold(self, trial: LiveTrial) -> None:
        self._roster.hold(trial)
        self._engine.wake()


def _content(trial: LiveTrial, after: int) -> dict[str, Any]:
    return {"id": trial.id, "parameters": trial.parameters, "source": trial.source, "after": after}
