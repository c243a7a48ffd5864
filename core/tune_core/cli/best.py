"""`tune best`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tune_core.cli.options import MOST, as_json, experiment_argument
from tune_core.cli.output import number, parameters_text, print_json, print_parameters, print_table, remark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tune_core.objectives import Objectives
    from tune_core.store.reader import Record, TrialRecord


@click.command()
@experiment_argument
@click.option(
    "-n",
    "--number",
    "count",
    type=click.IntRange(1, MOST),
    help="How many, best first. One by default; with several objectives, the whole front.",
)
@as_json
def best(experiment: str | None, count: int | None, as_json: bool) -> None:
    """Show the best configuration found so far.

    With several objectives these are the configurations that no other one beats in all of them, sorted
    by the first objective. Results that break a constraint are left out.
    """
    from tune_core.cli.trial import trial_row
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    with Record(find_experiment(experiment)) as record:
        objectives = record.objectives()
        found = record.front()[:count] if objectives.are_many else record.best(count or 1)
        if as_json:
            print_json([trial_row(trial) for trial in found])
            return
        if not found:
            remark(why_none(record))
        elif objectives.are_many:
            print_front(objectives, found)
            return
        for trial in found:
            print(f"{number(trial.value or 0.0)}  trial {trial.sequence} ({trial.id})")
            print_parameters(trial.parameters)


def print_front(objectives: Objectives, trials: Iterable[TrialRecord]) -> None:
    """A line for each trial: all that counts of its result, and its parameters."""
    print_table(
        ("trial", "id", *objectives.keys, "parameters"),
        [
            (
                each.sequence,
                each.id,
                *map(float, objectives.numbers_of(each.metric).values()),
                parameters_text(each.parameters),
            )
            for each in trials
        ],
        elide=(("parameters", 10), ("id", 0)),
    )


def why_none(record: Record) -> str:
    """Why there is no best result."""
    nearest = record.least_infeasible()
    if nearest is None:
        return "no trial has succeeded yet"
    return (
        f"no result keeps the constraints yet; trial {nearest.sequence} ({nearest.id}) is the nearest to it,"
        f" {nearest.reason}"
    )
