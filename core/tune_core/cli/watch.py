"""`tune view` and `tune top`: looking at experiments that other processes run."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tune_core.cli.options import as_json, experiment_argument
from tune_core.cli.output import clean, print_json

if TYPE_CHECKING:
    from tune_core.experiment.view import ExperimentView
    from tune_core.store.reader import Record

_LOOK_S = 0.5


@click.command()
@experiment_argument
@as_json
def view(experiment: str | None, as_json: bool) -> None:
    """Watch an experiment until it ends. Ctrl-C ends the watching, not the experiment."""
    from tune_core.cli.live import display
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    with Record(find_experiment(experiment)) as record:
        if as_json:
            print_json(view_row(view_of(record)))
            return
        with display() as screen:
            revision = None
            while True:
                if revision != (revision := record.revision()) or record.is_managed():
                    screen.show(view_of(record))
                if not record.is_managed():
                    break
                time.sleep(_LOOK_S)
            screen.show(view_of(record))


@click.command()
@click.option(
    "--time", "-t", "seconds", type=click.FloatRange(0.1), default=3.0, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Look once and end.")
@as_json
def top(seconds: float, once: bool, as_json: bool) -> None:
    """Watch all running experiments of this machine. Ctrl-C ends it.

    With --json, and where nobody watches, it looks once.
    """
    from tune_core.cli.live import headline

    if as_json:
        print_json([view_row(now) for now in _running()])
        return
    repeat = sys.stdout.isatty() and not once
    while True:
        lines = [
            f"{now.id}  {now.status}  {headline(now)}" + (f"  {clean(now.name)}" if now.name else "")
            for now in _running()
        ]
        if repeat:
            click.clear()
        print("\n".join(lines) or "no experiment is running", flush=True)
        if not repeat:
            return
        time.sleep(seconds)


def _running() -> Iterator[ExperimentView]:
    """The experiments that have a manager, newest first."""
    from tune_core.store.directory import list_experiments
    from tune_core.store.lock import ManagerLock
    from tune_core.store.reader import Record

    for directory in list_experiments():
        if ManagerLock.is_held(directory.lock):
            with Record(directory) as record:
                yield view_of(record)


def view_row(view: ExperimentView) -> dict[str, Any]:
    """A picture of an experiment as `--json` gives it."""
    counts = {state.value: count for state, count in view.counts.items()}
    row = {**asdict(view), "counts": counts, **view.objectives.to_state()}
    return row if view.objectives.are_many else {key: each for key, each in row.items() if key != "front"}


def view_of(record: Record) -> ExperimentView:
    """The picture that the record gives."""
    from tune_core.experiment.view import ExperimentView, TrialView
    from tune_core.objectives import Objectives
    from tune_core.trial import TrialState

    state, best = record.state(), record.best(1)
    objectives = Objectives.of_state(state)
    front = record.front() if objectives.are_many else []
    limits = state.get("limits") or {}
    return ExperimentView(
        id=record.directory.id,
        name=state.get("name", ""),
        directory=record.directory.path,
        objectives=objectives,
        status=record.status(),
        reason=state.get("reason", ""),
        trouble=state.get("trouble", ""),
        activity="",
        counts=record.counts(),
        best=TrialView.of(best[0]) if best else None,
        running=tuple(map(TrialView.of, record.trials(states=(TrialState.RUNNING, TrialState.WAITING)))),
        concurrency=limits.get("concurrency", 0),
        max_trials=limits.get("trials"),
        max_duration_s=limits.get("duration_s"),
        elapsed_s=record.elapsed_s(),
        front=tuple(map(TrialView.of, front)),
    )
