"""Projects that have a tune.py of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPORT = """
assert nni.get_next_parameter() == {}
nni.report_intermediate_result(0.5)
nni.report_final_result(nni.utils.merge_parameter({"x": 1.0}, {"x": 2.0})["x"])
"""
RESULTS = "tune: intermediate result 0: 0.5\ntune: final result: 2.0\n"


def run(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script], cwd=script.parent, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "imports",
    ["import nni", "import nni, tune\nassert tune.MINE", "import tune, nni\nassert tune.MINE"],
    ids=["unused", "after", "before"],
)
def test_trial_reports_beside_a_tune_of_its_own(tmp_path: Path, imports: str) -> None:
    (tmp_path / "tune.py").write_text("MINE = True\nprint('mine')\n")
    (tmp_path / "train.py").write_text(imports + REPORT)
    done = run(tmp_path / "train.py")
    assert done.stderr == ""
    assert done.stdout == ("mine\n" if "tune" in imports else "") + RESULTS


def test_trial_that_is_called_tune_runs_once(tmp_path: Path) -> None:
    (tmp_path / "tune.py").write_text("import nni" + REPORT)
    assert run(tmp_path / "tune.py").stdout == RESULTS


def test_script_that_starts_experiments_may_be_called_tune(tmp_path: Path) -> None:
    lines = ("from nni.experiment import Experiment", "import tune.host", "print(Experiment('local').id)")
    (tmp_path / "tune.py").write_text("\n".join(lines))
    done = run(tmp_path / "tune.py")
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_module_that_takes_the_name_from_experiments_is_named(tmp_path: Path) -> None:
    (tmp_path / "tune.py").write_text("")
    (tmp_path / "start.py").write_text("import tune\nimport nni.experiment\n")
    done = run(tmp_path / "start.py")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {tmp_path / 'tune.py'} has the name of")
    assert "import nni.experiment before it" in done.stderr
