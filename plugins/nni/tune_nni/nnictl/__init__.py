"""`nnictl`: NNI's commands and options, over those of `tune`."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns NNI's exit codes: 0 done, 1 not, 2 wrong usage."""
    from tune_nni.nnictl.frame import main as run

    return run(arguments)
