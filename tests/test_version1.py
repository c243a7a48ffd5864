"""Configurations of NNI 1 mean what they meant, and what is wrong with one is told in its own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tune_core import ConfigError
from tune_core.config import load_config
from tune_core.config.document import dump_document, parse_document
from tune_core.config.version1 import upgrade

OLD: dict[str, Any] = {
    "authorName": "default",
    "experimentName": "example_mnist",
    "trialConcurrency": 2,
    "maxExecDuration": "1h",
    "maxTrialNum": 10,
    "trainingServicePlatform": "local",
    "searchSpacePath": "search_space.json",
    "useAnnotation": False,
    "tuner": {"builtinTunerName": "TPE", "classArgs": {"optimize_mode": "maximize"}},
    "trial": {"command": "echo trial", "codeDir": "code", "gpuNum": 0},
}
NEW: dict[str, Any] = {
    "experimentName": "example_mnist",
    "trialConcurrency": 2,
    "maxExperimentDuration": "1h",
    "maxTrialNumber": 10,
    "searchSpaceFile": "search_space.json",
    "trialCommand": "echo trial",
    "trialCodeDirectory": "code",
    "trialGpuNumber": 0,
    "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}},
    "trainingService": {"platform": "local"},
}

# The seeds' template, with its blanks filled.
TEMPLATE = """\
authorName: me # The name of the author who create the experiment.

experimentName: cifar # The name of the experiment created.

trialConcurrency: 1 # Specifies the max num of trial jobs run simultaneously.

maxExecDuration: 2h # specifies the max duration time of an experiment.

\t\t\t # The unit of the time is {sm, h, d}, which means {seconds, minutes, hours, days}.
maxTrialNum: 20
#choice: local, remote, pai, kubeflow

trainingServicePlatform: local # Specifies the platform to run the experiment
searchSpacePath: search_space.json
#choice: true, false, default: false
useAnnotation: false # Use annotation
#choice: true, false, default: false
multiThread: false # Enable multi-thread mode for dispatcher.
tuner:
  #choice: TPE, Random, Anneal, Evolution
  builtinTunerName: Evolution
  classArgs:
    #choice: maximize, minimize
    optimize_mode: maximize
  gpuIndices:
trial:
  command: echo trial
  codeDir: code
  gpuNum: 0

#machineList can be empty if the platform is local
machineList:
  - ip:
    port:
    username:
    passwd:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "search_space.json").write_text('{"x": {"_type": "uniform", "_value": [0, 1]}}')
    return tmp_path


def write(folder: Path, content: Any, name: str = "config.yml") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def problems(folder: Path, content: Any) -> list[tuple[str, int, str]]:
    """Key, line and message of each problem."""
    with pytest.raises(ConfigError) as err:
        load_config(write(folder, content))
    return [(each.key, each.place.line if each.place else 0, each.message) for each in err.value.problems]


def remade(folder: Path, content: Any) -> Any:
    """The experiment of an old configuration, made by way of `tune config upgrade`."""
    printed = dump_document(upgrade(parse_document(yaml.safe_dump(content), "old").value).plain())
    return load_config(write(folder, printed, "new.yml"))


def test_old_configuration_is_the_experiment_that_its_new_form_is(folder: Path) -> None:
    old = load_config(write(folder, OLD))
    assert old.to_json() == load_config(write(folder, NEW, "new.yml")).to_json()
    assert old.to_json() == remade(folder, OLD).to_json()
    assert "authorName has no effect any more: experiments have no author" in old.remarks


def test_template_of_the_documents_runs(folder: Path) -> None:
    config = load_config(write(folder, TEMPLATE))
    assert config.algorithm.name == "Evolution"
    assert config.max_experiment_duration == 7200
    assert any("machineList has no effect" in remark for remark in config.remarks)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"maxExecDuration": "30m"}, {"maxExperimentDuration": "30m"}),
        ({"logDir": "logs"}, {"experimentWorkingDirectory": "logs"}),
        ({"logLevel": "warning", "debug": True}, {"logLevel": "warning", "debug": True}),
        ({"nniManagerIp": "10.0.0.1"}, {"nniManagerIp": "10.0.0.1"}),
        ({"trial": {**OLD["trial"], "gpuNum": None}}, {"trialGpuNumber": None}),
        ({"tuner": {**OLD["tuner"], "gpuIndices": "0,1"}}, {"tunerGpuIndices": [0, 1]}),
        ({"tuner": {**OLD["tuner"], "gpuIndices": 1}}, {"tunerGpuIndices": 1}),
        (
            {"tuner": {**OLD["tuner"], "includeIntermediateResults": True}},
            {"includeIntermediateResults": True},
        ),
        (
            {"assessor": {"builtinAssessorName": "Medianstop", "classArgs": {"start_step": 3}}},
            {"assessor": {"name": "Medianstop", "classArgs": {"start_step": 3}}},
        ),
        (
            {"tuner": None, "advisor": {"builtinAdvisorName": "Hyperband", "classArgs": {"R": 9, "eta": 3}}},
            {"tuner": None, "advisor": {"name": "Hyperband", "classArgs": {"R": 9, "eta": 3}}},
        ),
        (
            {"localConfig": {"gpuIndices": "0,2", "maxTrialNumPerGpu": 2, "useActiveGpu": True}},
            {
                "trainingService": {
                    "platform": "local",
                    "gpuIndices": [0, 2],
                    "maxTrialNumberPerGpu": 2,
                    "useActiveGpu": True,
                }
            },
        ),
        (
            {
                "trainingServicePlatform": "remote",
                "remoteConfig": {"reuse": True},
                "machineList": [
                    {"ip": "10.1.1.1", "username": "bob", "passwd": "bob123"},
                    {
                        "ip": "10.1.1.2",
                        "port": 2222,
                        "username": "eva",
                        "sshKeyPath": "search_space.json",
                        "passphrase": "${env:HOME}",
                        "gpuIndices": "0,1",
                        "maxTrialNumPerGpu": 2,
                        "useActiveGpu": False,
                        "preCommand": "source activate base",
                    },
                ],
            },
            {
                "trainingService": {
                    "platform": "remote",
                    "reuseMode": True,
                    "machineList": [
                        {"host": "10.1.1.1", "user": "bob", "password": "bob123"},
                        {
                            "host": "10.1.1.2",
                            "port": 2222,
                            "user": "eva",
                            "sshKeyFile": "search_space.json",
                            "sshPassphrase": "${env:HOME}",
                            "gpuIndices": [0, 1],
                            "maxTrialNumberPerGpu": 2,
                            "useActiveGpu": False,
                            "preCommand": "source activate base",
                        },
                    ],
                }
            },
        ),
    ],
)
def test_each_old_key_is_the_new_one(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    (folder / "logs").mkdir()
    expected = load_config(write(folder, {**NEW, **new}, "expected.yml"))
    assert load_config(write(folder, {**OLD, **old})).to_json() == expected.to_json()
    assert remade(folder, {**OLD, **old}).to_json() == expected.to_json()


def test_keys_of_nni_0_1_are_those_that_came_after(folder: Path) -> None:
    oldest = {
        **OLD,
        "tuner": {"tunerName": "TPE", "optimizationMode": "Maximize", "tunerGpuNum": 0},
        "assessor": {"assessorName": "Medianstop", "optimizationMode": "Maximize"},
        "trial": {"trialCommand": "echo trial", "trialCodeDir": "code", "trialGpuNum": 0},
    }
    new = {**NEW, "assessor": {"name": "Medianstop", "classArgs": {"optimize_mode": "maximize"}}}
    assert load_config(write(folder, oldest)).to_json() == load_config(write(folder, new, "n.yml")).to_json()
    assert remade(folder, oldest).to_json() == load_config(folder / "n.yml").to_json()
    told = problems(folder, {**oldest, "tuner": {"tunerName": "TPE", "optimizationMode": "Up"}})
    assert [(key, "'Up'" in text or "'up'" in text) for key, _, text in told] == [
        ("tuner.optimizationMode", True)
    ]


def test_gpu_number_of_an_algorithm_is_dropped_aloud(folder: Path) -> None:  # up to NNI 0.8
    config = load_config(write(folder, {**OLD, "tuner": {**OLD["tuner"], "gpuNum": 0}}))
    assert "tuner.gpuNum has no effect any more: an algorithm sees the GPUs that gpuIndices names" in (
        config.remarks
    )


@pytest.mark.parametrize("key", ["codeDir", "codeDirectory"])
def test_class_of_ones_own_is_found_by_file_and_name(folder: Path, key: str) -> None:
    (folder / "my").mkdir()
    (folder / "my" / "halves.py").write_text(
        "from tune_core import Tuner\n"
        "class Halves(Tuner):\n"
        "    def update_search_space(self, search_space): pass\n"
        "    def generate_parameters(self, parameter_id): return {'x': 0.5}\n"
        "    def receive_trial_result(self, parameter_id, parameters, value): pass\n"
    )
    tuner = {key: "my", "classFileName": "halves.py", "className": "Halves"}
    config = load_config(write(folder, {**OLD, "tuner": tuner}))
    assert (config.algorithm.class_name, config.algorithm.code_directory) == ("halves.Halves", folder / "my")
    wrong = {**tuner, "className": "Halve"}
    [(where, _, message)] = problems(folder, {**OLD, "tuner": wrong})
    assert where == "tuner.className"
    assert "did you mean 'Halves'?" in message


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        ({"maxTrialNumber": 3}, "maxTrialNumber", "write maxTrialNum here"),
        ({"trialCommand": "echo"}, "trialCommand", "write trial.command here"),
        ({"maxTrialNun": 3}, "maxTrialNun", "no such key in version 1, did you mean 'maxTrialNum'?"),
        ({"trial": {**OLD["trial"], "gpuNumm": 1}}, "trial.gpuNumm", "did you mean 'gpuNum'?"),
        ({"trial": {**OLD["trial"], "gpuNum": "many"}}, "trial.gpuNum", "'many' is not a whole number"),
        ({"trial": {**OLD["trial"], "codeDir": "nowhere"}}, "trial.codeDir", "no folder"),
        ({"trial": {"codeDir": "code"}}, "trial.command", "is required"),
        ({"trial": "python x.py"}, "trial", "is not a section of keys and values"),
        ({"trialConcurrency": 0}, "trialConcurrency", "0 is not at least 1"),
        ({"trialConcurrency": 100_000}, "trialConcurrency", "is not at most 99999"),
        ({"maxExecDuration": "1w"}, "maxExecDuration", "'1w' is not a duration"),
        ({"searchSpacePath": "none.json"}, "searchSpacePath", "none.json"),
        ({"trainingServicePlatform": "kubeflow"}, "trainingServicePlatform", "pip install tune-kubeflow"),
        ({"tuner": {"builtinTunerName": "TPEE"}}, "tuner.builtinTunerName", "no tuner called 'TPEE'"),
        ({"tuner": {"name": "TPE"}}, "tuner.name", "version 1: write builtinTunerName here"),
        (
            {"tuner": {"builtinTunerName": "TPE", "classArgs": {"optimise_mode": "maximize"}}},
            "tuner.classArgs.optimise_mode",
            "did you mean 'optimize_mode'?",
        ),
        (
            {"tuner": {"builtinTunerName": "TPE", "className": "TPE"}},
            "tuner.className",
            "excludes name",
        ),
        ({"advisor": {"builtinAdvisorName": "Hyperband"}}, "tuner", "excludes advisor"),
        ({"multiPhase": True}, "multiPhase", "are no more"),
        ({"localConfig": {"gpuIndices": [0, 0]}}, "localConfig.gpuIndices", "names a GPU twice"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_the_file(
    folder: Path, change: dict[str, Any], key: str, message: str
) -> None:
    content = {**OLD, **change}
    told = problems(folder, content)
    assert any(each == key and message in text for each, _, text in told), told
    lines = yaml.safe_dump(content, sort_keys=False).splitlines()
    for each, line, text in told:
        if text == "is required":
            continue  # there is no such line
        assert each.rpartition(".")[2].partition("[")[0] in lines[line - 1] or not line


def test_machine_that_is_wrong_is_told_by_its_place(folder: Path) -> None:
    machines = [{"ip": "a", "username": "me"}, {"username": "me", "pasword": "x"}]
    told = problems(folder, {**OLD, "trainingServicePlatform": "remote", "machineList": machines})
    assert [each[0] for each in told] == ["machineList[1].ip", "machineList[1].pasword"]


def test_platform_that_is_not_here_hides_nothing_else(folder: Path) -> None:
    kubeflow = {
        "trainingServicePlatform": "kubeflow",
        "kubeflowConfig": {"operator": "tf-operator"},
        "trial": {"codeDir": "code", "worker": {"replicas": 1}},
        "maxTrialNun": 1,
    }
    told = problems(folder, {**OLD, **kubeflow})
    assert [each[0] for each in told if each[1]] == ["trainingServicePlatform", "maxTrialNun"]


def test_all_old_problems_are_told_at_once(folder: Path) -> None:
    trial = {"command": "echo", "codeDir": "nowhere", "gpuNum": -1}
    told = problems(folder, {**OLD, "trial": trial, "maxTrialNum": 0, "colour": 1, "trialConcurrency": "two"})
    assert [each[0] for each in told] == [
        "trialConcurrency",
        "maxTrialNum",
        "trial.codeDir",
        "trial.gpuNum",
        "colour",
    ]


# Of what YAML gives a meaning to, one way or another.
TEXT = st.text(st.sampled_from("aeEoNnyx019._-+:#,[]{}&*!|>'\"%@` \n\t\x85\u2028é~?=<\\"), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.floats(-1e300, 1e300)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_is_printed_is_read_as_it_was(value: dict[str, Any]) -> None:
    assert json.dumps(parse_document(dump_document(value), "x").value) == json.dumps(value)
