"""The examples run as they stand, and the README's two commands are the ones that are tested."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from example_runs import EXAMPLES, Tune, both_forms, budget, run_example

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(EXAMPLES.glob("*/config*.yml"))
NAMES = sorted({path.parent.name for path in CONFIGS})


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_example_is_valid_as_it_stands(config: Path, tune: Tune) -> None:
    tune("validate", config.name, cwd=config.parent)


@pytest.mark.parametrize("name", NAMES)
def test_both_versions_say_the_same(name: str, tune: Tune) -> None:
    old = yaml.safe_load(tune("config", "upgrade", "config_v1.yml", cwd=EXAMPLES / name).stdout)
    new = yaml.safe_load((EXAMPLES / name / "config.yml").read_text())
    for field in ("experimentName", "searchSpaceFile", "trialConcurrency", "assessor", "useAnnotation"):
        assert old.get(field) == new.get(field)
    assert old["trialCommand"].endswith(new["trialCommand"])  # variables stand before it in version 1


def test_every_example_is_run_in_both_versions() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_examples*.py"))
    assert [name for name in NAMES if f'"{name}"' not in tests] == []
    assert len(CONFIGS) == 2 * len(NAMES)


@both_forms("sklearn-classification", is_cheap=True)
def test_classifier_and_its_parameters_are_found(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, **budget(config, 4))
    assert [trial["state"] for trial in trials] == ["SUCCEEDED"] * 4
    assert max(trial["value"] for trial in trials) > 0.9


@both_forms("custom-tuner", is_cheap=True)
def test_tuner_of_ones_own_finds_a_minimum(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, trialConcurrency=4)
    assert len(trials) == 40
    assert min(trial["value"] for trial in trials) < 5  # of 890 at the most, and 136 on average


@both_forms("custom-assessor", is_cheap=True)
def test_assessor_of_ones_own_ends_what_is_stuck(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, trialConcurrency=4, **budget(config, 12))
    for trial in trials:
        # From 0.056 on the first step leads away; well below, each one leads nearer.
        if trial["parameters"]["rate"] > 0.06:
            assert trial["state"] == "EARLY_STOPPED"
        elif trial["parameters"]["rate"] < 0.02:
            assert trial["state"] == "SUCCEEDED"
    assert {trial["state"] for trial in trials} == {"EARLY_STOPPED", "SUCCEEDED"}


@both_forms("custom-advisor", is_cheap=True)
def test_advisor_of_ones_own_ends_what_is_behind(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, trialConcurrency=4, **budget(config, 15))
    assert {trial["state"] for trial in trials} == {"EARLY_STOPPED", "SUCCEEDED"}


@both_forms("digits")
def test_digits_finds_a_good_classifier(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    trials = run_example(name, config, tmp_path, tune, through, **budget(config, 5))
    assert len(trials) == 5
    assert {trial["state"] for trial in trials} <= {"SUCCEEDED", "EARLY_STOPPED"}
    # More than half of all configurations read 9 digits of 10; with this seed some of the 5 do.
    assert max(trial["value"] for trial in trials if trial["value"] is not None) > 0.9


@both_forms("xgboost")
def test_boosted_trees_get_better(tmp_path: Path, tune: Tune, name: str, config: str, through: str) -> None:
    trials = run_example(name, config, tmp_path, tune, through, **budget(config, 5))
    assert len(trials) == 5
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
        timeout=100,
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
