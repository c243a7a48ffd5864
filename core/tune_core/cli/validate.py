"""`tune validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tune_core.cli.options import as_json, config_file
from tune_core.cli.output import print_json, remark
from tune_core.errors import ConfigError


@click.command()
@config_file
@as_json
def validate(config: Path, as_json: bool) -> int:
    """Check a configuration, and everything it names; nothing is started.

    All problems are shown at once, each with file, line and column. Exit code 2 if there are any.
    """
    from tune_core.config.load import load_config

    try:
        checked = load_config(config)
    except ConfigError as err:
        if not as_json:
            raise
        print_json({"valid": False, "problems": [_problem(each) for each in err.problems], "remarks": []})
        return err.exit_code
    if as_json:
        print_json({"valid": True, "problems": [], "remarks": checked.remarks})
        return 0
    for text in checked.remarks:
        remark(text)
    print(f"{config} is a valid configuration")
    return 0


def _problem(problem: Any) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file if place else None,
        "line": place.line or None if place else None,
        "column": place.column or None if place else None,
        "key": problem.key,
        "message": problem.message,
    }
