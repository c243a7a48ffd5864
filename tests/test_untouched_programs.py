"""A program that knows nothing of `tune` is tuned: values in its command, results from what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_core.config import load_config

PROGRAM = """\
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--kind")
parser.add_argument("--out")
args = parser.parse_args()
for epoch in range(3):
    print(f"epoch {epoch} loss {args.x + 2 - epoch:.6f}", flush=True)
if args.out:
    pathlib.Path(args.out).write_text(json.dumps({"loss": args.x, "kind": args.kind}))
"""
SPACE = {
    "x": {"_type": "uniform", "_value": [0, 1]},
    "kind": {"_type": "choice", "_value": ["it's", "$HOME"]},
}


def write(folder: Path, **changes: Any) -> Path:
    (folder / "program.py").write_text(PROGRAM)
    config = {
        "searchSpace": SPACE,
        "trialCommand": "python program.py --x {x} --kind {kind}",
        "trialConcurrency": 2,
        "maxTrialNumber": 4,
        "seed": 7,
        "tuner": {"name": "Random", "classArgs": {"optimize_mode": "minimize"}},
        "trainingService": {"platform": "local"},
        **changes,
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    return folder / "config.yml"


@pytest.mark.parametrize(
    ("command", "metrics", "intermediate"),
    [
        ("", {"log": r"loss (\S+)"}, 3),
        (
            ' --out "$TUNE_OUTPUT_DIR/result.json"',
            {"file": "$TUNE_OUTPUT_DIR/result.json", "key": "loss", "log": r"loss (\S+)"},
            3,
        ),
        (' --out "$TUNE_OUTPUT_DIR/a.json"', {"file": "$TUNE_OUTPUT_DIR/a.json", "key": "loss"}, 0),
    ],
)
def test_program_is_tuned_as_it_is(
    tmp_path: Path, tune: Callable[..., Any], command: str, metrics: dict[str, str], intermediate: int
) -> None:
    line = "python program.py --x {x} --kind {kind}" + command
    config = write(tmp_path, trialCommand=line, metrics=metrics)
    tune("run", str(config), cwd=tmp_path)
    trials = json.loads(tune("experiment", "export", "--intermediate").stdout)
    assert len(trials) == 4
    for trial in trials:
        value = trial["value"]
        number = value["default"] if isinstance(value, dict) else value
        assert number == pytest.approx(trial["parameter"]["x"], abs=1e-6)
        assert not isinstance(value, dict) or value["kind"] == trial["parameter"]["kind"]
        assert len(trial["intermediate"]) == intermediate


def test_what_the_braces_name_is_looked_at(tmp_path: Path) -> None:
    config = write(
        tmp_path, trialCommand="python program.py --x {xx} --kind {kind}", metrics={"file": "r.json"}
    )
    remarks = load_config(config).remarks
    assert "trialCommand: {xx} names no parameter, did you mean 'x'?" in remarks
    assert "trialCommand: nothing stands for x; the trial has to ask for that itself" in remarks
    assert any(
        each.startswith("metrics.file: trials on one machine may all write the same") for each in remarks
    )
