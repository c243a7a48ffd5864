"""A thread that writes event files: observers have no time to."""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["Recorder"]

EXIT_S = 10.0  # how long the end of the process waits for what is still to be written
QUIET_S = 60.0  # between two warnings

_log = logging.getLogger(__name__)


class Recorder:
    """Passes on to a thread what happens, and returns at once.

    Args:
        folder: Where the event files of one experiment go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._quiet_until_s = 0.0
        self._thread = threading.Thread(target=self._write, name="tune-tensorboard", daemon=True)
        self._thread.start()
        atexit.register(self._leave)

    def tell(self, method: str, *arguments: Any) -> None:
        """Have `EventFiles.<method>(*arguments)` called."""
        self._told.put((method, arguments))

    def finish(self) -> None:
        """Nothing more is told; what was told is still written."""
        self._told.put(None)

    def _leave(self) -> None:
        self.finish()
        self._thread.join(EXIT_S)

    def _write(self) -> None:
        try:
            from tune_tensorboard.events import EventFiles  # imports TensorBoard, which takes a while
        except ImportError:
            _log.exception("nothing is written for TensorBoard: it cannot be imported")
            return
        files = EventFiles(self._folder)
        while (told := self._told.get()) is not None:
            method, arguments = told
            try:
                getattr(files, method)(*arguments)
            except Exception as err:  # noqa: BLE001 (what can be written is)
                self._warn(err)

    def _warn(self, error: Exception) -> None:
        """Say what is wrong; once a minute, for it may be wrong for every metric of a night."""
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            _log.warning("not everything is written for TensorBoard: %s", error)
            self._quiet_until_s = now_s + QUIET_S
