"""The frame of the command line: which commands there are, how errors are shown, exit codes."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from tune_core.errors import TuneError
from tune_core.plugins import Found, plugins
from tune_core.version import __version__

__all__ = ["cli", "main"]

COMMANDS = {
    "run": "run:run",
    "create": "run:create",
    "resume": "run:resume",
    "stop": "run:stop",
    "view": "watch:view",
    "top": "watch:top",
    "best": "best:best",
    "validate": "validate:validate",
    "experiment": "experiment:experiment",
    "trial": "trial:trial",
    "log": "log:log",
    "platform": "platform:platform",
    "update": "update:update",
    "config": "config:config",
    "plugins": "plugins:plugins_",
    "completion": "completion:completion",
}

EPILOG = """
\b
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found,
4 conflict, 5 platform unreachable, 130 interrupted.
"""


class _ReaderGoneError(Exception):
    """Whoever read our output has had enough. Not an OSError: click would exit with status 1."""


class Commands(click.Group):
    """Core's own commands, imported when they are typed, and those of plugins, found then too."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError as err:
            raise _ReaderGoneError from err

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as err:
            raise _ReaderGoneError from err

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *self._plugin_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if target := COMMANDS.get(cmd_name):
            module, _, name = target.partition(":")
            command: click.Command = getattr(importlib.import_module(f"tune_core.cli.{module}"), name)
            return command
        found = self._plugin_commands().get(cmd_name)
        return found.load() if found else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        ours = [(name, self.get_command(ctx, name)) for name in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in ours if command])
        theirs = self._plugin_commands().items()
        if theirs:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(
                    [(name, found.driver.summary or found.distribution) for name, found in theirs]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if not word.startswith("-") and self.get_command(ctx, word) is None:
            near = difflib.get_close_matches(word, self.list_commands(ctx), n=1)
            hint = f", did you mean {near[0]!r}?" if near else "; `tune --help` lists them"
            raise click.UsageError(f"there is no command {word!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def _plugin_commands(self) -> dict[str, Found]:
        """Commands of plugins. A word that core has, or that two plugins claim, is nobody's."""
        names = [found.driver.name for found in plugins().all("command")]
        return {
            found.driver.name: found
            for found in plugins().all("command")
            if names.count(found.driver.name) == 1 and found.driver.name not in COMMANDS
        }


@click.command(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="tune", message="%(prog)s %(version)s")
def cli() -> None:
    """Search hyper-parameters and architectures by running trials.

    A first experiment: `tune run config.yml`. What is installed: `tune plugins list`.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if sys.platform == "win32":
        return _say(
            "tune needs Linux or macOS, such as WSL. A trial may run on Windows: tune-sdk works there.", 1
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # where the locale has no such character
    try:
        result = cli.main(args=arguments, prog_name="tune", standalone_mode=False)
        sys.stdout.flush()
    except TuneError as err:
        return _say(str(err), err.exit_code)
    except click.UsageError as err:
        if type(err).__name__ == "NoArgsIsHelpError":  # since click 8.2; its message is the help itself
            print(err.format_message(), file=sys.stderr)
            return 2
        where = f"\n  see `{err.ctx.command_path} --help`" if err.ctx else ""
        return _say(err.format_message() + where, 2)
    except click.ClickException as err:
        return _say(err.format_message(), err.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted", 130)
    except (_ReaderGoneError, BrokenPipeError):
        # Nothing may be written while Python shuts down either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as err:  # noqa: BLE001 (shown whole, unless the machine is at fault: it is a bug of ours)
        if fault := _fault_of_the_machine(err):
            return _say(fault, 1)
        traceback.print_exc()
        return _say(f"this is a bug of tune {__version__}; please report it with the lines above", 1)
    return result if isinstance(result, int) else 0


_MACHINE = {"ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN"}
_RECORD = {"SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_PERM"}


def _fault_of_the_machine(err: Exception) -> str:
    """A full disk, a lack of permission and the like in a sentence; empty for what may be our bug."""
    if isinstance(err, OSError) and errno.errorcode.get(err.errno or 0) in _MACHINE:
        return ": ".join(str(part) for part in (err.filename, err.strerror) if part)
    name: str = getattr(err, "sqlite_errorname", "")
    if name.startswith(tuple(_RECORD)):
        return f"the experiment's record cannot be used: {err}"
    return ""


def _say(message: str, code: int) -> int:
    print(f"tune: {message}", file=sys.stderr)
    return code
