"""`tune trial ls|show|kill|add|fetch|codegen`."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_core.cli.experiment import crash_text
from tune_core.cli.options import (
    MOST,
    as_json,
    complete_trial,
    experiment_argument,
    experiment_option,
    trial_argument,
)
from tune_core.cli.output import (
    HINT,
    clean,
    duration,
    in_a_line,
    number,
    parameters_text,
    print_json,
    print_parameters,
    print_table,
    remark,
    size,
    when,
)
from tune_core.errors import ConfigError, ExperimentBusyError, ExperimentNotFoundError, TuneError
from tune_core.trial import TrialState

if TYPE_CHECKING:
    from tune_core.store.directory import ExperimentDirectory
    from tune_core.store.reader import MetricRecord, TrialRecord

__all__ = ["clean_lines", "new_folder", "print_trials", "trial", "trial_row"]

_PAGE = 100
_LAST_LINES = 10


@click.group()
def trial() -> None:
    """See and steer the trials of an experiment."""


@trial.command("ls")
@experiment_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in TrialState], case_sensitive=False),
    help="Only trials in this state; may be repeated.",
)
@click.option(
    "--limit", type=click.IntRange(1, MOST), help=f"The most to show; the newest {_PAGE} without --json."
)
@click.option("--before", type=click.IntRange(0, MOST), help="Only trials with a lower number, to page back.")
@as_json
def ls(
    experiment: str | None, states: tuple[str, ...], limit: int | None, before: int | None, as_json: bool
) -> None:
    """List trials, and why those that wait do so."""
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    chosen = tuple(TrialState(state) for state in states)
    count = limit if limit is not None or as_json else _PAGE
    with Record(find_experiment(experiment)) as record:
        page = list(record.trials(states=chosen, limit=count, before=before, newest_first=True))[::-1]
        if as_json:
            print_json([trial_row(each) for each in page])
            return
        print_trials(page)
        if page and page[0].sequence > 0 and len(page) == count:
            remark(f"earlier ones: tune trial ls --before {page[0].sequence}")
        if crashed := crash_text(record):
            remark(crashed)


@trial.command()
@trial_argument
@experiment_option
@as_json
def show(trial: str, experiment: str | None, as_json: bool) -> None:
    """Show one trial: its number or id, what it reported, and the last lines it printed."""
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    directory = find_experiment(experiment)
    with Record(directory) as record:
        found = record.trial(trial)
        metrics = list(record.metrics(found.sequence))
    folder = directory.attempt(found.id, found.attempt)
    if as_json:
        print_json(
            {**trial_row(found), "directory": str(folder), "metrics": [asdict(each) for each in metrics]}
        )
        return
    print(f"trial {found.sequence} ({found.id}): {found.state.value}")
    last_lines = {name: lines for name in ("stdout", "stderr") if (lines := _last_lines(folder / name))}
    for label, value in _facts(found, _why(found.reason) if "stderr" in last_lines else found.reason):
        if value not in ("", None):
            print(f"  {label}: {_indent(clean_lines(str(value)))}")
    print("  parameters:")
    print_parameters(found.parameters, indent="    ")
    print(f"  reported: {_metrics_text(metrics) or 'nothing'}")
    print(f"  folder: {folder}")
    for name, lines in last_lines.items():
        print(f"  last lines of {name}:")
        print("\n".join(f"    {clean(line)}" for line in lines))


@trial.command()
@click.argument("trials", nargs=-1, required=True, shell_complete=complete_trial)
@experiment_option
def kill(trials: tuple[str, ...], experiment: str | None) -> None:
    """End trials, each with its whole tree of processes. They are kept in the record."""
    from tune_core.store.commands import request
    from tune_core.store.directory import find_experiment

    directory = find_experiment(experiment)
    for name in trials:
        try:
            answer = request(directory, "kill", trial=name)
        except TuneError as err:
            if err.exit_code == ExperimentNotFoundError.exit_code:
                _refuse_if_ended(directory, name)
            raise
        print(f"trial {answer['trial']} is being ended")


@trial.command()
@experiment_option
@click.option("--parameters", "-p", help="The configuration as JSON, such as '{\"x\": 1}'.")
@click.option("--filename", "-f", type=click.Path(path_type=Path), help="A JSON or YAML file with it.")
@as_json
def add(experiment: str | None, parameters: str | None, filename: Path | None, as_json: bool) -> None:
    """Run a configuration of your own. The algorithm learns from it too."""
    from tune_core.config.document import parse_document, read_document
    from tune_core.store.commands import request
    from tune_core.store.directory import find_experiment

    if (parameters is None) == (filename is None):
        raise click.UsageError("give --parameters or --filename")
    document = read_document(filename) if filename else parse_document(parameters or "", "--parameters")
    if not isinstance(document.value, dict):
        raise ConfigError(f"{document.file}: is not an object of parameters")
    answer = request(find_experiment(experiment), "add", parameters=document.value)
    if as_json:
        print_json(answer)
    else:
        print(f"trial {answer['sequence']} ({answer['trial']}) was added")


@trial.command()
@trial_argument
@experiment_option
@click.option("--attempt", type=click.IntRange(0, MOST), help="Which attempt, from 0; the newest by default.")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    help="A folder that is empty or not there; trial-N in the present folder by default.",
)
def fetch(trial: str, experiment: str | None, attempt: int | None, target: Path | None) -> None:
    """Copy the files that a trial left on its platform: its output and its checkpoint."""
    import asyncio

    from tune_core.experiment.platform import fetch
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    directory = find_experiment(experiment)
    with Record(directory) as record:
        found = record.trial(trial)
    number = found.attempt if attempt is None else attempt
    target = target or Path(f"trial-{found.sequence}")
    with new_folder(target) as folder:
        asyncio.run(fetch(directory, found, number, folder))
        sizes = [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()]
    print(f"{len(sizes)} files of trial {found.sequence} ({size(sum(sizes))}) are in {target}")


@trial.command()
@trial_argument
@experiment_option
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    help="A folder that is empty or not there; trial-N-code in the present folder by default.",
)
def codegen(trial: str, experiment: str | None, target: Path | None) -> None:
    """Write the annotated code of an experiment with the values of one trial in place.

    It runs on its own, and does what that trial did.
    """
    from tune_core.annotation import annotation
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    directory = find_experiment(experiment)
    with Record(directory) as record:
        found, config = record.trial(trial), record.state()["config"] or {}
    if not config.get("useAnnotation"):
        raise TuneError(f"experiment {directory.id} has no annotated code: useAnnotation is not set")
    target = target or Path(f"trial-{found.sequence}-code")
    with new_folder(target) as folder:
        annotation().generate(Path(config["trialCodeDirectory"]), found.parameters, folder)
    print(f"the code of trial {found.sequence} is in {target}")


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder that gets the name `target` when all went well; otherwise nothing is left."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise TuneError(f"{target}: is there already\n  name another folder: --to FOLDER")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield folder
        folder.replace(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _refuse_if_ended(directory: ExperimentDirectory, name: str) -> None:
    from tune_core.store.reader import Record

    with Record(directory) as record:
        found = record.trial(name)
    if found.state.is_terminal:
        raise ExperimentBusyError(f"trial {found.sequence} has ended: {found.state.value}")


def trial_row(trial: TrialRecord) -> dict[str, Any]:
    """A trial as `--json` gives it."""
    return {**asdict(trial), "state": trial.state.value, "duration_s": trial.duration_s}


def print_trials(trials: Iterable[TrialRecord]) -> None:
    print_table(
        ("trial", "id", "state", "result", "time", "parameters", "why"),
        [
            (
                each.sequence,
                each.id,
                each.state.value,
                _result(each),
                duration(each.duration_s),
                parameters_text(each.parameters),
                in_a_line(each.reason),
            )
            for each in trials
        ],
        elide=(("parameters", 10), ("id", 0)),
    )


def _result(trial: TrialRecord) -> str:
    """The final result, or the newest intermediate one in brackets."""
    if trial.value is not None:
        return number(trial.value)
    return f"({number(trial.last_value)})" if trial.last_value is not None else ""


def _facts(trial: TrialRecord, why: str) -> list[tuple[str, Any]]:
    whole = trial.metric if isinstance(trial.metric, dict) else None
    return [
        ("why", why),
        ("result", number(trial.value) if trial.value is not None else None),
        ("whole result", parameters_text(whole) if whole else None),
        ("from", {"user": "you", "initial": "initialPoints"}.get(trial.source)),
        ("attempt", trial.attempt or None),
        ("started", when(trial.started)),
        ("ended", when(trial.ended)),
        ("took", duration(trial.duration_s)),
    ]


def _metrics_text(metrics: list[MetricRecord], most: int = 20) -> str:
    shown = metrics[-most:]
    skipped = f"{len(metrics) - most} earlier, " if len(metrics) > most else ""
    return skipped + ", ".join(_metric_text(each) for each in shown)


def _metric_text(metric: MetricRecord) -> str:
    value = metric.value
    text = f"({parameters_text(value)})" if isinstance(value, dict) else value
    return clean(text) + (" (final)" if metric.final else "")


def _why(reason: str) -> str:
    """A reason without the lines of standard error, which are shown for themselves."""
    hints = [line for line in reason.splitlines() if line.startswith(HINT)]
    return "\n".join([in_a_line(reason), *hints])


def _last_lines(path: Path) -> list[str]:
    """The last lines of what a trial printed; empty when it printed nothing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-_LAST_LINES:] if text.strip() else []


def clean_lines(text: str) -> str:
    return "\n".join(clean(line) for line in text.splitlines())


def _indent(text: str) -> str:
    return text.replace("\n", "\n    ")
