"""`TrainingService`: what the kernel asks of a platform, and what it gives it.

A service starts, stops and adopts attempts, and carries their messages. It never decides what to
run, and it holds no truth: all that must outlive the manager is in the identity that it hands to
`ServiceEvents.started`, which the kernel stores and gives back to `adopt`.
"""

from __future__ import annotations

import asyncio
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel

from tune_core.trial import Attempt, AttemptKey, Ending, Message

if TYPE_CHECKING:
    from tune_core.config.version1 import Old, Section

__all__ = ["Leftover", "ServiceContext", "ServiceEvents", "TrainingService"]


class ServiceEvents(Protocol):
    """What a service tells the kernel. Call from the manager's event loop only."""

    def waiting(self, key: AttemptKey, reason: str) -> None:
        """`key` cannot start yet. `reason` is for a person: which resource, held by whom."""

    async def started(self, key: AttemptKey, identity: Mapping[str, Any]) -> bool:
        """`key` is about to run under `identity` (JSON values; enough to find it again).

        Returns once that is durable. False means the attempt was cancelled meanwhile: do not let
        it run. A service must be able to die at any moment around this call without the trial
        running unrecorded, so the trial waits at a gate until this returned True.
        """

    async def messages(self, key: AttemptKey, messages: Sequence[Message]) -> None:
        """`key` reported. In order; repeats are dropped by the kernel. Returns when the kernel
        has room for more, which is how a flood in one trial slows that trial's reader alone."""

    def ended(self, key: AttemptKey, ending: Ending) -> None:
        """`key` is over: its whole process tree is gone and all its messages were delivered.
        Called exactly once for each attempt that was submitted or adopted, cancelled or not."""

    def trouble(self, summary: str) -> None:
        """Something is wrong with the platform itself; shown until called with an empty text."""


@dataclass(frozen=True)
class ServiceContext:
    """What a service knows about the experiment it serves.

    Attributes:
        directory: The experiment's folder. A service may keep files of its own in
            `directory / "service"`, created on first use.
        concurrency: The most attempts that will be submitted at once.
        adoptable: Attempts of an earlier manager that will be given to `adopt` next. Whatever else of
            this experiment runs on the platform is nobody's any more, and a service may end it.
        environment: What trials on this machine inherit: the manager's own variables as it was
            started. `os.environ` may differ by now; the GPUs that the algorithm may use are there.
    """

    experiment_id: str
    directory: Path
    concurrency: int
    events: ServiceEvents
    environment: Mapping[str, str]
    adoptable: Collection[AttemptKey] = frozenset()


@dataclass(frozen=True)
class Leftover:
    """What is on one machine of a platform, of one experiment, outside the experiment's folder.

    Attributes:
        machine: As the configuration's reader knows it; empty where there is only one place.
        experiment: Its id; empty for a machine that cannot be looked at, and for what is no
            experiment's own, such as programs that were sent there.
        size: Bytes; None if the platform does not say.
        running: How many of its trials run there.
        managed: A manager has hold of it at this moment.
        problem: Why the machine cannot be looked at, or this could not be removed.
    """

    machine: str
    experiment: str
    size: int | None = None
    running: int = 0
    managed: bool = False
    problem: str = ""


class TrainingService(ABC):
    """A platform that runs trials.

    `Config` is the pydantic model of the service's section of the configuration; its fields other
    than `platform` are the service's own. The constructor receives the validated model.

    All methods run in the manager's event loop and none may block it. An exception from any of
    them is shown to the user and stops the experiment from submitting; running trials go on.
    """

    Config: ClassVar[type[BaseModel]]

    sees_folders: ClassVar[bool] = False
    """Whether trials see the folders of the manager's machine, under the same paths."""

    @classmethod
    def upgrade(cls, old: Old) -> Section:  # noqa: ARG003 (for services to override)
        """The service's own section, from a configuration of NNI 1.

        Takes its keys from `old`, the whole of that configuration; whatever nobody takes is reported as
        unknown. The default takes none.
        """
        from tune_core.config.version1 import Section

        return Section()

    def check(self, gpu_number: int | None) -> None:
        """Raise TrainingServiceError for what this platform can never run; says why.

        What is wrong with the service's own section (a key file that is not there) is a ConfigError,
        whose problems name keys of that section.

        Called when a configuration is checked, and before an experiment is created or resumed: in
        no event loop, on a service that may never be opened. `gpu_number` is that of each trial;
        None leaves it to the platform.
        """

    @abstractmethod
    async def open(self, context: ServiceContext) -> None:
        """Make ready. Raises TrainingServiceError when the platform cannot be used at all."""

    @abstractmethod
    async def submit(self, attempt: Attempt) -> None:
        """Take charge of `attempt` and return at once; it starts when there is room.

        Idempotent by key: after a crash the kernel submits again every attempt that was not
        recorded as started, and a half-made one must be taken over or cleared away.
        """

    @abstractmethod
    async def adopt(self, attempt: Attempt, identity: Mapping[str, Any], last_sequence: int) -> None:
        """Take charge of an attempt that an earlier manager started, alive or not by now.

        Messages after `last_sequence` (-1: none was recorded) are delivered, then its end, also
        when it ended while no manager was there. An attempt that cannot be found any more ends as
        lost.
        """

    @abstractmethod
    async def cancel(self, key: AttemptKey) -> None:
        """End `key`: SIGTERM or its like, a grace period, then force; the whole tree.

        Returns when that is under way; `ended` follows. Unknown keys and repeats are ignored.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything without ending anything: attempts still running go on, and a
        later manager adopts them."""

    def set_concurrency(self, concurrency: int) -> None:
        """The most attempts that will be submitted at once was changed at run time."""

    # For a platform whose trials write elsewhere than in `Attempt.directory`.

    async def follow(self, key: AttemptKey) -> None:
        """Bring what `key` prints to `stdout` and `stderr` in its directory, from now on as it is
        printed; without it they need to be there, and whole, only when `ended` is told.

        Returns when that is under way and what had been printed is there, as far as that takes no
        longer than a few seconds. Repeats, and keys that are unknown or do not run, are ignored.
        Does nothing for services whose trials print there themselves.
        """

    # On a service that was not opened, and is not opened later. Each may take as long as it needs.

    async def fetch(self, attempt: Attempt, identity: Mapping[str, Any], target: Path) -> None:
        """Copy what a trial left in its output and checkpoint folders to `target / "output"` and
        `target / "checkpoint"`, while it runs or afterwards; those that are not there are left out.

        Files that are there are not written over: `target` is an empty folder.

        Raises:
            TrainingServiceError: They cannot be had; says why. What was copied stays.
        """
        folders = {
            "output": attempt.directory / "output",
            "checkpoint": attempt.directory.parent / "checkpoint",
        }
        for name, folder in folders.items():
            if folder.is_dir():
                await asyncio.to_thread(shutil.copytree, folder, target / name, symlinks=True)

    async def survey(self) -> Sequence[Leftover]:
        """Everything that is on this platform, of any experiment of this account.

        A machine that cannot be looked at is in the list as well, with its problem.
        """
        return ()

    async def clean(
        self, experiments: Collection[str] | None = None, *, force: bool = False
    ) -> Sequence[Leftover]:
        """Remove what `survey` shows, with the trials that run there; returns what remains, each
        with its problem.

        Args:
            experiments: Only these; None for everything.
            force: Also what a manager has hold of.
        """
        return ()
