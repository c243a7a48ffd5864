"""Training beside the search: one thread, and only for what is still of use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Trainings"]

T = TypeVar("T")


class Trainings(Generic[T]):
    """Numbered trainings, of which the two newest are of use: the one that is used and the one that will be.

    Which of them is used when is for the caller to say by number, and never depends on how fast they are.

    Args:
        train: Called in the thread with a number, and with a function that says whether to go on; None is
            the answer of a training that was given up.
    """

    def __init__(self, train: Callable[[int, Callable[[], bool]], T | None]) -> None:
        self._train = train
        self._changed = threading.Condition()
        self._wanted: list[int] = []  # in order
        self._done: dict[int, T] = {}
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def begin(self, number: int) -> None:
        """Start training `number`, and give up those that are older than the one before it."""
        with self._changed:
            self._wanted = [each for each in self._wanted if each >= number - 1] + [number]
            self._done = {each: result for each, result in self._done.items() if each >= number - 1}
            if self._thread is None:
                # Not a daemon: one that computes while the interpreter goes would take it down.
                self._thread = threading.Thread(target=self._run, name="tune-dngo-training")
                self._thread.start()

    def result(self, number: int) -> T:
        """What training `number` gave; waits for it, and gives up those before it.

        Raises:
            Exception: Whatever it raised.
        """
        with self._changed:
            if number not in self._wanted:
                raise KeyError(f"training {number} was given up or never begun: {self._wanted}")
            self._wanted = [each for each in self._wanted if each >= number]
            self._changed.wait_for(lambda: number in self._done or self._error is not None)
            if self._error is not None:
                raise self._error
            return self._done[number]

    def close(self) -> None:
        """Give up all."""
        with self._changed:
            self._wanted, self._done = [], {}

    def _goes_on(self, number: int) -> bool:
        return number in self._wanted and threading.main_thread().is_alive()

    def _next(self) -> int | None:
        with self._changed:
            left = [each for each in self._wanted if each not in self._done]
            if not threading.main_thread().is_alive():
                self._error = RuntimeError("the program is ending")
                self._changed.notify_all()
            if left and self._error is None:
                return left[0]
            self._thread = None
            return None

    def _run(self) -> None:
        while (number := self._next()) is not None:
            try:
                result = self._train(number, lambda: self._goes_on(number))
            except Exception as err:  # noqa: BLE001 (raised again where the result is asked for)
                result, self._error = None, err
            with self._changed:
                if result is not None and number in self._wanted:
                    self._done[number] = result
                self._changed.notify_all()
