"""Commands that start, end and change experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tune_core.cli.output import remark
from tune_core.store.directory import ExperimentDirectory, new_id
from tune_core.store.reader import Record
from tune_nni.nnictl.frame import experiment_argument, filename_option, matching, one, running, tune

__all__ = ["COMMANDS"]

F = TypeVar("F", bound=Callable[..., Any])


def _mention_no_page(_ctx: click.Context, _param: click.Parameter, port: int | None) -> None:
    if port is not None:
        remark("--port is not used: there is no web page; `tune view` and `tune top` show experiments")


def _unused(*names: str, **options: Any) -> Callable[[F], F]:
    """An option that is taken, and of no use here."""
    return click.option(*names, expose_value=False, help="Taken, and not used.", **options)


_port = _unused("--port", "-p", type=int, callback=_mention_no_page)
_debug = _unused("--debug", "-d", is_flag=True)
_foreground = click.option("--foreground", "-f", is_flag=True, help="Stay until the experiment ends.")
_folder = click.option("--experiment_dir", "-e", type=click.Path(path_type=Path), help="Where it is.")
_value = click.option("--value", "-v", required=True)


@click.command()
@click.option("--config", "-c", required=True, type=click.Path(path_type=Path))
@_port
@_debug
@_unused("--url_prefix", "-u")
@_foreground
def create(config: Path, foreground: bool) -> int:
    """Start an experiment; it goes on in the background."""
    if foreground:
        return tune("run", config)
    name = new_id()
    return _told(name, tune("create", "--id", name, config))


def _told(name: str, code: int) -> int:
    """Say which experiment it is, in the line that scripts look for."""
    if code == 0:
        print(f"The experiment id is {name}")
    return code


@click.command()
@experiment_argument
@_port
@_debug
@_foreground
@_folder
def resume(experiment: str | None, foreground: bool, experiment_dir: Path | None) -> int:
    """Go on with an experiment."""
    path = _path(experiment, experiment_dir)
    return tune("resume", path) if foreground else _told(path.name, tune("resume", "--background", path))


@click.command()
@experiment_argument
@_port
@_folder
def view(experiment: str | None, experiment_dir: Path | None) -> int:
    """Look at an experiment."""
    return tune("view", _path(experiment, experiment_dir))


def _path(experiment: str | None, experiment_dir: Path | None) -> Path:
    """The folder of an experiment, perhaps in another folder than usual."""
    if experiment_dir is None:
        return one(experiment).path
    whole = experiment_dir / (experiment or "")
    return whole if whole.is_dir() else experiment_dir


@click.command()
@experiment_argument
@_port
@click.option("--all", "-a", "everything", is_flag=True, help="All that run.")
def stop(experiment: str | None, everything: bool) -> int:
    """Stop an experiment, those whose ids begin so, or `all`. There may be nothing to stop."""
    live = running()
    if everything or experiment == "all" or (experiment is None and not live):
        return tune("stop", "--all")
    several = experiment is not None and experiment.endswith("*") and live
    found = matching(experiment, live) if several else [one(experiment)]
    return max([_stopped(each) for each in found])


def _stopped(directory: ExperimentDirectory) -> int:
    """Stop one that runs, or whose trials do: NNI's went on after the last trial, and were stopped then."""
    with Record(directory) as record:
        status, over = record.status(), not (record.is_managed() or record.left_running())
    if not over:
        return tune("stop", directory.path)
    remark(f"experiment {directory.id} is not running: {status}")
    return 0


@click.group()
def update() -> None:
    """Change an experiment."""


@update.command()
@experiment_argument
@filename_option
def searchspace(experiment: str | None, filename: Path) -> int:
    """Search another space from now on."""
    return tune("update", "searchspace", one(experiment).path, "--filename", filename)


def _limit(name: str, text: str) -> None:
    @update.command(name, help=text)
    @experiment_argument
    @_value
    def change(experiment: str | None, value: str) -> int:
        return tune("update", name, one(experiment).path, "--value", value)


_limit("concurrency", "Change how many trials run at once.")
_limit("duration", "Change how long trials may be started.")
_limit("trialnum", "Change the number of trials.")


@click.command()
@click.option("--time", "-t", "seconds", type=click.FloatRange(0.1), default=3, help="Seconds between looks.")
def top(seconds: float) -> int:
    """Watch what runs."""
    return tune("top", "--time", str(seconds))


COMMANDS = (create, resume, view, stop, update, top)
