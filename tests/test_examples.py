"""The examples run as they stand, and the README's two commands are the ones that are tested."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/config.yml"))
Tune = Callable[..., subprocess.CompletedProcess[str]]


def copy_example(name: str, folder: Path, **changes: object) -> None:
    """Copy an example into `folder`, with another budget."""
    shutil.copytree(ROOT / "examples" / name, folder, dirs_exist_ok=True)
    config = yaml.safe_load((folder / "config.yml").read_text())
    (folder / "config.yml").write_text(yaml.safe_dump({**config, **changes}))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_is_valid_as_it_stands(example: Path, tune: Tune) -> None:
    tune("validate", "config.yml", cwd=example)


def test_digits_finds_a_good_classifier(tmp_path: Path, tune: Tune) -> None:
    copy_example("digits", tmp_path, maxTrialNumber=8, seed=1)
    tune("run", "config.yml")
    trials = json.loads(tune("trial", "ls", "--json").stdout)
    assert len(trials) == 8
    assert {trial["state"] for trial in trials} <= {"SUCCEEDED", "EARLY_STOPPED"}
    # More than half of all configurations read 9 digits of 10; with this seed some of the 8 do.
    assert max(trial["value"] for trial in trials if trial["value"] is not None) > 0.9


def test_digits_runs_alone(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["python", "train.py"],
        cwd=ROOT / "examples" / "digits",
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = [float(number) for number in re.findall(r"\b0\.\d+", done.stdout)]
    assert max(results) > 0.9


def test_shell_script_minimises_without_python(tmp_path: Path, tune: Tune) -> None:
    copy_example("shell-script", tmp_path)
    tune("run", "config.yml")
    trials = json.loads(tune("trial", "ls", "--json").stdout)
    assert len(trials) == 10
    for trial in trials:
        x, y = trial["parameters"]["x"], trial["parameters"]["y"]
        assert trial["value"] == pytest.approx((x - 3) ** 2 + (y + 1) ** 2, rel=1e-4)  # awk prints 6 digits


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^```sh\n(.*)\n```$", readme, flags=re.M)
    assert [command.rpartition(" ")[2] for command in commands] == ["demo", "tests"]
    assert readme.index(commands[1]) < 1500  # the first screen
    for command in commands:
        assert command in (ROOT / ".ci" / "run").read_text()
