"""What advisors say: `send(CommandType.NewTrialJob, text)` and its like."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from enum import Enum
from typing import Any, Callable, Iterator

__all__ = ["CommandType", "receiving", "send"]


class CommandType(Enum):
    """The commands between NNI's manager and an algorithm."""

    Initialize = b"IN"
    RequestTrialJobs = b"GE"
    ReportMetricData = b"ME"
    UpdateSearchSpace = b"SS"
    ImportData = b"FD"
    AddCustomizedTrialJob = b"AD"
    TrialEnd = b"EN"
    Terminate = b"TE"
    Ping = b"PI"
    Initialized = b"ID"
    NewTrialJob = b"TR"
    SendTrialJobParameter = b"SP"
    NoMoreTrialJobs = b"NO"
    KillTrialJob = b"KI"


_local = threading.local()


@contextmanager
def receiving(receiver: Callable[[CommandType, Any], None]) -> Iterator[None]:
    """Have `receiver` hear what is sent in this thread meanwhile."""
    before = getattr(_local, "receiver", None)
    _local.receiver = receiver
    try:
        yield
    finally:
        _local.receiver = before


def send(command: CommandType, data: Any) -> None:
    """Tell the experiment something; `data` is JSON text.

    Raises:
        RuntimeError: It is called elsewhere than in a method that the experiment called.
    """
    receiver = getattr(_local, "receiver", None)
    if receiver is None:
        raise RuntimeError(
            f"{command}: an advisor sends from within its handle_* methods, not from a thread of its own"
        )
    receiver(command, data)
