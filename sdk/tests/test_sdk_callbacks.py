"""What callbacks report through a learning curve, as the messages of a trial."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tune import callbacks
from tune.callbacks import LearningCurve


def messages(directory: Path, script: str) -> "list[tuple[str, float]]":
    """What `script` reports, run as a trial."""
    done = subprocess.run(
        [sys.executable, "-c", "from tune.callbacks import LearningCurve\n" + textwrap.dedent(script)],
        env={
            **os.environ,
            "TUNE_PLATFORM": "test",
            "TUNE_TRIAL_ID": "t",
            "TUNE_TRIAL_ATTEMPT": "0",
            "TUNE_CHANNEL": "file:" + str(directory / "messages.jsonl"),
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path = directory / "messages.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(each["type"], each["value"]) for each in map(json.loads, lines)]


TRAINING = """
    curve = LearningCurve("val")
    for epoch, value in enumerate([0.25, 0.75, 0.5], start=10):
        curve.report(epoch, {"train": 1.0, "val": value})
"""
CURVE = [("intermediate", 0.25), ("intermediate", 0.75), ("intermediate", 0.5)]


@pytest.mark.parametrize(
    ("best", "final"),
    [("", 0.5), ("None", 0.5), ("11", 0.75), ("1", 0.5)],
    ids=["", "none", "best", "foreign"],
)
def test_curve_ends_in_the_best_step_or_the_last(best: str, final: float, tmp_path: Path) -> None:
    script = textwrap.dedent(TRAINING) + f"curve.report_final({best})"
    assert messages(tmp_path, script) == [*CURVE, ("final", final)]


def test_curve_without_values_has_no_result(tmp_path: Path) -> None:
    assert messages(tmp_path, "LearningCurve('val').report_final()") == []


def test_silent_curve_measures_and_says_nothing(tmp_path: Path) -> None:
    script = """
        curve = LearningCurve("val", silent=True)
        curve.report(3, {"val": 0.5})
        curve.report_final()
        assert curve.values == {3: 0.5}
    """
    assert messages(tmp_path, script) == []


@pytest.mark.parametrize("silent", [False, True])
def test_unknown_metric_is_refused_with_those_there_are(silent: bool) -> None:
    with pytest.raises(ValueError, match=r"^no metric 'val'; there are: loss, valid$"):
        LearningCurve("val", silent=silent).report(0, {"loss": 1.0, "valid": 1.0})


def test_unknown_metric_is_refused_where_there_are_none() -> None:
    with pytest.raises(ValueError, match=r"^no metric 'val'; there are: none$"):
        LearningCurve("val").report(0, {})


def test_callback_of_the_docstring_reports(tmp_path: Path) -> None:
    assert callbacks.__doc__
    example = textwrap.dedent(
        "    class" + callbacks.__doc__.partition("    class")[2].partition("\nA hand")[0]
    )
    script = f"""
class library:
    Callback = object
{example}
callback = TuneCallback()
callback.on_train_begin()
callback.on_epoch_end(0, {{"loss": 0.4, "val_loss": 0.5}})
callback.on_train_end()
"""
    assert messages(tmp_path, script) == [("intermediate", 0.5), ("final", 0.5)]
