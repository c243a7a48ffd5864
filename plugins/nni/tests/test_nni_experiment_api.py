"""`nni.experiment` as scripts use it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from nni.experiment import (
    AlgorithmConfig,
    Experiment,
    ExperimentConfig,
    LocalConfig,
    RemoteConfig,
    RemoteMachineConfig,
    RunMode,
)

from tune_core.errors import ConfigError, TuneError
from tune_core.store.lock import ManagerLock

SPACE = {"x": {"_type": "choice", "_value": [1, 2]}}
TRIAL = """
import nni
x = nni.get_next_parameter()["x"]
nni.report_intermediate_result(x - 1)
nni.report_intermediate_result(x - 0.5)
nni.report_final_result({"default": x, "square": x * x})
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    (tmp_path / "trial.py").write_text(TRIAL)
    made = Experiment("local")
    made.config.trial_command = f"{sys.executable} trial.py"
    made.config.trial_code_directory = tmp_path
    made.config.search_space = SPACE
    made.config.tuner.name = "GridSearch"
    made.config.max_trial_number = 2
    made.config.trial_concurrency = 2
    made.config.training_service.use_active_gpu = False
    return made


def test_config_is_a_file_of_version_2() -> None:
    config = ExperimentConfig("remote", trial_gpu_number=0, max_experiment_duration="1h")
    config.training_service.machine_list.append(RemoteMachineConfig(host="a", ssh_key_file=Path("key")))
    config.tuner = AlgorithmConfig(name="TPE", class_args={"optimize_mode": "maximize", "tpe_args": None})
    assert config.assessor.name is None
    assert config.json() == {
        "trialGpuNumber": 0,
        "maxExperimentDuration": "1h",
        "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize", "tpe_args": None}},
        "trainingService": {"platform": "remote", "machineList": [{"host": "a", "sshKeyFile": "key"}]},
    }
    assert LocalConfig().json() == {"platform": "local"}
    assert RemoteConfig(reuse_mode=True).json() == {
        "platform": "remote",
        "reuseMode": True,
        "machineList": [],
    }


def test_class_args_are_filled_in_key_by_key() -> None:
    config = ExperimentConfig("local")
    config.tuner.name = "TPE"
    assert config.json()["tuner"] == {"name": "TPE"}
    config.tuner.class_args["optimize_mode"] = "maximize"  # the quickstart of NNI 2
    assert config.json()["tuner"] == {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}}
    assert "assessor" not in config.json()


def test_experiment_runs_and_is_read(experiment: Experiment) -> None:
    assert experiment.run(8080) is True
    assert experiment.get_status() == "DONE"
    results = experiment.export_data()
    assert [each.parameter for each in results] == [{"x": 1}, {"x": 2}]
    assert [each.value for each in results] == [{"default": 1, "square": 1}, {"default": 2, "square": 4}]
    first, second = experiment.list_trial_jobs()
    assert first.status == "SUCCEEDED"
    assert first.hyperParameters[0].parameters == {"x": 1}
    assert second.finalMetricData[0].data == {"default": 2, "square": 4}
    assert experiment.get_trial_job(first.trialJobId) == first
    (metrics,) = experiment.get_job_metrics(first.trialJobId).values()
    assert [(each.type, each.sequence, each.data) for each in metrics] == [
        ("PERIODICAL", 0, 0),
        ("PERIODICAL", 1, 0.5),
        ("FINAL", 0, {"default": 1, "square": 1}),
    ]
    assert set(experiment.get_job_metrics()) == {first.trialJobId, second.trialJobId}
    assert experiment.get_job_statistics() == [{"trialJobStatus": "SUCCEEDED", "trialJobNumber": 2}]
    profile = experiment.get_experiment_profile()
    assert (profile["id"], profile["nextSequenceId"]) == (experiment.id, 2)
    assert profile["params"]["maxTrialNumber"] == 2
    assert Experiment.get_experiment_metadata(str(experiment.id))["status"] == "DONE"
    assert [each["id"] for each in Experiment.get_all_experiments_metadata()] == [experiment.id]


def test_done_experiment_goes_on(experiment: Experiment) -> None:
    experiment.config.max_trial_number = 1
    experiment.run()
    again = Experiment("local", id=experiment.id)
    again.update_max_trial_number(2)
    assert again.resume() is True
    assert len(again.export_data()) == 2
    static = Experiment.view(str(experiment.id))
    assert static.get_job_statistics() == [{"trialJobStatus": "SUCCEEDED", "trialJobNumber": 2}]


def test_running_experiment_is_steered_and_stopped(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "trial.py").write_text("import time; time.sleep(600)")
    experiment.start(run_mode=RunMode.Detach)
    try:
        connected = Experiment().connect(str(experiment.id))
        deadline = time.monotonic() + 90
        while not (jobs := [each for each in connected.list_trial_jobs() if each.status == "RUNNING"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        connected.kill_trial_job(jobs[0].trialJobId)
        connected.update_trial_concurrency(1)
        connected.update_max_experiment_duration("2h")
        connected.update_search_space({"x": {"_type": "choice", "_value": [5, 6]}})
    finally:
        experiment.stop()
    assert not ManagerLock.is_held(experiment.directory.lock)
    assert experiment.get_status() == "STOPPED"


def test_wrong_keys_are_named_at_the_start(experiment: Experiment) -> None:
    experiment.config.trial_concurency = 2
    with pytest.raises(ConfigError, match="trialConcurency"):
        experiment.start()


def test_experiment_has_no_port(experiment: Experiment) -> None:
    with pytest.raises(TuneError, match="experiments have no port such as 8080"):
        experiment.connect(8080)
    with pytest.raises(TuneError, match="has not been started"):
        experiment.get_status()


FILE_OF_VERSION_1 = """
trialConcurrency: 2
maxTrialNum: 2
trainingServicePlatform: local
searchSpacePath: space.json
tuner: {builtinTunerName: GridSearch}
trial: {command: PYTHON trial.py, codeDir: code, gpuNum: 0}
localConfig: {useActiveGpu: true}
"""
FILE_OF_VERSION_2 = """
trialConcurrency: 2
trialCommand: python trial.py
searchSpace: {x: {_type: choice, _value: [1, 2]}}
tuner: {className: mine.Mine, classArgs: {some_thing: 1}}
trainingService: {platform: remote, machineList: [{host: a, user: b, password: secret}]}
"""


def test_file_of_version_1_is_loaded_and_run_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "trial.py").write_text(TRIAL)
    (tmp_path / "space.json").write_text('{"x": {"_type": "choice", "_value": [1, 2]}}')
    (tmp_path / "config.yml").write_text(FILE_OF_VERSION_1.replace("PYTHON", sys.executable))
    config = ExperimentConfig.load(tmp_path / "config.yml")
    config.trial_gpu_number = None
    assert config.training_service.use_active_gpu is True
    assert Experiment(config, id="again").run_or_resume() is True
    assert sorted(each.value["default"] for each in Experiment(id="again").export_data()) == [1, 2]
    config.max_trial_number = 9
    assert Experiment(config, id="again").run_or_resume() is True  # all of it is done
    assert len(Experiment(id="again").export_data()) == 2


def test_file_of_version_2_is_loaded_with_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(FILE_OF_VERSION_2)
    config = ExperimentConfig.load(tmp_path / "config.yml")
    assert config.trial_code_directory == config.tuner.code_directory == str(tmp_path)
    assert config.tuner.class_args == {"some_thing": 1}
    assert config.training_service.machine_list[0].password == "secret"
    assert config.json()["trainingService"]["machineList"] == [
        {"host": "a", "user": "b", "password": "secret"}
    ]


def test_file_that_cannot_be_loaded_says_where(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(FILE_OF_VERSION_1 + "multiPhase: true\n")
    with pytest.raises(ConfigError, match=r"config.yml:9:1: multiPhase: trials that ask for several"):
        ExperimentConfig.load(tmp_path / "config.yml")
