"""`tune best`."""

from __future__ import annotations

import click

from tune_core.cli.options import MOST, as_json, experiment_argument
from tune_core.cli.output import number, print_json, print_parameters, remark


@click.command()
@experiment_argument
@click.option(
    "-n", "--number", "count", type=click.IntRange(1, MOST), default=1, help="How many, best first."
)
@as_json
def best(experiment: str | None, count: int, as_json: bool) -> None:
    """Show the best configuration found so far."""
    from tune_core.cli.trial import trial_row
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    with Record(find_experiment(experiment)) as record:
        found = record.best(count)
        if as_json:
            print_json([trial_row(trial) for trial in found])
            return
        if not found:
            remark("no trial has succeeded yet")
        for trial in found:
            print(f"{number(trial.value or 0.0)}  trial {trial.sequence} ({trial.id})")
            print_parameters(trial.parameters)
