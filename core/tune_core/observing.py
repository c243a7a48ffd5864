"""For observers that write elsewhere: a switch in the environment, and a thread that does the writing.

A hook has less than a millisecond, and a file system or a server may take minutes.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_core.experiment.view import ExperimentView

__all__ = ["Destination", "Recorder", "Recorders", "Steps", "UnreachableError", "flat_parameters", "numbers"]

EXIT_S = 30.0  # how long the end of the process waits for what is still to be written
SILENT_S = 1.0  # so long of these without a word
QUIET_S = 60.0  # between two warnings
SLOW_S = 30.0  # a call that takes longer is warned of
WAIT_S = (1.0, 60.0)  # before the first attempt to reach again what was not reached, and the longest
LIMIT = 100_000  # so much may wait to be written, about 100 MB

_log = logging.getLogger(__name__)


class UnreachableError(Exception):
    """Raised by a destination that cannot be reached now: the same call is made again later."""


class Destination:
    """Where an observer writes. The methods that it adds are called one at a time, in a thread of its own.

    An exception is logged, once a minute at the most, and what could not be written is left out. After an
    `UnreachableError` the same call is made again until it works: to have done a part of it must not harm.
    """

    def flush(self) -> None:
        """Write what was put aside: nothing else waits to be told at the moment."""

    def close(self) -> None:
        """The experiment has ended."""


class Recorders:
    """A recorder for each experiment of this process, where an environment variable asks for it.

    Args:
        name: Of what is written for, in messages.
        variable: Nothing is written where it is not set, empty or 0.
        open_destination: Given the variable's value and the experiment, in the recorder's thread: what takes
            long to import is imported there.
    """

    def __init__(
        self, name: str, variable: str, open_destination: Callable[[str, ExperimentView], Destination]
    ) -> None:
        self._name = name
        self._variable = variable
        self._open = open_destination
        self._of: dict[str, Recorder] = {}  # by the experiment's id
        self._writing: list[Recorder] = []
        atexit.register(self._leave)

    def of(self, experiment: ExperimentView) -> Recorder | None:
        """What writes for `experiment`; None where nothing is to be written."""
        where = os.environ.get(self._variable, "")
        if where in {"", "0"}:
            return None
        if experiment.id not in self._of:
            recorder = Recorder(self._name, lambda: self._open(where, experiment))
            self._of[experiment.id] = recorder
            self._writing = [each for each in self._writing if each.is_writing] + [recorder]
        return self._of[experiment.id]

    def finish(self, experiment: ExperimentView) -> None:
        """Nothing more is told of `experiment`; what was told is still written."""
        if recorder := self._of.pop(experiment.id, None):
            recorder.finish()

    def _leave(self) -> None:
        """The process ends: wait a little for what is not written yet."""
        deadline_s = time.monotonic() + EXIT_S
        for recorder in self._writing:
            recorder.leave(deadline_s)


class Recorder:
    """Passes on to a thread what happens in an experiment, and returns at once.

    Args:
        name: Of what is written for, in messages.
        open_destination: Called in the thread.
    """

    def __init__(self, name: str, open_destination: Callable[[], Destination]) -> None:
        self._name = name
        self._open = open_destination
        self._told: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._leaving = threading.Event()
        self._busy_since_s: float | None = None
        self._quiet_until_s = 0.0
        self._thread = threading.Thread(target=self._write, name=f"tune-{name.lower()}", daemon=True)
        self._thread.start()

    @property
    def is_writing(self) -> bool:
        return self._thread.is_alive()

    def tell(self, method: str, *arguments: Any) -> None:
        """Have the destination's method of this name called."""
        if not self.is_writing:
            return
        if self._told.qsize() >= LIMIT:
            self._warn(
                f"not everything is written for {self._name}: {LIMIT} pieces wait, and no more are kept"
            )
            return
        since_s = self._busy_since_s
        if since_s is not None and time.monotonic() - since_s > SLOW_S:
            self._warn(f"{self._name} has not answered for {SLOW_S:.0f} s; {self._told.qsize()} pieces wait")
        self._told.put((method, arguments))

    def finish(self) -> None:
        """Nothing more is told; what was told is still written."""
        self._told.put(("close", ()))
        self._told.put(None)

    def leave(self, deadline_s: float) -> None:
        """The process ends: give up what cannot be reached, and what is not written by then."""
        self._leaving.set()
        self.finish()
        self._thread.join(min(SILENT_S, _until(deadline_s)))
        if self.is_writing and _until(deadline_s):
            # The result is on the terminal by now, and the prompt is not: say why.
            print(
                f"tune: not everything is written for {self._name} yet, waiting up to {EXIT_S:.0f} s",
                file=sys.stderr,
            )
            self._thread.join(_until(deadline_s))
        if self.is_writing:
            _log.warning("not everything is written for %s: the process ends", self._name)

    def _write(self) -> None:
        try:
            destination = self._insist(self._open)
        except ImportError:
            _log.exception("nothing is written for %s: it cannot be imported", self._name)
            return
        except Exception as err:  # noqa: BLE001 (an observer must not harm the experiment)
            _log.warning("nothing is written for %s: %s", self._name, _without_passwords(str(err)))
            return
        while (told := self._told.get()) is not None:
            method, arguments = told
            self._call(destination, method, *arguments)
            if self._told.empty():
                self._call(destination, "flush")

    def _call(self, destination: Destination, method: str, *arguments: Any) -> None:
        try:
            self._insist(getattr(destination, method), *arguments)
        except Exception as err:  # noqa: BLE001 (what can be written is)
            self._warn(f"not everything is written for {self._name}: {err}")

    def _insist(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Make a call, again and again where nothing can be reached, until the process ends."""
        wait_s, longest_s = WAIT_S
        self._busy_since_s = time.monotonic()
        try:
            while True:
                try:
                    return call(*arguments)
                except UnreachableError as err:
                    if self._leaving.is_set():
                        raise
                    self._warn(f"{self._name} is not reached, and what it is to be told waits: {err}")
                self._leaving.wait(wait_s)
                wait_s = min(2 * wait_s, longest_s)
        finally:
            self._busy_since_s = None

    def _warn(self, problem: str) -> None:
        """Say what is wrong; once a minute, for it may be wrong for every metric of a night."""
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + QUIET_S
            _log.warning("%s", _without_passwords(problem))


class Steps:
    """Numbers the intermediate results of each run, from 0.

    Results arrive several at once, and `TrialView.intermediates` counts all of these. So they are counted
    here, for a run whose start was seen; that of a trial which the manager has adopted begins with the count.
    """

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def start(self, run: str) -> None:
        self._next[run] = 0

    def next(self, run: str, intermediates: int) -> int:
        """The number of a result, of which the trial had reported so many."""
        step = self._next.get(run, intermediates - 1)
        self._next[run] = step + 1
        return step

    def end(self, run: str) -> None:
        self._next.pop(run, None)


def flat_parameters(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters by name, those of a nested choice as `choice/name`, the branch itself as `choice`."""
    for name, value in parameters.items():
        if isinstance(value, Mapping) and "_name" in value:
            yield prefix + name, value["_name"]
            inner = {key: each for key, each in value.items() if key != "_name"}
            yield from flat_parameters(inner, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def numbers(kind: str, value: Any) -> Iterator[tuple[str, float]]:
    """The numbers in a metric: itself or its `default` as `kind`, others in a dictionary as `kind/name`."""
    for name, number in (value if isinstance(value, Mapping) else {"default": value}).items():
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            yield kind if name == "default" else f"{kind}/{name}", float(number)


def _until(deadline_s: float) -> float:
    """The seconds that are left."""
    return max(0.0, deadline_s - time.monotonic())


def _without_passwords(problem: str) -> str:
    """Messages of libraries quote addresses, with the user and the password that stand in them."""
    return re.sub(r"://[^\s/]*@", "://***@", problem)
