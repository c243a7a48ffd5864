"""Examples, run as users run them: both versions of the configuration, through `tune` and `nnictl`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

__all__ = [
    "EXAMPLES",
    "MNIST",
    "Tune",
    "both_forms",
    "budget",
    "command_of",
    "copy_example",
    "few_images",
    "quick",
    "run_example",
]

EXAMPLES = Path(__file__).parents[2] / "examples"
MNIST = Path(os.environ.get("TUNE_SHARED", "/nowhere"), "data", "mnist", "mnist.npz")
WAYS = (("config.yml", "tune run"), ("config_v1.yml", "nnictl create"))
OTHER_WAYS = (("config_v1.yml", "tune run"), ("config.yml", "nnictl create"))
EVERY_WAY = os.environ.get("TUNE_TEST_EVERY_WAY", "") not in {"", "0"}
Tune = Callable[..., subprocess.CompletedProcess[str]]  # the fixture `tune`


def both_forms(*names: str, is_cheap: bool = False) -> pytest.MarkDecorator:
    """Parametrize by `name` of an example, `config`, and the command that it goes `through`.

    Those that train for long go two ways, so that each version and each command is seen; all go four ways
    where `TUNE_TEST_EVERY_WAY` is set.
    """
    ways = (*WAYS, *OTHER_WAYS) if is_cheap or EVERY_WAY else WAYS
    cases = [(name, *way) for name in names for way in ways]
    ids = [f"{name}-{Path(config).stem}-{through}" for name, config, through in cases]
    return pytest.mark.parametrize(("name", "config", "through"), cases, ids=ids)


def budget(config: str, trials: int, command: str = "") -> dict[str, object]:
    """So many trials, and another command, for `run_example`, in the version of `config`."""
    if config == "config_v1.yml":
        return {"maxTrialNum": trials, **({"trial": {"command": command, "codeDir": "."}} if command else {})}
    return {"maxTrialNumber": trials, **({"trialCommand": command} if command else {})}


def command_of(name: str, config: str) -> str:
    """What a trial of the example runs, for a test that adds arguments to it."""
    content = yaml.safe_load((EXAMPLES / name / config).read_text(encoding="utf-8"))
    command: str = content["trial"]["command"] if config == "config_v1.yml" else content["trialCommand"]
    return command


@pytest.fixture(scope="session")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A folder with a tenth of MNIST: reading the test images takes longer than these tests train."""
    if not MNIST.is_file():
        return None
    folder = tmp_path_factory.mktemp("mnist")
    with np.load(MNIST, allow_pickle=False) as content:
        np.savez(folder / "mnist.npz", **{key: content[key][: len(content[key]) // 10] for key in content})
    return folder


@pytest.fixture
def quick(few_images: Path | None, environment: dict[str, str]) -> None:
    """Examples see only a tenth of MNIST."""
    if few_images:
        environment["MNIST_DIR"] = str(few_images)


def copy_example(
    name: str, folder: Path, config: str = "config.yml", *, seed: int = 3, **changes: object
) -> None:
    """Copy an example into `folder`, with `changes` at the top of its configuration, and a seed."""
    shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    content = yaml.safe_load((folder / config).read_text(encoding="utf-8"))
    algorithm = content["tuner"] if "tuner" in content else content["advisor"]
    algorithm.setdefault("classArgs", {}).setdefault("seed", seed)  # which both versions have there
    (folder / config).write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")


def run_example(
    name: str, config: str, folder: Path, tune: Tune, through: str = "tune run", **changes: object
) -> list[dict[str, Any]]:
    """Run an example until it ends, copied and changed by `copy_example`; returns its trials.

    Args:
        tune: The fixture of that name, with `folder` for a working directory.
        through: `tune run`, or `nnictl create`, which leaves the experiment to itself.
        changes: See `copy_example`.
    """
    copy_example(name, folder, config, **changes)
    if through == "tune run":
        tune("run", config)
    else:
        _create(config, tune)
    trials: list[dict[str, Any]] = json.loads(tune("trial", "ls", "--json").stdout)
    return trials


def _create(config: str, tune: Tune) -> None:
    tune("create", "--config", config, program="nnictl")
    try:
        tune("view")  # until it has ended
    except BaseException:  # pytest.fail raises what is no Exception
        tune("stop", "--all", status=None)
        raise
    status = tune("experiment", "status", program="nnictl")
    assert json.loads(status.stdout)["status"] == "DONE"
