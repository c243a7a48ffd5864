"""The command `tune`: one module per noun, each loaded when it is typed.

A command parses, calls one thing and prints one thing. Results go to standard output, remarks to
standard error. Only `main` turns errors into messages and exit codes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_core.cli.frame import cli as cli

__all__ = ["cli", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        from tune_core.cli.frame import main as run  # takes long enough to be interrupted
    except KeyboardInterrupt:
        print("tune: interrupted", file=sys.stderr)
        return 130
    return run(arguments)


def __getattr__(name: str) -> Any:
    if name == "cli":
        from tune_core.cli.frame import cli

        return cli
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
