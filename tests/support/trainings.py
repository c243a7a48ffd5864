"""What the tests of callbacks share: what a training reports, and a README's example as an experiment."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import tune.trial
from tune_core import Experiment

__all__ = ["Reports", "check_example", "reports", "reports_in"]

Reports = Callable[[], tuple[list[float], list[float]]]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reports:
    """What was reported, in a process that has reported nothing before: intermediate and final results."""
    monkeypatch.setattr(tune.trial, "_final_reported", threading.Lock())

    def read() -> tuple[list[float], list[float]]:
        return reports_in(capsys.readouterr().out)

    return read


def reports_in(text: str) -> tuple[list[float], list[float]]:
    """The intermediate and the final results in what a script printed that was run alone."""
    found = [re.findall(rf"tune: {kind}.*: (.*)", text) for kind in ("intermediate", "final")]
    return [float(value) for value in found[0]], [float(value) for value in found[1]]


def check_example(readme: Path, folder: Path, *, epochs: int, above: float, seed: int = 0) -> None:
    """Run the script and the configuration of `readme` in `folder`, with one trial.

    Args:
        readme: Its first Python and its first YAML block are `train.py` and `config.yml`.
        folder: Empty; of this test alone.
        epochs: The least number of intermediate results of the trial. The final result is the best one.
        above: What the final result has to exceed.
        seed: Of the experiment: what the trial is given depends on it.
    """
    scripts = re.findall(r"^```(\w+)\n(.*?)^```$", readme.read_text(), flags=re.M | re.S)
    texts = dict(reversed(scripts))
    (folder / "train.py").write_text(texts["python"])
    config = texts["yaml"].replace("maxTrialNumber: 20", "maxTrialNumber: 1")
    (folder / "config.yml").write_text(f"{config}seed: {seed}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNE_HOME", str(folder / "home"))
        patch.chdir(folder)
        experiment = Experiment("config.yml")
        assert experiment.run() == "DONE"
    (trial,) = experiment.trials()
    values = [each.value for each in experiment.metrics(trial) if not each.final]
    assert len(values) >= epochs
    assert trial.value == max(values) > above
