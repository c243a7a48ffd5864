"""What something costs, counted: the same on a slow machine, and on one where other things run."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["builtin_calls", "instructions", "peak_bytes"]


def instructions(action: Callable[[], object]) -> int:
    """How many instructions of Python's bytecode it takes; what C does is none."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def builtin_calls(action: Callable[[], object]) -> Counter[str]:
    """How often it calls each function that is written in C, by its name: `open`, `stat`, `scandir`."""
    calls: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            calls[function.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


def peak_bytes(action: Callable[[], object]) -> int:
    """How much memory it takes at its height, arrays included, beyond what is taken before."""
    assert not tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
