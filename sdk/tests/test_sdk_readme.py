"""What the README shows is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tune.host import Record, RecordReader, trial_environment
from tune.host.processes import MARK

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found.group(1)


def variables(directory: Path, **parameters: object) -> dict[str, str]:
    common = {
        "platform": "local",
        "experiment_id": "exp",
        "trial_id": "t",
        "attempt": 0,
        "sequence": 0,
        "channel": f"file:{directory / 'messages.jsonl'}",
        "output_dir": str(directory),
        "checkpoint_dir": str(directory),
        "code_dir": str(directory),
    }
    return trial_environment(**common, **parameters)  # type: ignore[arg-type]


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_shell_trial_of_the_readme_reports(tmp_path: Path) -> None:
    parameters = tmp_path / "parameter.json"
    parameters.write_text('{"y": "a", "x": -1.5e-3, "z": 1}')
    environment = {**os.environ, **variables(tmp_path, parameter_file=str(parameters))}
    subprocess.run(["sh", "-c", block("sh")], env=environment, check=True, timeout=60)
    items = RecordReader("t", 0).feed((tmp_path / "messages.jsonl").read_bytes())
    records = [item for item in items if isinstance(item, Record)]
    assert [record[:3] for record in records] == [
        (0, "intermediate", 1),
        (1, "intermediate", 2),
        (2, "intermediate", 3),
        (3, "final", -0.0015),
    ]


def test_python_trial_of_the_readme_runs_alone(tmp_path: Path) -> None:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("TUNE_")}
    done = subprocess.run(
        [sys.executable, "-c", block("python")],
        env=alone,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "tune: intermediate result 0: 0.0"
    assert lines[-1] == "tune: final result: 0.09"


def test_every_variable_of_a_trial_is_in_the_readme(tmp_path: Path) -> None:
    given = {*variables(tmp_path, parameters={}), *variables(tmp_path, parameter_file="p"), MARK}
    table = README[README.index("| variable |") :]
    listed = set(re.findall(r"`((?:TUNE|NNI)_\w+)`", table[: table.index("\n\n")]))
    assert listed == given


def test_environment_takes_parameters_one_way(tmp_path: Path) -> None:
    assert variables(tmp_path, parameters={"x": [1, None]})["TUNE_PARAMETERS"] == '{"x": [1, null]}'
    with pytest.raises(ValueError, match="either the parameters or a file"):
        variables(tmp_path)
    with pytest.raises(ValueError, match="either the parameters or a file"):
        variables(tmp_path, parameters={}, parameter_file="p")
