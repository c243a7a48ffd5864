"""`tune update concurrency|trialnum|duration|searchspace`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tune_core.cli.options import experiment_argument


@click.group()
def update() -> None:
    """Change an experiment, running or not."""


@update.command()
@experiment_argument
@click.option("--value", type=click.IntRange(1, 99_999), required=True, help="The most trials at once.")
def concurrency(experiment: str | None, value: int) -> None:
    """Change how many trials run at once. Lowering it ends no trial."""
    _change(experiment, concurrency=value)


@update.command()
@experiment_argument
@click.option("--value", type=click.IntRange(1, 99_999), required=True, help="Trials in all, ended ones too.")
def trialnum(experiment: str | None, value: int) -> None:
    """Change the number of trials. An experiment that was done goes on with `tune resume`."""
    _change(experiment, trials=value)


@update.command()
@experiment_argument
@click.option("--value", required=True, help="Such as 90s, 30m, 0.5h, 7d, or a number of seconds.")
def duration(experiment: str | None, value: str) -> None:
    """Change how long trials may be submitted."""
    from tune_core.config.values import seconds

    try:
        number = seconds(int(value) if value.isdecimal() else value)
    except ValueError as err:
        raise click.BadParameter(str(err), param_hint="--value") from err
    _change(experiment, duration_s=number)


@update.command()
@experiment_argument
@click.option("--filename", "-f", type=click.Path(path_type=Path), required=True, help="A JSON or YAML file.")
def searchspace(experiment: str | None, filename: Path) -> None:
    """Search another space from now on, if the algorithm can."""
    from tune_core.config.document import read_document
    from tune_core.config.problems import Problem, error_of
    from tune_core.errors import SearchSpaceError
    from tune_core.experiment.offline import change_search_space
    from tune_core.space import SearchSpace
    from tune_core.store.commands import request
    from tune_core.store.directory import find_experiment
    from tune_core.store.lock import ManagerLock

    document = read_document(filename)
    try:
        space = SearchSpace.parse(document.value)
    except SearchSpaceError as err:
        found = [Problem(each.keys, each.message, document.place(each.keys)) for each in err.problems]
        raise error_of(found or [Problem((), str(err), document.place(()))], str(filename)) from None
    directory = find_experiment(experiment)
    if ManagerLock.is_held(directory.lock):
        request(directory, "space", search_space=document.value)
        print(f"experiment {directory.id} searches the space in {filename} from now on")
    else:
        change_search_space(directory, space)
        print(
            f"experiment {directory.id} will search the space in {filename}; "
            f"it is not running: tune resume {directory.id}"
        )


def _change(experiment: str | None, **limits: Any) -> None:
    from tune_core.experiment.offline import change_limits
    from tune_core.store.commands import request
    from tune_core.store.directory import find_experiment
    from tune_core.store.lock import ManagerLock

    directory = find_experiment(experiment)
    if ManagerLock.is_held(directory.lock):
        request(directory, "update", **limits)
        print(f"experiment {directory.id} was changed")
    else:
        change_limits(directory, limits)
        print(f"experiment {directory.id} was changed; it is not running: tune resume {directory.id}")
