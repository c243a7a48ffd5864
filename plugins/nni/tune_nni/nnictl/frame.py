"""What all commands share: calling `tune`, choosing experiments, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import nni

from tune_core.cli import main as tune_main
from tune_core.errors import ExperimentNotFoundError, TuneError
from tune_core.store.directory import ExperimentDirectory, find_experiment, list_experiments
from tune_core.store.lock import ManagerLock
from tune_core.version import __version__
from tune_nni import refuse_beside_foreign

__all__ = [
    "experiment_argument",
    "filename_option",
    "group",
    "main",
    "matching",
    "no_place",
    "one",
    "running",
    "tune",
]

F = TypeVar("F", bound=Callable[..., Any])

_INTERRUPTED = 130


def group() -> click.Group:
    """The commands, imported when they are needed."""
    from tune_nni.nnictl.experiments import COMMANDS as EXPERIMENTS
    from tune_nni.nnictl.others import COMMANDS as OTHERS
    from tune_nni.nnictl.steering import COMMANDS as STEERING

    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    frame = click.Group("nnictl", help=_HELP, context_settings=settings)
    for command in (*STEERING, *EXPERIMENTS, *OTHERS):
        frame.add_command(command)
    version = f"{nni.__version__} (tune {__version__})"
    return click.version_option(version, "-v", "--version", message="%(version)s")(frame)


_HELP = "NNI's commands over tune, whose own are `tune --help`: they say more and take more."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        refuse_beside_foreign()
        result = group().main(args=words, prog_name="nnictl", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as err:
        text = err.format_message()
        where = f"\n  see `{err.ctx.command_path} --help`" if err.ctx else ""
        is_help = type(err).__name__ == "NoArgsIsHelpError"  # since click 8.2; the message is the help itself
        return _say(text if is_help else f"nnictl: {text}{where}", 2)
    except TuneError as err:
        return _say(f"nnictl: {err}", 1)
    except (KeyboardInterrupt, click.Abort):
        return _say("nnictl: interrupted", _INTERRUPTED)
    return result if isinstance(result, int) else 0


def tune(*words: str | Path | None) -> int:
    """Run a command of tune's, without the words that are None; returns NNI's exit code for it."""
    code = tune_main([str(word) for word in words if word is not None])
    return code if code in {0, _INTERRUPTED} else 1


def no_place(text: str) -> NoReturn:
    """Say why there is no such thing here, and what to do.

    Raises:
        TuneError: Always.
    """
    raise TuneError(text)


filename_option = click.option("--filename", "-f", required=True, type=click.Path(path_type=Path))


def experiment_argument(command: F) -> F:
    return click.argument("experiment", metavar="[ID]", required=False)(command)


def running() -> list[ExperimentDirectory]:
    """The experiments that have a manager, newest first."""
    return [each for each in list_experiments() if ManagerLock.is_held(each.lock)]


def one(name: str | None) -> ExperimentDirectory:
    """The experiment with this id or its beginning, `*` behind it or not.

    Without a name it is the one that runs or, if none does, the newest.

    Raises:
        TuneError: There is none, or not one alone.
    """
    if name is None:
        found = running() or [find_experiment()]
        names = ", ".join(each.id for each in found)
    elif name.endswith("*"):
        found = matching(name, list_experiments())
        names = ", ".join(each.id for each in found)
    else:
        return find_experiment(name)
    if len(found) > 1:
        raise TuneError(f"which experiment is meant? There are {names}")
    return found[0]


def matching(name: str, among: Any) -> list[ExperimentDirectory]:
    """All experiments whose id is `name`, or begins with it.

    Raises:
        ExperimentNotFoundError: There is none.
    """
    everything = list(among)
    start = name.removesuffix("*")
    found = [each for each in everything if each.id == name]
    found = found or [each for each in everything if each.id.startswith(start)]
    if not found:
        raise ExperimentNotFoundError(
            f"no such experiment: {name}\n  `nnictl experiment list --all` shows them"
        )
    return found


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
