"""`tune platform show|clean`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from tune_core.cli.options import as_json, complete_experiment
from tune_core.cli.output import print_json, print_table, remark, size
from tune_core.errors import TrainingServiceError, TuneError

if TYPE_CHECKING:
    from tune_core.config.model import ServiceConfig
    from tune_core.services.base import Leftover


@click.group()
def platform() -> None:
    """See and remove what experiments left on the machines they ran on."""


@platform.command()
@click.argument(
    "config_or_experiment",
    metavar="[CONFIG|EXPERIMENT]",
    required=False,
    shell_complete=complete_experiment,
)
@as_json
def show(config_or_experiment: str | None, as_json: bool) -> None:
    """Show what is on a platform, of all experiments.

    It is the platform of a configuration file or of an experiment; of the newest one if left out.
    """
    section, _ = _section(config_or_experiment)
    rows = _survey(section)
    if as_json:
        print_json([asdict(each) for each in rows])
    else:
        _print(rows)


@platform.command()
@click.argument("config_or_experiment", metavar="CONFIG|EXPERIMENT", shell_complete=complete_experiment)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also experiments that a manager runs at this moment.")
def clean(config_or_experiment: str, yes: bool, force: bool) -> None:
    """Remove what is on a platform, with the trials that run there.

    With a configuration file: everything that tune put on its machines, of any experiment. With an
    experiment: what is its own. Records, metrics and logs on this machine stay.
    """
    from tune_core.experiment.platform import make_service

    section, experiment = _section(config_or_experiment)
    rows = [each for each in _survey(section) if experiment in ("", each.experiment) or not each.experiment]
    _print(rows)
    kept = set() if force else {each.experiment for each in rows if each.managed}
    doomed = [each for each in rows if each.experiment and each.experiment not in kept]
    if rows and not doomed:
        _refuse(rows, "nothing was removed")
    if doomed and not yes and not click.confirm(f"Remove {_words(doomed)}?", err=True):
        raise TuneError("nothing was removed")
    # What is no experiment's own, such as programs that were sent there, goes with the last one.
    names = {each.experiment for each in doomed} if experiment or kept else None
    left = asyncio.run(make_service(section).clean(names, force=force))
    if left:
        _refuse(left, "not everything was removed")
    print(f"removed {_words(doomed)}" if doomed else "there is nothing to remove")


def _refuse(rows: Sequence[Leftover], what: str) -> NoReturn:
    """Raise what keeps these from being removed."""
    problems = [(each.machine, each.experiment, each.problem) for each in rows if each.problem]
    lines = [f"  {': '.join(filter(None, words))}" for words in problems]
    if any(each.managed for each in rows):
        lines.append("  --force also removes what a manager runs")
    error = TrainingServiceError if problems else TuneError
    raise error("\n".join([what, *lines]))


def _section(name: str | None) -> tuple[ServiceConfig, str]:
    """The platform that a file or an experiment names; and the experiment's id."""
    from tune_core.config import load_config
    from tune_core.experiment.platform import stored_config
    from tune_core.store.directory import find_experiment

    if name is not None and Path(name).is_file():
        return load_config(Path(name)).training_service, ""
    directory = find_experiment(name)
    config = stored_config(directory)
    if config is None:
        raise TuneError(f"the trials of experiment {directory.id} are Python functions; it has no platform")
    return config.training_service, directory.id


def _survey(section: ServiceConfig) -> list[Leftover]:
    """What is there; an experiment that a manager of this machine runs counts as managed."""
    from dataclasses import replace

    from tune_core.experiment.platform import make_service
    from tune_core.store.directory import list_experiments
    from tune_core.store.lock import ManagerLock

    # Its connection may be down at this moment, so that the platform does not know.
    ours = {each.id for each in list_experiments() if ManagerLock.is_held(each.lock)}
    found = asyncio.run(make_service(section).survey())
    return [replace(each, managed=each.managed or each.experiment in ours) for each in found]


def _print(rows: Sequence[Leftover]) -> None:
    if not rows:
        remark("nothing is on this platform outside the experiments' folders")
        return
    print_table(
        ("machine", "experiment", "size", "running", "managed", "problem"),
        [
            (
                each.machine,
                each.experiment,
                size(each.size),
                each.running or "",
                "yes" if each.managed else "",
                each.problem,
            )
            for each in rows
        ],
    )


def _words(rows: Sequence[Leftover]) -> str:
    """`2 experiments on 3 machines (1.2 GiB), ending 4 trials`."""
    experiments = len({each.experiment for each in rows} - {""})
    machines = len({each.machine for each in rows})
    sizes = sum(each.size or 0 for each in rows)
    running = sum(each.running for each in rows)
    what = f"{_count(experiments, 'experiment')} on {_count(machines, 'machine')} ({size(sizes)})"
    return what + (f", ending {_count(running, 'trial')}" if running else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
