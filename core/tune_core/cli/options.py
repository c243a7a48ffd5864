"""Arguments and options that several commands share, and the completion of live names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["as_json", "config_file", "experiment_argument", "experiment_option", "trial_argument"]

F = TypeVar("F", bound=Callable[..., Any])

MOST = 2**62
"""The largest number that options take: the record's integers have 64 bits."""


def as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def config_file(command: F) -> F:
    return click.argument("config", type=click.Path(path_type=Path))(command)


def complete_experiment(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from tune_core.store.directory import list_experiments

    return [each.id for each in list_experiments() if each.id.startswith(incomplete)]


def complete_trial(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from tune_core.errors import TuneError
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    try:
        with Record(find_experiment(ctx.params.get("experiment"))) as record:
            names = [name for trial in record.trials() for name in (trial.id, str(trial.sequence))]
    except TuneError:
        return []
    return [name for name in names if name.startswith(incomplete)]


_EXPERIMENT_HELP = "Id, its beginning, or a folder; the newest experiment if left out."


def experiment_argument(command: F) -> F:
    return click.argument("experiment", required=False, shell_complete=complete_experiment)(command)


def experiment_option(command: F) -> F:
    return click.option("-e", "--experiment", shell_complete=complete_experiment, help=_EXPERIMENT_HELP)(
        command
    )


def trial_argument(command: F) -> F:
    return click.argument("trial", shell_complete=complete_trial)(command)
