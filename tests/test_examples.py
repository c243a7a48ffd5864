"""The examples run as they stand, and the README's two commands are the ones that are tested."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from example_runs import EXAMPLES, Tune, both_forms, budget, run_example

from tune_core.cli import main

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(EXAMPLES.glob("*/config*.yml"))
NAMES = sorted({path.parent.name for path in CONFIGS})


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_example_is_valid_as_it_stands(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    assert main(["validate", config.name]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_both_versions_say_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(EXAMPLES / name)
    assert main(["config", "upgrade", "config_v1.yml"]) == 0
    old = yaml.safe_load(capsys.readouterr().out)
    new = yaml.safe_load((EXAMPLES / name / "config.yml").read_text())
    for field in ("experimentName", "searchSpaceFile", "trialConcurrency", "assessor", "useAnnotation"):
        assert old.get(field) == new.get(field)
    assert old["trialCommand"].endswith(new["trialCommand"])  # variables stand before it in version 1


def test_every_example_is_run_in_both_versions() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_examples*.py"))
    assert [name for name in NAMES if f'"{name}"' not in tests] == []
    assert len(CONFIGS) == 2 * len(NAMES)


@both_forms("sklearn-classification")
def test_classifier_and_its_parameters_are_found(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, **budget(config, 2))
    assert [trial["state"] for trial in trials] == ["SUCCEEDED"] * 2
    assert max(trial["value"] for trial in trials) > 0.9


@both_forms("custom-tuner")
def test_tuner_of_ones_own_finds_a_minimum(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    changes = {**budget(config, 25), "trialConcurrency": 1}  # what it draws depends on what has ended
    trials = run_example(name, config, tmp_path, tune, through, seed=1, **changes)
    values = [trial["value"] for trial in trials]
    assert len(values) == 25
    assert min(values[:5]) > 50  # drawn blindly: 890 at the most, and 136 on average
    assert min(values) < 5


# The trial of an example, without its pauses. One that is to be ended does not end by itself.
HURRIED = """
import pathlib, runpy, signal, time, tune

time.sleep = lambda seconds: None
finish = tune.report_final_result

def report(value):
    if {is_bad}:
        signal.pause()
    finish(value)

tune.report_final_result = report
runpy.run_path("trial.py")
"""


def run_hurried(
    is_bad: str, name: str, config: str, folder: Path, tune: Tune, through: str, **changes: Any
) -> list[dict[str, Any]]:
    (folder / "hurried.py").write_text(HURRIED.format(is_bad=is_bad), encoding="utf-8")
    changes = {**budget(config, 8, "python hurried.py"), **changes}
    return run_example(name, config, folder, tune, through, **changes)


@both_forms("custom-assessor")
def test_assessor_of_ones_own_ends_what_is_stuck(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    far_off = "value > 3**4"  # farther than where it began
    trials = run_hurried(far_off, name, config, tmp_path, tune, through)
    rates = {trial["parameters"]["rate"]: trial["state"] for trial in trials}
    # From 0.056 on the first step leads away; below, each one leads nearer.
    assert rates == {rate: "EARLY_STOPPED" if rate > 0.056 else "SUCCEEDED" for rate in rates}
    assert {"EARLY_STOPPED", "SUCCEEDED"} == set(rates.values())


@both_forms("custom-advisor")
def test_advisor_of_ones_own_ends_what_is_behind(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    behind = 'pathlib.Path("best").exists() and value > float(pathlib.Path("best").read_text()) + 0.05'
    best = f'{behind} or pathlib.Path("best").write_text(str(value)) and False'
    trials = run_hurried(best, name, config, tmp_path, tune, through, trialConcurrency=1, seed=2)
    least, expected = 1.0, []
    for x, y in (trial["parameters"].values() for trial in trials):
        quality = (x - 0.3) ** 2 + (y - 0.6) ** 2
        expected.append("EARLY_STOPPED" if quality > least + 0.05 else "SUCCEEDED")
        least = min(least, quality)
    assert [trial["state"] for trial in trials] == expected
    assert {"EARLY_STOPPED", "SUCCEEDED"} == set(expected)


@both_forms("digits")
def test_digits_finds_a_good_classifier(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, seed=4, **budget(config, 3))
    assert len(trials) == 3
    assert {trial["state"] for trial in trials} <= {"SUCCEEDED", "EARLY_STOPPED"}
    # More than half of all configurations read 9 digits of 10; with this seed each of the 3 does.
    assert max(trial["value"] for trial in trials if trial["value"] is not None) > 0.9


@both_forms("xgboost")
def test_boosted_trees_get_better(tmp_path: Path, tune: Tune, name: str, config: str, through: str) -> None:
    trials = run_example(name, config, tmp_path, tune, through, **budget(config, 3))
    assert len(trials) == 3
    assert {trial["state"] for trial in trials} <= {"SUCCEEDED", "EARLY_STOPPED"}
    # XGBoost's own defaults have 0.082, and who always says how many are ill, 0.66.
    assert min(trial["value"] for trial in trials if trial["value"] is not None) < 0.12
    assert max(trial["intermediates"] for trial in trials) > 20


def test_digits_runs_alone(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["python", "train.py"],
        cwd=EXAMPLES / "digits",
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = [float(number) for number in re.findall(r"\b0\.\d+", done.stdout)]
    assert max(results) > 0.9


@both_forms("shell-script", is_cheap=True)
def test_shell_script_minimises_without_python(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through)
    assert [trial["state"] for trial in trials] == ["SUCCEEDED"] * 10
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
