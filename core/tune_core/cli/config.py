"""`tune config show|schema|upgrade`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tune_core.cli.options import config_file, experiment_argument
from tune_core.cli.output import print_json


@click.group()
def config() -> None:
    """Show and convert configurations."""


@config.command()
@experiment_argument
def show(experiment: str | None) -> None:
    """Print the configuration that an experiment was started with, as JSON.

    Secrets are shown as references or asterisks.
    """
    from tune_core.errors import ExperimentNotFoundError
    from tune_core.store.directory import find_experiment
    from tune_core.store.reader import Record

    directory = find_experiment(experiment)
    with Record(directory) as record:
        stored: dict[str, Any] | None = record.state().get("config")
    if not stored or "trialCommand" not in stored:
        raise ExperimentNotFoundError(f"experiment {directory.id} was started from Python, without a file")
    print_json(stored)


@config.command()
def schema() -> None:
    """Print the JSON Schema of configurations, for editors.

    It includes the options of every platform and algorithm that is installed. An editor with YAML
    support takes it from the first line of a file: # yaml-language-server: $schema=tune.schema.json
    """
    from tune_core.config.schema import json_schema

    print_json(json_schema())


@config.command()
@config_file
def upgrade(config: Path) -> None:
    """Print a configuration of NNI 1 as one of version 2.

    Both mean the same experiment, as long as the new one is kept in the same folder: paths in it are
    relative to it. What version 2 has no word for is said in comments at the top.
    """
    from tune_core.config.document import dump_document, read_document
    from tune_core.config.load import load_config
    from tune_core.config.problems import Problem, error_of
    from tune_core.config.remarks import secrets_in_clear
    from tune_core.config.version1 import is_version_1
    from tune_core.config.version1 import upgrade as upgraded

    document = read_document(config)
    if not is_version_1(document.value):
        raise error_of(
            [Problem((), "is not in NNI's version 1, which has trainingServicePlatform", document.place(()))]
        )
    loaded = load_config(config)  # what is wrong is told with its place in this file
    found = upgraded(document.value)
    for remark in (*found.remarks, *secrets_in_clear(loaded)):
        print(f"# {remark}")
    print(dump_document(found.plain()), end="")
