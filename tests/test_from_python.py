"""Experiments from Python, with a configuration and a platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_core import Experiment


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))


def test_search_space_file_of_a_dictionary_is_read(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text('{"x": {"_type": "choice", "_value": [1]}}', encoding="utf-8")
    (tmp_path / "climb.py").write_text(
        "from tune_core import Tuner\n"
        "class Climb(Tuner):\n"
        "    def update_search_space(self, search_space): self.space = search_space\n"
        "    def generate_parameters(self, parameter_id): return self.space.sample(self.rng(parameter_id))\n"
        "    def receive_trial_result(self, parameter_id, parameters, value): pass\n",
        encoding="utf-8",
    )
    experiment = Experiment(
        {
            "searchSpaceFile": str(tmp_path / "space.json"),
            "trialCommand": """echo '{"type":"final","value":1}' >> "$TUNE_CHANNEL_FILE\"""",
            "trialCodeDirectory": str(tmp_path),
            "trialConcurrency": 1,
            "tuner": {"className": "climb.Climb", "codeDirectory": str(tmp_path)},
            "trainingService": {"platform": "local"},
        }
    )
    with experiment.record() as record:
        assert record.state()["search_space"] == {"x": {"_type": "choice", "_value": [1]}}
