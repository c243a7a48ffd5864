"""`tune curve`: how an experiment's best result grew, on one line of the terminal."""

from collections.abc import Iterable

import click

from tune_core import Record, TrialState
from tune_core.store.directory import find_experiment

BARS = "▁▂▃▄▅▆▇█"


@click.command()
@click.argument("experiment", required=False)
def curve(experiment: str | None) -> None:
    """Draw the best result so far after each succeeded trial of EXPERIMENT, the newest by default."""
    with Record(find_experiment(experiment)) as record:
        better = max if record.state().get("mode") == "maximize" else min
        values = [trial.value for trial in record.trials(states=(TrialState.SUCCEEDED,))]
    bests: list[float] = []
    for value in values:
        bests.append(value if not bests else better(bests[-1], value))
    click.echo(f"{draw(bests)}  best {bests[-1]:.6g}" if bests else "no trial has succeeded yet")


def draw(values: Iterable[float]) -> str:
    """One bar for each value, the lowest shortest.

    >>> draw([0, 1, 7])
    '▁▂█'
    """
    values = list(values)
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in values)
