"""`tune experiment list|show|status|delete|import|export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tune_core.cli.options import as_json, complete_experiment, experiment_argument
from tune_core.cli.output import clean, duration, in_a_line, number, print_json, print_table, remark, when
from tune_core.errors import ExperimentBusyError, TrainingServiceError, TuneError
from tune_core.objectives import DEFAULT_KEY, Objectives
from tune_core.trial import TrialState

if TYPE_CHECKING:
    from tune_core.store.directory import ExperimentDirectory
    from tune_core.store.reader import Record


@click.group()
def experiment() -> None:
    """See, move and delete experiments."""


@experiment.command("list")
@click.option("--running", is_flag=True, help="Only those with a manager.")
@as_json
def list_(running: bool, as_json: bool) -> None:
    """List the experiments of this machine, newest first."""
    from tune_core.store.directory import list_experiments

    rows = [row for each in list_experiments() if (row := summary(each))["managed"] or not running]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("experiment", "name", "status", "trials", "best", "created"),
        [
            (
                row["id"],
                row["name"],
                row["status"],
                trials_text(row["counts"], row["max_trials"]),
                row["best"]["value"] if row["best"] else "",
                when(row["created"]),
            )
            for row in rows
        ],
        elide=(("name", 10), ("trials", 12)),
    )


@experiment.command()
@experiment_argument
@as_json
def show(experiment: str | None, as_json: bool) -> None:
    """Show what an experiment is, how far it is, and what it waits for."""
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    directory = find_experiment(experiment)
    row = summary(directory, with_front=True)
    if as_json:
        print_json(row)
        return
    crashed = ""
    if row["status"] == "CRASHED":
        with Record(directory) as record:
            crashed = crash_text(record)
    print(f"experiment {row['id']}" + (f" ({clean(row['name'])})" if row["name"] else ""))
    best = row["best"]
    facts = [
        ("status", row["status"]),
        ("because", crashed or row["reason"]),
        ("trouble", row["trouble"]),
        ("trials", trials_text(row["counts"], row["max_trials"])),
        ("objectives", row["objectives"] and _objectives_text(row)),
        ("best", best and _best_text(row, best)),
        ("front", f"{len(row['front'])} trials: tune best {row['id']}" if row.get("front") else ""),
        ("concurrency", row["concurrency"]),
        ("created", when(row["created"])),
        ("ran for", duration(row["elapsed_s"])),
        ("limit", duration(row["max_duration_s"])),
        ("seed", row["seed"]),
        ("folder", row["directory"]),
    ]
    for label, value in facts:
        if value not in ("", None):
            print(f"  {label}: " + "\n    ".join(clean(line) for line in str(value).splitlines()))
    for reason, waiting in row["waiting"].items():
        print(f"  {waiting} waiting: {clean(in_a_line(reason))}")


@experiment.command()
@experiment_argument
@as_json
def status(experiment: str | None, as_json: bool) -> None:
    """Print one word: RUNNING, DONE, STOPPED, ERROR, CRASHED, ..."""
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    with Record(find_experiment(experiment)) as record:
        word, reason = record.status(), record.state().get("reason", "")
    if as_json:
        print_json({"status": word, "reason": reason})
    else:
        print(word)


@experiment.command()
@click.argument("experiments", nargs=-1, required=True, shell_complete=complete_experiment)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--force", is_flag=True, help="Also when trials, or what they left, may remain on the platform."
)
def delete(experiments: tuple[str, ...], yes: bool, force: bool) -> None:
    """Delete experiments: the record, what trials wrote, and what is on the platform."""
    from tune_core.store.directory import delete_experiment, find_experiment
    from tune_core.store.lock import ManagerLock

    found = [find_experiment(name) for name in experiments]
    for directory in found:
        if ManagerLock.is_held(directory.lock):
            raise ExperimentBusyError(
                f"experiment {directory.id} is running\n  end it first: tune stop {directory.id}"
            )
        if not force:
            _refuse_if_trials_run(directory)
    if not yes:
        names = ", ".join(directory.id for directory in found)
        if not click.confirm(f"Delete {names} with everything in it?", err=True):
            raise TuneError("nothing was deleted")
    for directory in found:
        try:
            _clean_platform(directory, force)
        except TuneError as err:
            if not force:
                refused = TuneError(f"{err}\n  --force deletes experiment {directory.id} all the same")
                refused.exit_code = err.exit_code
                raise refused from err
            remark(str(err))
        delete_experiment(directory)
        print(f"experiment {directory.id} was deleted")


@experiment.command("import")
@experiment_argument
@click.option("--filename", "-f", type=click.Path(path_type=Path), required=True, help="A JSON or YAML file.")
@click.option(
    "--set",
    "defaults",
    multiple=True,
    metavar="NAME=VALUE",
    help="What a parameter was that the file does not have; may be repeated.",
)
def import_(experiment: str | None, filename: Path, defaults: tuple[str, ...]) -> None:
    """Teach a running experiment results from elsewhere.

    The file holds a list of objects with `parameter` and `value`, as `tune experiment export` writes it.
    Results that do not fit the search space of this experiment are left out.
    """
    from tune_core.config.document import read_document
    from tune_core.store.commands import request
    from tune_core.store.directory import find_experiment

    directory = find_experiment(experiment)
    content = read_document(filename).value
    answer = request(directory, "import", observations=content, defaults=dict(map(_assignment, defaults)))
    print(f"experiment {directory.id} learnt {answer['count']} results")
    for reason, count in answer["left_out"].items():
        remark(f"{count} left out: {reason}")


@experiment.command()
@experiment_argument
@click.option(
    "--filename", "-f", type=click.Path(path_type=Path), help="Where to; standard output by default."
)
@click.option(
    "--type", "-t", "form", type=click.Choice(["json", "csv"]), default="json", help="What to write."
)
@click.option("--intermediate", "-i", is_flag=True, help="Also the intermediate results.")
@click.option("--all", "everything", is_flag=True, help="Also trials without a final result.")
def export(
    experiment: str | None, filename: Path | None, form: str, intermediate: bool, everything: bool
) -> None:
    """Write out the results of an experiment, running or not."""
    from tune_core.cli.export import write_csv, write_json
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    write = write_csv if form == "csv" else write_json
    with Record(find_experiment(experiment)) as record:
        if filename is None:
            write(record, everything, intermediate, sys.stdout)
            return
        try:
            with filename.open("w", encoding="utf-8", newline="") as file:
                count = write(record, everything, intermediate, file)
        except OSError as err:
            raise TuneError(f"{filename}: cannot be written: {err.strerror}") from err
    print(f"{count} trials were written to {filename}")


def _assignment(text: str) -> tuple[str, Any]:
    """`dropout=0.1`: a name, and a value as YAML has it."""
    from tune_core.config.document import parse_document

    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"--set {text}: write NAME=VALUE, such as dropout=0.1")
    return name, parse_document(value, f"--set {name}").value


def _refuse_if_trials_run(directory: ExperimentDirectory) -> None:
    from tune_core.store.reader import Record

    with Record(directory) as record:
        left = record.left_running()
    if left:
        raise ExperimentBusyError(
            f"experiment {directory.id} crashed, and {left} of its trials may be running still\n"
            f"  end them first: tune stop {directory.id}    --force deletes it all the same"
        )


def _best_text(row: dict[str, Any], best: dict[str, Any]) -> str:
    """`0.98 in trial 3, to maximize`; by its name where the objective has one."""
    key = Objectives.of_state(row).primary
    if key == DEFAULT_KEY:
        return f"{number(best['value'])} in trial {best['sequence']}, to {row['mode']}"
    return f"{key} {number(best['value'])} in trial {best['sequence']}"


def _objectives_text(row: dict[str, Any]) -> str:
    """`maximize accuracy, minimize latency; latency at most 20`; empty where `best` says it all."""
    objectives = Objectives.of_state(row)
    bounds = ", ".join(f"{key} {bound}" for key, bound in objectives.constraints.items())
    words = "" if objectives.is_plain and objectives.primary == DEFAULT_KEY else str(objectives)
    return f"{words}; {bounds}" if bounds else words


def summary(directory: ExperimentDirectory, *, with_front: bool = False) -> dict[str, Any]:
    """An experiment as `--json` gives it. One that cannot be read says so in its status.

    Args:
        directory: Its folder.
        with_front: Also `front`, if it has several objectives, which takes a look at every trial.
    """
    from tune_core.cli.trial import trial_row
    from tune_core.store.reader import Record

    try:
        with Record(directory) as record:
            row = _summary(directory, record)
            if with_front and len(row["objectives"]) > 1:
                row["front"] = [trial_row(trial) for trial in record.front()]
            return row
    except TuneError as err:
        empty = dict.fromkeys(
            ("name", "mode", "seed", "created", "ended", "elapsed_s", "max_trials", "max_duration_s")
        )
        return {
            "id": directory.id,
            "directory": str(directory.path),
            "status": "UNREADABLE",
            "reason": str(err),
            "managed": False,
            **empty,
            "trouble": "",
            "concurrency": None,
            "objectives": {},
            "constraints": {},
            "counts": {},
            "waiting": {},
            "best": None,
        }


def _summary(directory: ExperimentDirectory, record: Record) -> dict[str, Any]:
    from tune_core.cli.trial import trial_row

    state = record.state()
    limits = state.get("limits") or {}
    best = record.best(1)
    waiting: dict[str, int] = {}
    for trial in record.trials(states=(TrialState.WAITING,)):
        reason = trial.reason or "for its turn"
        waiting[reason] = waiting.get(reason, 0) + 1
    return {
        "id": directory.id,
        "directory": str(directory.path),
        "status": record.status(),
        "reason": state.get("reason", ""),
        "managed": record.is_managed(),
        "name": state.get("name", ""),
        **(Objectives.of_state(state).to_state() if "mode" in state else _NOTHING_ASKED),
        "seed": state.get("seed"),
        "created": state.get("created"),
        "ended": state.get("ended"),
        "elapsed_s": record.elapsed_s(),
        "max_trials": limits.get("trials"),
        "max_duration_s": limits.get("duration_s"),
        "concurrency": limits.get("concurrency"),
        "trouble": state.get("trouble", ""),
        "counts": {key.value: count for key, count in record.counts().items()},
        "waiting": waiting,
        "best": trial_row(best[0]) if best else None,
    }


_NOTHING_ASKED: dict[str, Any] = {"mode": None, "objectives": {}, "constraints": {}}


def crash_text(record: Record) -> str:
    """What a crash has left and what to do about it; empty when there was none."""
    if record.status() != "CRASHED":
        return ""
    left, name = record.left_running(), record.directory.id
    if left:
        return f"no manager; {left} trials may still run: `tune resume {name}` takes them over"
    return f"no manager; `tune resume {name}` goes on"


def trials_text(counts: dict[str, int], most: int | None) -> str:
    """`12/30: 10 succeeded, 2 running`, `30/30 succeeded`."""
    total = f"{sum(counts.values())}/{most}" if most else str(sum(counts.values()))
    parts = ", ".join(f"{count} {name.lower().replace('_', ' ')}" for name, count in sorted(counts.items()))
    if len(counts) == 1:
        return f"{total} {parts.partition(' ')[2]}"
    return f"{total}: {parts}" if parts else total


def _clean_platform(directory: ExperimentDirectory, force: bool) -> None:
    """Let the platform's plugin remove what it keeps elsewhere."""
    import asyncio

    from tune_core.experiment.platform import clean, make_service, stored_config

    config = stored_config(directory)
    if config is None:
        return
    left = asyncio.run(clean(make_service(config.training_service), directory.id, force))
    if left:
        problems = "\n".join(f"  {each.machine}: {each.problem}" for each in left)
        raise TrainingServiceError(f"experiment {directory.id} could not be removed everywhere\n{problems}")
