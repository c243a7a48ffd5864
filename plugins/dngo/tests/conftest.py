"""No training outlasts its test: while one runs, the whole process computes with one thread, which is for
other tests to see."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _trainings_end() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "tune-dngo-training":
            thread.join()
