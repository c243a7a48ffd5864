"""Commands around experiments; and those that tune has no place for, which say what to do instead."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import click

from tune_nni.nnictl.frame import no_place, one, tune

__all__ = ["COMMANDS"]

_anything = {"ignore_unknown_options": True, "allow_extra_args": True}
_words = click.argument("words", nargs=-1, expose_value=False)


def _without_place(name: str, help_text: str, answers: dict[str, str]) -> click.Group:
    """A group of commands that take any words and answer with a line."""
    group = click.Group(name, help=help_text)
    for word, answer in answers.items():

        @group.command(word, help=answer, context_settings=_anything)
        @_words
        def command(answer: str = answer) -> None:
            no_place(answer)

    return group


webui = _without_place(
    "webui",
    "There is no web page.",
    {
        "url": "there is no web page: `tune view` shows an experiment, `tune top` all that run",
        "nas": "there is no web page: `tune best` shows the best architecture",
    },
)
jupyter = _without_place(
    "jupyter-extension",
    "There is no extension of JupyterLab.",
    dict.fromkeys(
        ("install", "uninstall"),
        "there is no extension: tune_core.Experiment shows itself in a notebook",
    ),
)

_ALGORITHMS = "algorithms are packages: `pip install` one, or name a class of yours: className, codeDirectory"
_PLATFORMS = "platforms are packages: `pip install` one, and it is there"
_LIST = "list"

package = _without_place("package", "See `algo`.", dict.fromkeys(("install", "uninstall"), _ALGORITHMS))
algo = _without_place("algo", "Algorithms.", dict.fromkeys(("register", "unregister"), _ALGORITHMS))
trainingservice = _without_place(
    "trainingservice", "Platforms.", dict.fromkeys(("register", "unregister"), _PLATFORMS)
)


def _listing(group: click.Group) -> None:
    @group.command("list")
    @click.option("--all", is_flag=True, expose_value=False, help="Taken, and not used: all are shown.")
    def show_all() -> int:
        """List what is installed."""
        return tune("plugins", "list")


def _showing(group: click.Group) -> None:
    @group.command("show")
    @click.argument("name")
    def show(name: str) -> int:
        """Show something that is installed."""
        return tune("plugins", "show", name)


for each in (package, algo, trainingservice):
    _listing(each)
for each in (package, algo):
    _showing(each)


@click.group()
def tensorboard() -> None:
    """Say how to start TensorBoard."""


@tensorboard.command(context_settings=_anything)
@click.argument("experiment", required=False)
@_words
def start(experiment: str | None) -> None:
    """Say how to start TensorBoard."""
    trials = one(None if experiment and experiment.startswith("-") else experiment).trials
    no_place(f"TensorBoard is started by itself\n  tensorboard --logdir {trials}")


@tensorboard.command("stop", context_settings=_anything)
@_words
def stop_tensorboard() -> None:
    """Say how to stop TensorBoard."""
    no_place("TensorBoard is started by itself\n  Ctrl-C ends it, where it was started")


@click.command("ss_gen")
@click.option("--trial_command", "-t", required=True)
@click.option("--trial_dir", "-d", default="./", type=click.Path(path_type=Path))
@click.option("--file", "-f", default="nni_auto_gen_search_space.json", type=click.Path(path_type=Path))
def ss_gen(trial_command: str, trial_dir: Path, file: Path) -> None:
    """Run a trial that writes its search space, where NNI_GEN_SEARCH_SPACE says, and ends."""
    target = file.absolute()
    target.unlink(missing_ok=True)
    environment = {**os.environ, "NNI_GEN_SEARCH_SPACE": str(target)}
    done = subprocess.run(trial_command, shell=True, cwd=trial_dir, env=environment, check=False)  # noqa: S602 (the user's own line)
    if not target.exists():
        no_place(
            f"{trial_command!r} ended with {done.returncode} and wrote no search space to {target}\n"
            "  of annotated code, `tune annotation space` writes it"
        )
    print(f"the search space is in {file}")


@click.command()
def hello() -> None:
    """Write an example into the folder nni_hello_hpo."""
    folder = Path("nni_hello_hpo")
    if folder.exists():
        no_place(f"{folder} is there already")
    folder.mkdir()
    for name, text in _HELLO.items():
        (folder / name).write_text(text)
    print(f"an example is in {folder}: nnictl create --config {folder / 'config.yml'}")


_HELLO = {
    "search_space.yml": "x: {_type: uniform, _value: [-3, 3]}\ny: {_type: quniform, _value: [-3, 3, 0.5]}\n",
    "config.yml": """\
searchSpaceFile: search_space.yml
trialCommand: python3 trial.py
trialCodeDirectory: .
trialConcurrency: 2
maxTrialNumber: 10
tuner:
  name: Random
  classArgs: {optimize_mode: minimize}
trainingService:
  platform: local
""",
    "trial.py": """\
import nni

params = {"x": 1.0, "y": 1.0}
params.update(nni.get_next_parameter())
nni.report_final_result(params["x"] ** 2 + params["y"] ** 2)
""",
}

COMMANDS = (webui, tensorboard, package, algo, trainingservice, ss_gen, hello, jupyter)
