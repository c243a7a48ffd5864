"""The engine's way to the record: append, and go on once it is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tune_core.experiment.trials import LiveTrial
from tune_core.store.events import Event, Row, TrialNote
from tune_core.store.writer import Writer

__all__ = ["Journal"]


class Journal:
    """Appends to the record.

    Args:
        on_failure: Told of what the record can never hold; a full disk is no such thing.
    """

    def __init__(self, writer: Writer, on_failure: Callable[[BaseException], None]) -> None:
        self.writer = writer
        self._on_failure = on_failure

    def append(
        self, *rows: Row, urgent: bool = True, then: Callable[[], None] | None = None
    ) -> asyncio.Future[None]:
        """Append rows; `then` is called once they are durable, in the order of the record."""
        recorded = self.writer.append(*rows, urgent=urgent)

        def look(done: asyncio.Future[None]) -> None:
            error = done.exception()
            if error is not None:
                self._on_failure(error)
            elif then is not None:
                try:
                    then()
                except Exception as err:
                    self._on_failure(err)
                    raise

        recorded.add_done_callback(look)
        return recorded

    def event(
        self,
        kind: str,
        trial: LiveTrial | None = None,
        then: Callable[[Event], None] | None = None,
        **data: object,
    ) -> asyncio.Future[None]:
        """Append one event; `then` is given it once it is durable."""
        event = Event(kind, data, None if trial is None else trial.sequence)
        return self.append(event, then=None if then is None else lambda: then(event))

    def reason(self, trial: LiveTrial, reason: str) -> None:
        """Note why a trial waits, or what is odd about it."""
        if trial.reason != reason:
            trial.reason = reason
            self.append(TrialNote(trial.sequence, "reason", reason), urgent=False)
