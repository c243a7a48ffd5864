"""Commands that show experiments and their trials, and what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tune_core.cli.experiment import summary
from tune_core.cli.output import print_json
from tune_core.store.directory import ExperimentDirectory, list_experiments
from tune_core.store.reader import Record
from tune_nni.nnictl.frame import experiment_argument, filename_option, no_place, one, running, tune
from tune_nni.records import dated, line_of, trial_job

__all__ = ["COMMANDS"]

_words = click.argument("words", nargs=-1, expose_value=False)
_trial_id = click.option("--trial_id", "-T", required=True)


@click.group()
def trial() -> None:
    """See and end trials."""


@trial.command("ls")
@experiment_argument
@click.option("--head", type=click.IntRange(1), help="So many with the highest results.")
@click.option("--tail", type=click.IntRange(1), help="So many with the lowest results.")
def ls(experiment: str | None, head: int | None, tail: int | None) -> None:
    """List trials, as JSON."""
    if head and tail:
        raise click.UsageError("give --head or --tail")
    directory = one(experiment)
    with Record(directory) as record:
        found = list(record.trials())
    if head or tail:
        ranked = sorted(
            (each for each in found if each.value is not None),
            key=lambda each: each.value or 0.0,
            reverse=bool(head),
        )
        found = ranked[: head or tail]
    print_json([dated(trial_job(directory, each)) for each in found])


@trial.command()
@experiment_argument
@_trial_id
def kill(experiment: str | None, trial_id: str) -> int:
    """End a trial."""
    return tune("trial", "kill", trial_id, "--experiment", one(experiment).path)


@trial.command()
@experiment_argument
@_trial_id
def codegen(experiment: str | None, trial_id: str) -> int:
    """Write annotated code with a trial's values in place."""
    return tune("trial", "codegen", trial_id, "--experiment", one(experiment).path)


@click.group()
def experiment() -> None:
    """See, move and delete experiments."""


@experiment.command()
@experiment_argument
def show(experiment: str | None) -> None:
    """Show an experiment, as JSON."""
    from nni.experiment import Experiment  # here, for `nnictl --help` to be quick

    directory = one(experiment)
    profile = Experiment(id=str(directory.path)).get_experiment_profile()
    print_json({**summary(directory), **dated(profile), "id": directory.id})


@experiment.command()
@experiment_argument
def status(experiment: str | None) -> None:
    """Show whether it runs, as JSON."""
    row = summary(one(experiment))
    errors = [row["reason"]] if row["status"] in {"ERROR", "CRASHED", "UNREADABLE"} else []
    print_json({"status": row["status"], "reason": row["reason"], "errors": errors})


@experiment.command("list")
@click.option("--all", "everything", is_flag=True, help="All there are.")
def list_(everything: bool) -> None:
    """List experiments that run, and the newest unless it was stopped; the newest last."""
    live = {each.id for each in running()}
    found = []
    for number, each in enumerate(list_experiments()):  # newest first
        if everything or each.id in live or not number:
            row = summary(each)
            if everything or each.id in live or row["status"] != "STOPPED":
                found.append(line_of(each, row))
    if not found:
        print("There is no experiment running...")
        return
    dashes = "-" * 88
    # With the empty lines that were there: scripts count lines from the end.
    print(dashes, f"{'Experiment information':>38}", *reversed(found), "", dashes, "", sep="\n")


@experiment.command()
@experiment_argument
@click.option("--all", "everything", is_flag=True, help="All that do not run.")
def delete(experiment: str | None, everything: bool) -> int:
    """Delete an experiment. For all of them it asks first."""
    if everything:
        live = {each.id for each in running()}
        found = [each.path for each in list_experiments() if each.id not in live]
        return tune("experiment", "delete", *found) if found else 0
    if experiment is None:
        raise click.UsageError("give the id of an experiment, or --all")
    return tune("experiment", "delete", "--yes", one(experiment).path)


@experiment.command("import")
@experiment_argument
@filename_option
def import_(experiment: str | None, filename: Path) -> int:
    """Teach an experiment results from elsewhere."""
    return tune("experiment", "import", one(experiment).path, "--filename", filename)


@experiment.command()
@experiment_argument
@filename_option
@click.option("--type", "-t", "form", required=True, type=click.Choice(["json", "csv"]))
@click.option("--intermediate", "-i", is_flag=True, help="Also the intermediate results.")
def export(experiment: str | None, filename: Path, form: str, intermediate: bool) -> int:
    """Write out results, whether the experiment runs or not."""
    more = "--intermediate" if intermediate else None
    place = one(experiment).path
    return tune("experiment", "export", place, "--filename", filename, "--type", form, more)


@experiment.command(context_settings={"ignore_unknown_options": True})
@experiment_argument
@_words
def save(experiment: str | None) -> None:
    """Say how to move an experiment."""
    folder = one(None if experiment and experiment.startswith("-") else experiment).path
    pack = f"tar czf {folder.name}.tgz -C {folder.parent} {folder.name}"
    no_place(f"an experiment is one folder\n  pack it: {pack}")


@experiment.command(context_settings={"ignore_unknown_options": True})
@_words
def load() -> None:
    """Say how to move an experiment."""
    no_place("an experiment is one folder\n  unpack it into $TUNE_HOME, or ~/tune-experiments")


@click.group()
def config() -> None:
    """See configurations."""


@config.command("show")
@experiment_argument
def show_config(experiment: str | None) -> int:
    """Print the configuration of an experiment, as JSON."""
    return tune("config", "show", one(experiment).path)


@click.group()
def platform() -> None:
    """Clean platforms."""


@platform.command()
@click.option("--config", "-c", required=True, type=click.Path(path_type=Path))
def clean(config: Path) -> int:
    """Remove what is on the machines of a configuration; it asks first."""
    return tune("platform", "clean", config)


@click.group()
def log() -> None:
    """Read what was logged."""


def _manager(name: str, file: str) -> None:
    @log.command(name, help=f"Print the manager's {name}.")
    @experiment_argument
    @click.option("--tail", "-T", type=click.IntRange(0), help="Only the last lines.")
    @click.option("--head", "-H", type=click.IntRange(0), help="Only the first lines.")
    @click.option("--path", is_flag=True, help="Where it is, instead.")
    def read(experiment: str | None, tail: int | None, head: int | None, path: bool) -> None:
        place = one(experiment).log / file
        if path:
            print(place)
            return
        lines = place.read_text(encoding="utf-8", errors="replace").splitlines() if place.exists() else []
        lines = lines[:head] if head is not None else lines
        print(*(lines[max(0, len(lines) - tail) :] if tail is not None else lines), sep="\n")


_manager("stdout", "manager.log")
_manager("stderr", "manager.stderr")


@log.command("trial")
@experiment_argument
@click.option("--trial_id", "-T")
def log_of_trial(experiment: str | None, trial_id: str | None) -> None:
    """Print where trials are, with what they printed in `stdout` and `stderr`."""
    directory = one(experiment)
    with Record(directory) as record:
        found = list(record.trials()) if trial_id is None else [record.trial(trial_id)]
    print(json.dumps({each.id: _place(directory, each) for each in found}, indent=2))


def _place(directory: ExperimentDirectory, trial: Any) -> str:
    return str(directory.attempt(trial.id, trial.attempt))


COMMANDS = (trial, experiment, config, platform, log)
