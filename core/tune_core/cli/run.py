"""`tune run`, `create`, `resume` and `stop`: the life of an experiment."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self

import click

from tune_core.cli.options import as_json, config_file, experiment_argument
from tune_core.cli.output import number, print_json, print_parameters, remark
from tune_core.errors import TuneError
from tune_core.trial import TrialState

if TYPE_CHECKING:
    from tune_core.api import Experiment
    from tune_core.cli.live import Display
    from tune_core.config.model import ExperimentConfig
    from tune_core.store.directory import ExperimentDirectory

_LOOK_S = 0.25
_id = click.option("--id", "experiment_id", help="The experiment's id; eight random characters by default.")


@click.command()
@config_file
@_id
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@as_json
def run(config: Path, experiment_id: str | None, quiet: bool, as_json: bool) -> int:
    """Run an experiment and show its progress.

    Ctrl-C asks, then stops it cleanly; `tune resume` goes on later. If the terminal goes away, the
    experiment goes on without it: `tune view`. The exit code is 0 when it is done, 1 when it failed
    or no trial succeeded or none kept the constraints, 130 when it was stopped from here.
    """
    from tune_core.api import Experiment

    return _follow(Experiment(_load(config), id=experiment_id), quiet, as_json)


@click.command()
@config_file
@_id
@as_json
def create(config: Path, experiment_id: str | None, as_json: bool) -> None:
    """Run an experiment in the background."""
    from tune_core.experiment.assemble import create as create_experiment
    from tune_core.experiment.background import launch

    directory, _ = create_experiment(_load(config), experiment_id)
    pid = launch(directory)
    if as_json:
        print_json({"id": directory.id, "directory": str(directory.path), "pid": pid})
    else:
        print(f"experiment {directory.id} runs in the background")
        remark(f"watch it: tune view {directory.id}    end it: tune stop {directory.id}")


@click.command()
@experiment_argument
@click.option("--background", "-b", is_flag=True, help="In the background, as `tune create` does.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@as_json
def resume(experiment: str | None, background: bool, quiet: bool, as_json: bool) -> int:
    """Go on with an experiment that was stopped, crashed or done.

    Trials that are still running are taken over; nothing is run twice.
    """
    from tune_core.api import Experiment
    from tune_core.experiment.assemble import reopen
    from tune_core.experiment.background import launch
    from tune_core.store.directory import find_experiment

    directory = find_experiment(experiment)
    _refuse_if_managed(directory)
    _warn_of_broken_plugins()
    if not background:
        return _follow(Experiment.resume(str(directory.path)), quiet, as_json)
    reopen(directory)  # what is wrong is said here rather than in a log
    pid = launch(directory)
    if as_json:
        print_json({"id": directory.id, "directory": str(directory.path), "pid": pid})
    else:
        print(f"experiment {directory.id} goes on in the background")
    return 0


def _refuse_if_managed(directory: ExperimentDirectory) -> None:
    """Say so at once, before anything is written beside the other manager.

    Only one of this machine that is alive for certain counts; the lock itself has the last word.
    """
    from tune_core.store.lock import ManagerLock

    holder = ManagerLock.holder(directory.lock)
    if holder and ManagerLock.is_held(directory.lock) and Path(f"/proc/{holder['pid']}").exists():
        raise ManagerLock.busy(directory.lock)


@click.command()
@experiment_argument
@click.option("--all", "everything", is_flag=True, help="All running experiments of this machine.")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, help="Seconds to wait for the end.")
def stop(experiment: str | None, everything: bool, timeout: float) -> None:
    """Stop an experiment; running trials are cancelled, and run again on resume.

    One whose manager crashed is stopped too: trials that it left running are ended.
    """
    from tune_core.store.directory import find_experiment, list_experiments
    from tune_core.store.lock import ManagerLock

    if everything and experiment:
        raise click.UsageError("give an experiment or --all")
    running = [each for each in list_experiments() if ManagerLock.is_held(each.lock)]
    chosen = running if everything else [find_experiment(experiment)]
    if experiment is None and not everything and running:
        if len(running) > 1:
            raise click.UsageError(f"several experiments run: {', '.join(each.id for each in running)}")
        chosen = running  # there may be newer ones that have ended
    if not chosen:
        remark("no experiment is running")
    for directory in chosen:
        _stop(directory, timeout)


def _stop(directory: ExperimentDirectory, timeout_s: float) -> None:
    from tune_core.errors import ExperimentBusyError
    from tune_core.experiment.background import launch
    from tune_core.store.lock import ManagerLock
    from tune_core.store.reader import Record

    if not ManagerLock.is_held(directory.lock):
        with Record(directory) as record:
            status, left = record.status(), record.left_running()
        if not left:
            raise ExperimentBusyError(f"experiment {directory.id} is not running: {status}")
        launch(directory, "--stop")
        cancelled = f", {left} trials that were left running are ended"
    else:
        cancelled = _ask_to_stop(directory)
    deadline = time.monotonic() + timeout_s
    while ManagerLock.is_held(directory.lock):
        if time.monotonic() > deadline:
            raise TuneError(
                f"experiment {directory.id} is still stopping after {timeout_s:.0f} s\n"
                f"  see what it waits for: tune trial ls {directory.id}"
            )
        time.sleep(0.05)
    print(f"experiment {directory.id} was stopped{cancelled}")
    remark(f"go on later: tune resume {directory.id}")


def _ask_to_stop(directory: ExperimentDirectory) -> str:
    """Ask its manager; returns what became of the trials."""
    from tune_core.errors import ExperimentBusyError
    from tune_core.store.commands import request

    try:
        unfinished = request(directory, "stop")["running"]
    except ExperimentBusyError:
        return ""  # it ended just now
    return f", {unfinished} unfinished trials were cancelled"


def _load(path: Path) -> ExperimentConfig:
    from tune_core.config.load import load_config

    config = load_config(path)
    for text in config.remarks:
        remark(text)
    _warn_of_broken_plugins()
    return config


def _warn_of_broken_plugins() -> None:
    from tune_core.plugins import plugins

    for plugin in plugins().broken:
        remark(
            f"plugin {plugin} is broken and was left out: {plugin.error}\n"
            f"  more of it: tune plugins show {plugin.distribution}"
        )


def _follow(experiment: Experiment, quiet: bool, as_json: bool) -> int:
    """Run `experiment` in this process until it ends; returns the exit code."""
    from tune_core.experiment.manager import log_to_folder
    from tune_core.plugins import plugins

    log_to_folder(experiment.directory)
    plugins().log_broken()
    remark(f"experiment {experiment.id}, in {experiment.directory.path}")
    with _Signals(experiment.directory.manager_output) as signals:
        experiment.start(hide_gpus=True)
        status = _wait(experiment, signals, quiet)
    return _report(experiment, status, signals.stopping, as_json)


def _wait(experiment: Experiment, signals: _Signals, quiet: bool) -> str:
    """Show the experiment until it ends; ask what is meant when a signal comes."""
    from tune_core.cli.live import display

    while True:
        with nullcontext() if quiet or signals.screen_is_gone else display() as screen:
            status = _watch(experiment, signals, screen)
        signals.write_to_file()
        if status is not None:
            return status
        if not (signals.interrupted or signals.terminated):
            continue  # there is nothing to draw on any more
        if signals.terminated or signals.interrupted > 1 or _means_to_stop(experiment):
            signals.stopping = True
            remark("stopping; Ctrl-C again leaves what is running to `tune resume`")
            experiment.stop()
        signals.interrupted, signals.terminated = 0, False


def _watch(experiment: Experiment, signals: _Signals, screen: Display | None) -> str | None:
    """The status at the end, or None when a signal came before it that changes what to do."""
    while True:
        try:
            return experiment.wait(_LOOK_S)
        except TimeoutError:
            view = experiment.view() if screen else None
        if screen and view:
            screen.show(view)
        if signals.interrupted or signals.terminated or (screen and signals.screen_is_gone):
            return None


def _means_to_stop(experiment: Experiment) -> bool:
    """Ask, if there is somebody to ask. A second Ctrl-C is a yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    question = f"\nStop experiment {experiment.id}? `tune resume {experiment.id}` goes on later. [y/N] "
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        print(question, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}
    except KeyboardInterrupt:
        return True
    finally:
        signal.signal(signal.SIGINT, before)


class _Signals:
    """Ctrl-C and SIGTERM as marks to look at, while the experiment runs in another thread.

    When the terminal goes away, the experiment goes on, and what it would print goes to a file.

    Args:
        output: The file.
    """

    def __init__(self, output: Path) -> None:
        self.interrupted = 0
        self.terminated = False
        self.stopping = False
        self._output = output
        self._terminals = [number for number in (0, 1, 2) if os.isatty(number)]

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._note) for each in (signal.SIGINT, signal.SIGTERM)}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _note(self, received: int, _frame: FrameType | None) -> None:
        if self.stopping and received == signal.SIGINT:
            # Safe at any moment: the record is on disk, and trials that live on are taken over.
            with suppress(OSError):
                os.write(2, b"\ntune: left; `tune resume` takes over what is still running\n")
            os._exit(130)
        if received == signal.SIGINT:
            self.interrupted += 1
        else:
            self.terminated = True

    @property
    def screen_is_gone(self) -> bool:
        """Whether the display was on a terminal that went away."""
        return 2 in self._gone()

    def write_to_file(self) -> None:
        """Print to the file what would go to a terminal that went away."""
        if gone := [number for number in self._gone() if number]:
            try:
                output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            except OSError:  # a full disk
                output = os.open(os.devnull, os.O_WRONLY)
            self._connect(output, gone)

    def _gone(self) -> list[int]:
        """Asked of them, since there may have been no signal: after `disown`, say."""
        return [number for number in self._terminals if not os.isatty(number)]

    def _hang_up(self, _received: int, _frame: FrameType | None) -> None:
        # The display may be drawing just now; what it draws is not for the file.
        self._connect(os.open(os.devnull, os.O_RDWR), self._terminals)

    def _connect(self, descriptor: int, terminals: Sequence[int]) -> None:
        for terminal in terminals:
            os.dup2(descriptor, terminal)
        os.close(descriptor)


def _report(experiment: Experiment, status: str, stopped_here: bool, as_json: bool) -> int:
    """Print how it ended; returns the exit code."""
    from tune_core.cli.best import print_front, why_none
    from tune_core.cli.experiment import summary, trials_text

    row = summary(experiment.directory, with_front=True)
    failed = [] if row["best"] else experiment.trials(TrialState.FAILED)
    with experiment.record() as record:
        objectives, infeasible = record.objectives(), row["best"] is None and record.has_results()
        none = why_none(record) if infeasible else ""
    if as_json:
        print_json(row)
    else:
        print(f"experiment {experiment.id}: {status}, {trials_text(row['counts'], row['max_trials'])}")
        if objectives.are_many and row.get("front"):
            count = len(row["front"])
            print(f"{count} result{'s' if count > 1 else ''} that no other beats: {objectives}")
            print_front(objectives, experiment.front)
        elif best := row["best"]:
            print(f"best result {number(best['value'])} in trial {best['sequence']} ({best['id']})")
            print_parameters(best["parameters"])
    sys.stdout.flush()
    if status == "ERROR":
        remark(f"{row['reason']}\n  when that is mended: tune resume {experiment.id}")
        return 1
    if status == "STOPPED":
        remark(f"go on later: tune resume {experiment.id}")
        return 130 if stopped_here else 0
    if infeasible:
        remark(none)
        return 1
    if failed:
        reason = "\n  ".join(failed[-1].reason.splitlines())
        remark(f"no trial succeeded; the last one failed: {reason}")
        return 1
    if row["best"] is None and row["counts"]:
        remark("no trial reported a final result: it ends with tune.report_final_result(value)")
        return 1
    return 0
