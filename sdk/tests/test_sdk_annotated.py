"""What expanded code calls: parameters read once, and options told apart."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(script: str, parameters: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNE_")}
    return subprocess.run(
        [sys.executable, "-c", "import tune.annotated as t\n" + script],
        env={**clean, "TUNE_PARAMETERS": parameters, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        ("t.value('x')", "0.5"),
        ("t.is_chosen('f', 'g(a)'), t.is_chosen('f', 'h()')", "True False"),
        ("t.is_chosen('layer', 'pool'), t.is_chosen('layer', 'conv')", "True False"),
        ("t.is_chosen('one', 1), t.is_chosen('one', True)", "True False"),
        ("t.takes('inputs', 'a'), t.takes('inputs', 'b')", "True False"),
        ("t.takes('plain', 'a'), t.takes('name', 'ab'), t.takes('name', 'a')", "True True False"),
        ("t.get_next_parameter()['one'], t.get_next_parameter()['one']", "1 1"),
    ],
)
def test_expanded_code_gets_what_was_chosen(call: str, printed: str, tmp_path: Path) -> None:
    parameters = (
        '{"x": 0.5, "f": "g(a)", "one": 1, "layer": {"_value": "pool", "_idx": 1},'
        ' "inputs": {"_value": ["a", "c"], "_idx": [0, 2]}, "plain": ["a"], "name": "ab"}'
    )
    done = run(f"print(*[{call}])", parameters, tmp_path)
    assert (done.stdout.strip(), done.stderr) == (printed, "")


def test_parameters_are_read_once_in_a_trial(tmp_path: Path) -> None:
    (tmp_path / "parameter.json").write_text('{"x": 1}')
    script = "import os\nprint(t.value('x'))\nos.remove('parameter.json')\nprint(t.value('x'))"
    place = {"TUNE_PLATFORM": "local", "TUNE_PARAMETER_FILE": "parameter.json"}
    assert run(script, "{}", tmp_path, **place).stdout.split() == ["1", "1"]


def test_parameters_that_another_file_has_read_are_there(tmp_path: Path) -> None:
    (tmp_path / "parameter.json").write_text('{"x": 1}')
    place = {"TUNE_PLATFORM": "local", "TUNE_PARAMETER_FILE": "parameter.json"}
    script = "import tune\ntune.get_next_parameter()\nprint(t.value('x'))"
    assert run(script, "{}", tmp_path, **place).stdout == "1\n"


def test_missing_parameter_says_how_to_run_alone(tmp_path: Path) -> None:
    error = run("t.value('m/x/choice')", "{}", tmp_path).stderr
    assert "this trial has no parameter 'm/x/choice'" in error
    assert "alone run the annotated script itself" in error


def test_value_that_is_no_option_is_an_error(tmp_path: Path) -> None:
    error = run("t.no_option('x')", '{"x": 3}', tmp_path).stderr
    assert "ValueError: parameter 'x' is 3, which is none of the options in the code" in error
