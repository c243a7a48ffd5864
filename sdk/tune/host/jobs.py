"""Work that takes long, in small steps, so that the loop around it is never held up.

A job is a generator. What it yields is how long it rests, in seconds; 0 is to go on at its next
turn. It reports its own failures: one that leaves it is a bug, and ends the server.
"""

from __future__ import annotations

import time
from typing import Generator

__all__ = ["Job", "Jobs"]

Job = Generator[float, None, None]


class Jobs:
    """Jobs that take turns."""

    def __init__(self) -> None:
        self._due: dict[Job, float] = {}  # in order of turn

    def __len__(self) -> int:
        return len(self._due)

    def add(self, job: Job) -> None:
        self._due[job] = 0.0

    def clear(self) -> None:
        """Forget them all."""
        for job in self._due:
            job.close()
        self._due.clear()

    def timeout(self) -> float | None:
        """Seconds until one of them wants to go on; None for never."""
        if not self._due:
            return None
        return max(0.0, min(self._due.values()) - time.monotonic())

    def step(self) -> None:
        """One step of one job, the one that has waited longest among those that are due."""
        now = time.monotonic()
        job = next((job for job, due in self._due.items() if due <= now), None)
        if job is None:
            return
        del self._due[job]
        try:
            rest_s = next(job)
        except StopIteration:
            return
        self._due[job] = now + rest_s if rest_s else 0.0
