"""`tune log manager|trial`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_core.cli.options import MOST, experiment_argument, experiment_option, trial_argument
from tune_core.cli.output import clean, remark
from tune_core.errors import ExperimentBusyError, ExperimentNotFoundError, TuneError
from tune_core.trial import TrialState

if TYPE_CHECKING:
    from tune_core.store.directory import ExperimentDirectory
    from tune_core.store.reader import Record

_LOOK_S = 0.3
_ASK_S = 15.0  # for what a trial elsewhere has printed; then what is here is shown


@click.group()
def log() -> None:
    """Read what the manager and the trials wrote."""


_tail = click.option("--tail", "-n", type=click.IntRange(0, MOST), help="Only the last lines.")
_follow = click.option("--follow", "-f", is_flag=True, help="Go on as long as more may come.")


@log.command()
@experiment_argument
@_tail
@_follow
def manager(experiment: str | None, tail: int | None, follow: bool) -> None:
    """Print the manager's log."""
    from tune_core.store.directory import find_experiment
    from tune_core.store.lock import ManagerLock

    directory = find_experiment(experiment)
    going = (lambda: ManagerLock.is_held(directory.lock)) if follow else (lambda: False)
    _print_file(directory.log / "manager.log", tail, going)


@log.command()
@trial_argument
@experiment_option
@click.option("--stderr", is_flag=True, help="Its standard error instead of its standard output.")
@click.option("--attempt", type=click.IntRange(0, MOST), help="Which attempt, from 0; the newest by default.")
@_tail
@_follow
def trial(
    trial: str, experiment: str | None, stderr: bool, attempt: int | None, tail: int | None, follow: bool
) -> None:
    """Print what a trial printed."""
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    directory = find_experiment(experiment)
    with Record(directory) as record:
        found = record.trial(trial)
        if attempt is not None and attempt > found.attempt:
            raise ExperimentNotFoundError(
                f"trial {found.sequence} has no attempt {attempt}; the newest is {found.attempt}"
            )
        number = found.attempt if attempt is None else attempt
        printing = _Printing(directory, record, found.id, number)
        printing.goes_on()  # so that what was printed by now is here
        path = directory.attempt(found.id, number) / ("stderr" if stderr else "stdout")
        _print_file(path, tail, printing.goes_on if follow else lambda: False)


class _Printing:
    """An attempt that may print more, which the manager is asked to bring if it runs elsewhere."""

    def __init__(self, directory: ExperimentDirectory, record: Record, trial_id: str, attempt: int) -> None:
        self._directory = directory
        self._record = record
        self._trial_id = trial_id
        self._attempt = attempt
        self._asked: tuple[Any, ...] | None = None  # which manager; the next one knows nothing of it

    def goes_on(self) -> bool:
        """Whether the trial has not ended."""
        from tune_core.store.lock import ManagerLock

        trial = self._record.trial(self._trial_id)
        runs = trial.state is TrialState.RUNNING and trial.attempt == self._attempt
        if runs and ManagerLock.is_held(self._directory.lock):
            holder = ManagerLock.holder(self._directory.lock) or {}
            self._ask((holder.get("host"), holder.get("boot"), holder.get("pid")))
        return not trial.state.is_terminal

    def _ask(self, manager: tuple[Any, ...]) -> None:
        from tune_core.store.commands import request

        if manager == self._asked:
            return
        self._asked = manager
        try:
            request(self._directory, "follow", timeout_s=_ASK_S, trial=self._trial_id, attempt=self._attempt)
        except ExperimentBusyError:
            self._asked = None  # it has just ended; perhaps another one will come
        except TuneError as err:
            remark(f"what the trial prints now cannot be brought here: {err}")


def _print_file(path: Path, tail: int | None, going: Callable[[], bool]) -> None:
    """Print a file, and what is added to it while `going` says that more may come."""
    while not path.exists() and going():
        time.sleep(_LOOK_S)
    try:
        file = path.open("rb")
    except FileNotFoundError as err:
        raise ExperimentNotFoundError(f"{path}: is not there; nothing has been written yet") from err
    except OSError as err:
        raise ExperimentNotFoundError(f"{path}: cannot be read: {err.strerror}") from err
    with file:
        text = file.read() if tail is None else _last_lines(file.read(), tail)
        _write(text)
        more = True
        while more:
            more = going()  # asked before the last look, or what came between would be lost
            _write(file.read())
            if more:
                time.sleep(_LOOK_S)


def _last_lines(content: bytes, count: int) -> bytes:
    return b"".join(content.splitlines(keepends=True)[-count:]) if count else b""


def _write(content: bytes) -> None:
    """To a terminal without anything that would command it, to a file as it is."""
    if not content:
        return
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    for line in content.decode("utf-8", errors="replace").splitlines(keepends=True):
        end = "\n" if line.endswith("\n") else ""
        print(clean(line.rstrip("\n").expandtabs()), end=end, flush=True)
