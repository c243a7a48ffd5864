"""`tune completion`."""

from __future__ import annotations

import click

_SOURCES = {
    "bash": 'eval "$(_TUNE_COMPLETE=bash_source tune)"',
    "zsh": 'eval "$(_TUNE_COMPLETE=zsh_source tune)"',
    "fish": "_TUNE_COMPLETE=fish_source tune | source",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_SOURCES)))
def completion(shell: str) -> None:
    """Print the line that makes a shell complete commands and ids.

    Add it to ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish.
    """
    print(_SOURCES[shell])
