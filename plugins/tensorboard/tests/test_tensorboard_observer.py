"""Event files as TensorBoard's own backend reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tune_tensorboard
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from tune_tensorboard.events import EventFiles

from tune_core import Experiment, TrialState, observing

# TensorBoard takes its own reader of files then. Else it imports TensorFlow where there is one: ten seconds.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))

TRAIN = """
import tune

x = tune.get_next_parameter()["x"]
for step in range(4):
    tune.report_intermediate_result({"default": x + step, "loss": 2.0 * step, "note": "text"})
if tune.get_sequence_id() < 2:
    tune.report_final_result(x**2)
else:
    raise SystemExit("failed")
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNE_TENSORBOARD", raising=False)


def read(folder: Path) -> EventMultiplexer:
    return EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()


def scalars(files: EventMultiplexer, run: str, tag: str) -> list[tuple[int, float]]:
    values = files.Tensors(run, tag)
    return [(each.step, each.tensor_proto.float_val[0]) for each in values]


def session_groups(files: EventMultiplexer, folder: Path) -> Mapping[str, Any]:
    """What the tab HParams shows, by the names of the groups."""
    provider = MultiplexerDataProvider(files, str(folder))
    context = backend_context.Context(SimpleNamespace(data_provider=provider))
    statuses = [
        api_pb2.STATUS_SUCCESS,
        api_pb2.STATUS_FAILURE,
        api_pb2.STATUS_UNKNOWN,
        api_pb2.STATUS_RUNNING,
    ]
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100, allowed_statuses=statuses)
    groups = list_session_groups.Handler(RequestContext(), context, "", request).run().session_groups
    return {group.name: group for group in groups}


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Three trials, of which the last one fails after it has reported."""
    (tmp_path / "train.py").write_text(TRAIN)
    return {
        "searchSpace": {"x": {"_type": "uniform", "_value": [-1, 1]}},
        "trialCommand": "python train.py",
        "trialCodeDirectory": str(tmp_path),
        "trialConcurrency": 3,
        "maxTrialNumber": 3,
        "tuner": {"name": "Random"},
        "trainingService": {"platform": "local"},
    }


# The command, which waits at its end for what is not written yet: as long as it takes a busy machine.
PATIENT = "import tune_core.cli, tune_core.observing as o; o.EXIT_S = 200; exit(tune_core.cli.main())"


def test_all_is_written_when_the_command_has_ended(tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "config.yml").write_text(json.dumps(config))
    subprocess.run(
        [sys.executable, "-c", PATIENT, "run", "config.yml"],
        cwd=tmp_path,
        env={**os.environ, "TUNE_TENSORBOARD": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    experiment = Experiment.connect()
    folder = experiment.directory.path / "tensorboard"
    files = read(folder)
    groups = session_groups(files, folder)
    assert set(files.Runs()) == {"trial-0", "trial-1", "trial-2"}
    for trial in experiment.trials():
        run, x = f"trial-{trial.sequence}", trial.parameters["x"]
        curve = scalars(files, run, "intermediate")
        assert curve == [(step, pytest.approx(x + step, rel=1e-6, abs=1e-6)) for step in range(4)]
        assert scalars(files, run, "intermediate/loss") == [(step, 2.0 * step) for step in range(4)]
        assert groups[trial.id].hparams["x"].number_value == x
        (session,) = groups[trial.id].sessions
        metrics = {each.name.tag: each.value for each in session.metric_values}
        assert metrics["intermediate/loss"] == 6.0
        if trial.sequence < 2:
            assert metrics["final"] == pytest.approx(x**2, rel=1e-6)
            assert session.status == api_pb2.STATUS_SUCCESS
        else:
            assert "final" not in metrics
            assert session.status == api_pb2.STATUS_FAILURE


def test_experiments_are_side_by_side_in_a_folder(
    tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_TENSORBOARD", str(tmp_path / "logs"))
    experiment = Experiment({**config, "maxTrialNumber": 1})
    experiment.run()
    wait_until(lambda: "final" in tags(tmp_path / "logs", f"{experiment.id}/trial-0"))
    assert tune_tensorboard._recorders._of == {}


def tags(folder: Path, run: str) -> list[str]:
    return list(read(folder).Runs().get(run, {}).get("tensors", []))


@pytest.mark.parametrize("value", [None, "", "0"])
def test_nothing_is_written_unless_asked(
    value: str | None, tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("TUNE_TENSORBOARD", value)
    Experiment({**config, "maxTrialNumber": 1}).run()
    assert not list(tmp_path.rglob("*tensorboard*")) + list(tmp_path.rglob("*tfevents*"))
    assert tune_tensorboard._recorders._of == {}


def test_nested_choices_are_parameters_side_by_side(tmp_path: Path) -> None:
    parameters = {
        "model": {"_name": "cnn", "units": 3, "pool": {"_name": "max"}},
        "on": True,
        "sizes": [1, 2],
    }
    writer = EventFiles(tmp_path)
    writer.start("trial-0", "abc", parameters, 5.0)
    writer.metric("trial-0", "final", 1.0, 0, 6.0)
    found = session_groups(read(tmp_path), tmp_path)["abc"].hparams
    assert {name: found[name].string_value for name in ("model", "model/pool", "sizes")} == {
        "model": "cnn",
        "model/pool": "max",
        "sizes": "[1, 2]",
    }
    assert found["model/units"].number_value == 3
    assert found["on"].bool_value is True


def test_writing_goes_on_in_a_new_file_after_trouble(tmp_path: Path) -> None:
    writer = EventFiles(tmp_path)
    writer.metric("trial-0", "intermediate", 1.0, 1, 1.0)
    (first,) = (tmp_path / "trial-0").iterdir()
    first.unlink()
    first.mkdir()  # opening it fails, for root too
    with pytest.raises(IsADirectoryError):
        writer.metric("trial-0", "intermediate", 2.0, 2, 2.0)
    first.rmdir()
    writer.metric("trial-0", "intermediate", 3.0, 3, 3.0)
    assert scalars(read(tmp_path), "trial-0", "intermediate") == [(2, 3.0)]
    assert not first.exists()


def test_curve_of_an_adopted_trial_goes_on(tmp_path: Path) -> None:
    writer = EventFiles(tmp_path)  # of a manager that was started when the trial had reported ten times
    for value in (1.0, 2.0):
        writer.metric("trial-0", "intermediate", value, 11, value)
    assert scalars(read(tmp_path), "trial-0", "intermediate") == [(10, 1.0), (11, 2.0)]


def test_trouble_is_logged_once_and_harms_nothing(
    tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observing, "QUIET_S", 3600.0)
    (tmp_path / "logs").write_text("a file where a folder should be")
    monkeypatch.setenv("TUNE_TENSORBOARD", str(tmp_path / "logs"))
    experiment = Experiment({**config, "maxTrialNumber": 2})
    experiment.run()
    assert [trial.state for trial in experiment.trials()] == [TrialState.SUCCEEDED] * 2
    wait_until(lambda: "not everything is written" in caplog.text)
    wait_until(lambda: "tune-tensorboard" not in {thread.name for thread in threading.enumerate()})
    assert caplog.text.count("not everything is written") == 1


def test_observer_takes_no_time_of_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_TENSORBOARD", str(tmp_path))
    experiment: Any = SimpleNamespace(id="e", directory=tmp_path)
    trial: Any = SimpleNamespace(sequence=0, attempt=1, intermediates=1, id="t", parameters={})
    taken_s = []
    for _ in range(1000):
        before = time.perf_counter()
        tune_tensorboard.tune_metric_reported(experiment, trial, "intermediate", 1.0)
        taken_s.append(time.perf_counter() - before)
    tune_tensorboard.tune_experiment_ended(experiment)
    assert sorted(taken_s)[500] < 0.001  # what observers are asked to keep to
    wait_until(lambda: len(list((tmp_path / "e" / "trial-0-attempt-1").glob("*"))) == 1)
