"""What a trial is: its states, its attempts, and how an attempt ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Attempt", "AttemptKey", "Ending", "Message", "Parameters", "TrialState"]

Parameters = dict[str, Any]
"""One configuration: what a trial receives. JSON values only."""


class TrialState(str, Enum):
    """NNI's names. The last five are terminal."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    EARLY_STOPPED = "EARLY_STOPPED"
    USER_CANCELED = "USER_CANCELED"
    SYS_CANCELED = "SYS_CANCELED"

    @property
    def is_terminal(self) -> bool:
        return self not in (TrialState.WAITING, TrialState.RUNNING)


class AttemptKey(NamedTuple):
    """Names one attempt at one trial. Never reused within an experiment."""

    trial_id: str
    number: int


@dataclass(frozen=True)
class Attempt:
    """Everything a training service needs to start one attempt at a trial.

    Attributes:
        sequence: The trial's place in the order of submission, from 0.
        parameters: What the trial receives, JSON values only.
        command: The user's own shell line.
        code_directory: The trial's working directory on the manager's machine.
        directory: A folder of this attempt's own in the experiment's folder. The service may put
            anything in it; standard output and error belong in `stdout` and `stderr` there.
        gpu_number: GPUs to give it. None leaves the GPUs alone, 0 hides them all.
        environment: Variables to add to the trial's environment. The service adds the SDK's own.
    """

    key: AttemptKey
    experiment_id: str
    sequence: int
    parameters: Mapping[str, Any]
    command: str
    code_directory: Path
    directory: Path
    gpu_number: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Message(NamedTuple):
    """One record of the trial channel (`tune.channel`), as the kernel receives it.

    `sequence` counts from 0 within an attempt; the kernel drops what it has already seen, so a
    service may deliver a message twice but never out of order.
    """

    sequence: int
    kind: str  # "intermediate" or "final"
    value: Any  # decoded JSON, not yet checked
    time: float  # seconds since the epoch on the trial's machine; for display only


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, as far as its platform can tell.

    Attributes:
        exit_status: The exit status of the trial's command, 128 + n when signal n killed it; None
            when the platform cannot say.
        lost: The trial may have been fine, but its machine or its process is gone without an exit
            status (power cut, evicted pod). Retried under another limit than failures.
        reason: One line for a person; empty when the exit status says it all.
    """

    exit_status: int | None
    lost: bool = False
    reason: str = ""
