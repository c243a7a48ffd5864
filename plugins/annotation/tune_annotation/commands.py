"""`tune annotation space|expand`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tune_core.cli.trial import new_folder

__all__ = ["annotation"]

_folder = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group()
def annotation() -> None:
    """Read the search space out of annotated code, or expand it."""


@annotation.command()
@_folder
def space(folder: Path) -> None:
    """Print the search space of the annotated code in FOLDER, as JSON."""
    from tune_annotation.reader import AnnotatedCode

    print(json.dumps(AnnotatedCode().search_space(folder), indent=2))


@annotation.command()
@_folder
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder that is empty or not there.",
)
def expand(folder: Path, target: Path) -> None:
    """Write the code that trials run: FOLDER with its annotations replaced by calls."""
    from tune_annotation.reader import AnnotatedCode

    with new_folder(target) as place:
        AnnotatedCode().expand(folder, place)
    print(f"the code of trials is in {target}")
