"""Runs in a real MLflow: its SQLite store, and its server on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import tune_mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from tune_mlflow.runs import Runs
from werkzeug.serving import BaseWSGIServer, make_server

from tune_core import Experiment, TrialState, TuneError, observing
from tune_core.experiment.view import TrialView
from tune_core.observing import Recorders, UnreachableError

pytestmark = [
    pytest.mark.xdist_group("mlflow"),  # one process makes the database and imports the server
    # MLflow 3.17's own store, with SQLAlchemy 2.1, and its server.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
    pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated"),
]

TRAIN = """
import tune

x = tune.get_next_parameter()["x"]
for step in range(4):
    tune.report_intermediate_result({"default": x + step, "loss": 2.0 * step, "note": "text"})
if tune.get_sequence_id() == 2:
    raise SystemExit("failed")
tune.report_final_result(x**2)
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    for name in ("TUNE_MLFLOW", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """A database with MLflow's tables, which it takes seconds to make; in memory where that is possible."""
    memory = "/dev/shm"
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        MlflowClient(uri).search_experiments()
        yield uri


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Three trials, of which the last one fails after it has reported."""
    (tmp_path / "train.py").write_text(TRAIN)
    return {
        "experimentName": tmp_path.name,  # the store is shared by all tests
        "searchSpace": {"x": {"_type": "uniform", "_value": [-1, 1]}},
        "trialCommand": "python train.py",
        "trialCodeDirectory": str(tmp_path),
        "trialConcurrency": 3,
        "maxTrialNumber": 3,
        "tuner": {"name": "Random"},
        "trainingService": {"platform": "local"},
    }


def runs_of(store: str, experiment: str) -> dict[str, Any]:
    """Runs by their names."""
    client = MlflowClient(store)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


def curve(store: str, run: Any, key: str) -> list[tuple[int, float]]:
    history = MlflowClient(store).get_metric_history(run.info.run_id, key)
    return sorted((each.step, each.value) for each in history)


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# The command, which waits at its end for what is not written yet: as long as it takes a busy machine.
PATIENT = "import tune_core.cli, tune_core.observing as o; o.EXIT_S = 200; exit(tune_core.cli.main())"


def tune(*words: str, folder: Path, **variables: str) -> None:
    subprocess.run(
        [sys.executable, "-c", PATIENT, *words],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )


def test_trials_are_runs_and_a_resume_adds_to_them(
    tmp_path: Path, config: dict[str, Any], store: str, server: Server
) -> None:
    (tmp_path / "config.yml").write_text(json.dumps(config))
    tune("run", "config.yml", folder=tmp_path, TUNE_MLFLOW=server.uri)
    experiment = Experiment.connect()
    first = runs_of(store, tmp_path.name)
    assert set(first) == {"trial-0", "trial-1", "trial-2"}
    for trial in experiment.trials():
        run, x = first[f"trial-{trial.sequence}"], trial.parameters["x"]
        succeeded = trial.sequence < 2
        assert run.data.params == {"x": str(x)}
        assert curve(store, run, "intermediate") == [(step, x + step) for step in range(4)]
        assert curve(store, run, "intermediate/loss") == [(step, 2.0 * step) for step in range(4)]
        assert run.data.metrics.get("final") == (x**2 if succeeded else None)
        assert run.info.status == ("FINISHED" if succeeded else "FAILED")
        assert run.info.end_time >= run.info.start_time > time.time() * 1000 - 600_000
        assert run.data.tags["tune.experiment_id"] == experiment.id
        assert run.data.tags["tune.trial_id"] == trial.id
        assert run.data.tags["tune.state"] == trial.state.value
        assert ("failed" in run.data.tags.get("tune.reason", "")) != succeeded
        assert Path(run.data.tags["tune.directory"], "stdout").exists()
    tune("update", "trialnum", "--value", "4", folder=tmp_path)
    tune("resume", folder=tmp_path, MLFLOW_TRACKING_URI=server.uri, TUNE_MLFLOW="1")
    second = runs_of(store, tmp_path.name)
    assert set(second) == {*first, "trial-3"}
    assert second["trial-3"].data.tags["tune.experiment_id"] == experiment.id
    assert {name: run.info.run_id for name, run in second.items() if name in first} == {
        name: run.info.run_id for name, run in first.items()
    }


def test_nothing_is_written_unless_asked(
    config: dict[str, Any], store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    before = threading.enumerate()
    Experiment({**config, "maxTrialNumber": 1}).run()
    assert runs_of(store, config["experimentName"]) == {}
    assert "tune-mlflow" not in {each.name for each in threading.enumerate() if each not in before}


@pytest.fixture
def experiment(tmp_path: Path) -> Any:
    return SimpleNamespace(id="abcd1234", name=tmp_path.name, directory=tmp_path)


def trial(state: TrialState = TrialState.RUNNING, **fields: Any) -> TrialView:
    values = {"sequence": 0, "id": "aB3xZ", "state": state, "parameters": {"x": 1}, "intermediates": 1}
    return TrialView(**{**values, **fields})


def test_another_manager_goes_on_with_the_run(experiment: Any, store: str) -> None:
    first = Runs(store, experiment)
    first.start(trial(intermediates=0), 5.0)
    for step in range(10):
        first.metric(trial(intermediates=10), "intermediate", step, 6.0 + step)
    first.flush()
    second = Runs(store, experiment)  # the first manager was killed; this one has adopted the trial
    for step in (10, 11):
        second.metric(trial(intermediates=step + 1), "intermediate", step, 20.0 + step)
    second.end(trial(TrialState.EARLY_STOPPED, intermediates=12), 40.0)
    (run,) = runs_of(store, experiment.name).values()
    assert curve(store, run, "intermediate") == [(step, step) for step in range(12)]
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 5000, 40000)
    assert run.data.tags["tune.state"] == "EARLY_STOPPED"


def test_each_attempt_has_a_run_and_the_last_one_counts(experiment: Any, store: str) -> None:
    runs = Runs(store, experiment)
    runs.start(trial(), 1.0)
    runs.metric(trial(), "intermediate", 7.0, 2.0)
    runs.start(trial(attempt=1), 3.0)
    runs.metric(trial(attempt=1), "intermediate", 8.0, 4.0)
    runs.end(trial(TrialState.SUCCEEDED, attempt=1), 5.0)
    runs.close()
    found = runs_of(store, experiment.name)
    assert {name: run.info.status for name, run in found.items()} == {
        "trial-0": "KILLED",
        "trial-0-attempt-1": "FINISHED",
    }
    assert curve(store, found["trial-0"], "intermediate") == [(0, 7.0)]
    assert curve(store, found["trial-0-attempt-1"], "intermediate") == [(0, 8.0)]


def test_end_of_the_experiment_ends_what_runs(experiment: Any, store: str) -> None:
    runs = Runs(store, experiment)
    runs.start(trial(), 1.0)
    runs.metric(trial(), "final", 7.0, 2.0)
    runs.close()
    (run,) = runs_of(store, experiment.name).values()
    assert (run.info.status, run.data.metrics) == ("KILLED", {"final": 7.0})


def test_names_and_values_are_made_to_fit(experiment: Any, store: str) -> None:
    model = {"_name": "cnn", "units": [3, 4], "naïve/../é!": True}
    many = {f"p{number}": number for number in range(150)}
    runs = Runs(store, experiment)
    runs.start(trial(parameters={"model": model, "text": "x" * 10_000, **many}), 1.0)
    value = {f"loss[{number}]": number for number in range(250)} | {"default": float("inf"), "a//b": 1}
    runs.metric(trial(), "intermediate", value, 2.0)
    runs.flush()
    (run,) = runs_of(store, experiment.name).values()
    assert run.data.params["model"] == "cnn"
    assert run.data.params["model/units"] == "[3, 4]"
    assert run.data.params["model/naïve/é_"] == "true"
    assert run.data.params["text"] == "x" * 6000
    assert run.data.params["p149"] == "149"
    assert len(run.data.metrics) == 252
    assert run.data.metrics["intermediate/a/b"] == 1
    assert run.data.metrics["intermediate/loss_249_"] == 249


def test_deleted_experiment_is_named(experiment: Any, store: str) -> None:
    Runs(store, experiment)
    client = MlflowClient(store)
    client.delete_experiment(client.get_experiment_by_name(experiment.name).experiment_id)
    with pytest.raises(TuneError, match=r"is deleted there\n.*mlflow experiments restore --experiment-id"):
        Runs(store, experiment)


class Server:
    """MLflow's server, which can go away and come back."""

    def __init__(self) -> None:
        self._running: BaseWSGIServer | None = None
        self._place = socket.socket()  # which keeps others from the port while the server is away
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self._port = self._place.getsockname()[1]
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        from mlflow.server import app

        self._running = make_server("127.0.0.1", self._port, app, threaded=True)
        threading.Thread(target=self._running.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._running is not None:
            self._running.shutdown()
            self._running.server_close()
            self._running = None

    def close(self) -> None:
        self.stop()
        self._place.close()


@pytest.fixture
def server(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", store)
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # 7 in 4 minutes
    server = Server()
    yield server
    server.close()


def test_server_that_was_away_is_told_everything(
    server: Server,
    experiment: Any,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(observing, "WAIT_S", (0.01, 0.1))
    monkeypatch.setattr(observing, "QUIET_S", 3600.0)
    monkeypatch.setenv("TUNE_MLFLOW", server.uri)
    recorders = Recorders("MLflow", "TUNE_MLFLOW", tune_mlflow._open)
    monkeypatch.setattr(tune_mlflow, "_recorders", recorders)
    tune_mlflow.tune_trial_started(experiment, trial())
    wait_until(lambda: runs_of(store, experiment.name))
    server.stop()
    for step in range(50):
        tune_mlflow.tune_metric_reported(experiment, trial(), "intermediate", 1.0 * step)
    wait_until(lambda: "MLflow is not reached" in caplog.text)
    tune_mlflow.tune_trial_ended(experiment, trial(TrialState.SUCCEEDED))
    tune_mlflow.tune_experiment_ended(experiment)
    server.start()
    wait_until(lambda: runs_of(store, experiment.name)["trial-0"].info.status == "FINISHED")
    (run,) = runs_of(store, experiment.name).values()
    assert curve(store, run, "intermediate") == [(step, step) for step in range(50)]
    assert caplog.text.count("MLflow is not reached") == 1


def test_run_that_was_deleted_harms_no_other(server: Server, experiment: Any, store: str) -> None:
    runs = Runs(server.uri, experiment)
    runs.start(trial(), 1.0)
    runs.start(trial(sequence=1, id="other"), 1.0)
    MlflowClient(store).delete_run(runs_of(store, experiment.name)["trial-0"].info.run_id)
    runs.metric(trial(), "intermediate", 1.0, 2.0)
    with pytest.raises(Exception, match="must be in the 'active'"):
        runs.flush()
    runs.metric(trial(sequence=1, id="other"), "intermediate", 1.0, 2.0)
    runs.flush()
    assert curve(store, runs_of(store, experiment.name)["trial-1"], "intermediate") == [(0, 1.0)]


def test_server_that_is_down_costs_a_warning(
    server: Server, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    monkeypatch.setenv("TUNE_MLFLOW", server.uri.replace("//", "//me:secret@"))
    experiment = Experiment({**config, "maxTrialNumber": 2})
    experiment.run()
    assert [each.state for each in experiment.trials()] == [TrialState.SUCCEEDED] * 2
    wait_until(lambda: "MLflow is not reached" in caplog.text)
    assert "://***@127.0.0.1" in caplog.text
    assert "secret" not in caplog.text
    tune_mlflow._recorders._leave()  # what the end of the process does
    assert not any(each.is_writing for each in tune_mlflow._recorders._writing)


def test_observer_takes_no_time_of_the_loop(
    tmp_path: Path, experiment: Any, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_MLFLOW", store)
    taken_s = []
    for _ in range(1000):
        before = time.perf_counter()
        tune_mlflow.tune_metric_reported(experiment, trial(), "intermediate", 1.0)
        taken_s.append(time.perf_counter() - before)
    tune_mlflow.tune_experiment_ended(experiment)
    assert sorted(taken_s)[500] < 0.001  # what observers are asked to keep to
    wait_until(lambda: [run.info.status for run in runs_of(store, experiment.name).values()] == ["KILLED"])
    (run,) = runs_of(store, experiment.name).values()
    assert len(curve(store, run, "intermediate")) == 1000


def test_silence_is_told_from_an_answer(server: Server, experiment: Any) -> None:
    server.stop()
    with pytest.raises(UnreachableError, match="failed with exception"):
        Runs(server.uri, experiment)
    server.start()
    runs = Runs(server.uri, experiment)
    broken = trial(id="it's")  # no id of ours; what it does to the query stands for any refusal
    with pytest.raises(MlflowException, match="INVALID_PARAMETER_VALUE"):
        runs.start(broken, 1.0)
