"""The engine's hand towards its platform: attempts are submitted, taken up again and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from tune_core.experiment.command import inject, observed, paths_of
from tune_core.experiment.trials import LiveTrial
from tune_core.trial import Attempt, Parameters

if TYPE_CHECKING:
    from tune_core.experiment.engine import Engine

__all__ = ["Dispatch"]

_CANCEL_AGAIN_S = 3.0


class Dispatch:
    """What the engine asks of the training service; `Reception` hears the answers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._settings = engine.settings
        self._roster = engine.roster
        self._journal = engine.journal
        self._service = engine.service

    def submit_held(self) -> None:
        """Hand trials over, oldest first, while there are slots."""
        concurrency = self._engine.limits.concurrency
        for trial in list(self._roster.held.values()):
            if self._roster.submitted < concurrency:
                self._roster.submit(trial)
                self._engine.spawn(self._submit(trial))
            else:
                self._journal.reason(trial, f"all {concurrency} slots of trialConcurrency are taken")

    def adopt(self, trial: LiveTrial, identity: Mapping[str, Any]) -> None:
        """Take up an attempt that an earlier manager left running."""
        self._engine.spawn(self._adopt(trial, identity))

    def end(self, trial: LiveTrial, recorded: asyncio.Future[None]) -> None:
        """End an attempt once it is in the record that this was asked for."""
        self._engine.spawn(self._end(trial, recorded))

    async def _submit(self, trial: LiveTrial) -> None:
        await self._hand_over(trial, self._service.submit(self._attempt(trial)))

    async def _adopt(self, trial: LiveTrial, identity: Mapping[str, Any]) -> None:
        work = self._service.adopt(self._attempt(trial), identity, trial.last_sequence)
        await self._hand_over(trial, work)

    async def _hand_over(self, trial: LiveTrial, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            if trial.cancel is not None:
                # Asked for while the service did not know the trial yet and so ignored it.
                await self._service.cancel(trial.key)
        except Exception as err:
            # In the record it waits or runs as before, and a later manager takes it up again.
            self._roster.take_back(trial)
            self._journal.reason(trial, self._engine.platform_failed(err))
            raise

    async def _end(self, trial: LiveTrial, recorded: asyncio.Future[None]) -> None:
        # Recorded first, or a manager killed in between would leave a trial that only looks failed.
        # A full disk delays an end by a second; it does not forbid it.
        await asyncio.wait({recorded}, timeout=1.0)
        while trial.submitted and trial.cancel is not None:
            try:
                await self._service.cancel(trial.key)
            except Exception as err:  # noqa: BLE001 (whatever the platform raises; it is asked again)
                summary = f"trial {trial.id} cannot be ended, trying again: {err}"
                self._engine.set_trouble("cancel", summary)
                await asyncio.sleep(_CANCEL_AGAIN_S)
            else:
                self._engine.set_trouble("cancel", "")
                return

    def _attempt(self, trial: LiveTrial) -> Attempt:
        directory = self._engine.directory
        return Attempt(
            key=trial.key,
            experiment_id=directory.id,
            sequence=trial.sequence,
            parameters=trial.parameters,
            command=self._command(trial.parameters),
            code_directory=self._settings.code_directory,
            directory=directory.attempt(trial.id, trial.attempt),
            gpu_number=self._settings.gpu_number,
            environment=self._settings.environment,
        )

    def _command(self, parameters: Parameters) -> str:
        """The command of one trial."""
        command, metrics = self._settings.command, self._settings.metrics
        if "{" in command:
            command = inject(command, parameters, paths_of(self._engine.search_space))
        return observed(command, metrics) if metrics else command
