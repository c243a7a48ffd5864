"""Changing an experiment that nobody manages: what is accepted holds from the next resume."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Tune = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
searchSpace: {x: {_type: uniform, _value: [0, 1]}}
trialCommand: python trial.py
trialConcurrency: 1
maxTrialNumber: 3
tuner: {className: mine.Mine, classArgs: {optimize_mode: minimize}}
trainingService: {platform: local}
"""
TRIAL = "import tune\ntune.report_final_result(tune.get_next_parameter()['x'])\n"
TUNER = """
from tune_core import SearchSpaceError, Tuner

class Mine(Tuner):
    def update_search_space(self, search_space):
        if len(search_space) > 1:
            raise SearchSpaceError("Mine takes one parameter")
        self.space, self.heard = search_space, getattr(self, "heard", [])
        if "y" in search_space:
            raise ZeroDivisionError(f"after {len(self.heard)} results")

    def generate_parameters(self, parameter_id):
        return self.space.sample(self.rng(parameter_id))

    def receive_trial_result(self, parameter_id, parameters, value):
        self.heard.append(value)
"""


@pytest.fixture
def done(tmp_path: Path, tune: Tune) -> str:
    """The id of an experiment that is DONE."""
    for name, text in {"config.yml": CONFIG, "trial.py": TRIAL, "mine.py": TUNER}.items():
        (tmp_path / name).write_text(text)
    tune("run", "config.yml", "--id", "done", "--quiet")
    return "done"


def space(tmp_path: Path, **parameters: list[float]) -> str:
    path = tmp_path / "space.json"
    path.write_text(
        json.dumps({name: {"_type": "uniform", "_value": bounds} for name, bounds in parameters.items()})
    )
    return str(path)


@pytest.mark.usefixtures("done")
def test_search_space_changed_offline_is_searched_after_resume(tmp_path: Path, tune: Tune) -> None:
    said = tune("update", "searchspace", "-f", space(tmp_path, x=[5, 6])).stdout
    assert said.endswith("it is not running: tune resume done\n")
    tune("update", "trialnum", "--value", "5")
    assert "DONE, 5/5 succeeded" in tune("resume").stdout
    values = [each["value"] for each in json.loads(tune("trial", "ls", "--json").stdout)]
    assert all(0 <= value < 1 for value in values[:3])
    assert all(5 <= value < 6 for value in values[3:])


@pytest.mark.usefixtures("done")
def test_resume_says_what_is_gone_and_spends_no_trial(
    tmp_path: Path, tune: Tune, environment: dict[str, str]
) -> None:
    tune("update", "trialnum", "--value", "5")
    (tmp_path / "mine.py").unlink()
    for options in ([], ["--background"]):
        refused = tune("resume", *options, status=2).stderr
        assert refused.endswith(f"tuner.className: no file mine.py in {tmp_path}\n")
    (tmp_path / "mine.py").write_text(TUNER)
    environment["TUNE_DISABLE_PLUGINS"] = "local"
    refused = tune("resume", status=2).stderr
    assert "trainingService.platform: no training service called 'local'" in refused
    assert "left out by TUNE_DISABLE_PLUGINS" in refused
    del environment["TUNE_DISABLE_PLUGINS"]
    assert "DONE, 5/5" in tune("resume").stdout


def test_resume_without_the_code_directory_is_refused(tmp_path: Path, tune: Tune) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for name, text in {"config.yml": CONFIG, "trial.py": TRIAL, "mine.py": TUNER}.items():
        (code / name).write_text(text)
    (code / "config.yml").write_text(CONFIG.replace("className: mine.Mine", "name: Random"))
    tune("run", "code/config.yml", "--id", "moved", "--quiet")
    tune("update", "trialnum", "--value", "5")
    code.rename(tmp_path / "new")
    refused = tune("resume", status=2).stderr
    assert refused.startswith(f"tune: trialCodeDirectory: no folder {str(code)!r}, where experiment moved")
    assert f"ln -s NEW {code}" in refused
    assert len(json.loads(tune("trial", "ls", "--json").stdout)) == 3
    code.symlink_to(tmp_path / "new")
    assert "DONE, 5/5 succeeded" in tune("resume").stdout


@pytest.mark.usefixtures("done")
def test_space_that_the_algorithm_refuses_is_refused_offline(tmp_path: Path, tune: Tune) -> None:
    refused = tune("update", "searchspace", "-f", space(tmp_path, x=[5, 6], z=[0, 1]), status=2)
    assert refused.stderr == "tune: Mine takes one parameter\n"
    failed = tune("update", "searchspace", "-f", space(tmp_path, y=[0, 1]), status=1)
    assert failed.stderr == "tune: Mine fails on this search space: ZeroDivisionError: after 3 results\n"
    wrong = tune("update", "searchspace", "-f", space(tmp_path, x=[6, 5]), status=2)
    assert "space.json:1:28: x._value: " in wrong.stderr
    tune("update", "trialnum", "--value", "4")
    assert "DONE, 4/4" in tune("resume").stdout  # nothing of it was recorded
