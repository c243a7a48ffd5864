"""The section of the remote service: what it takes, and how it says what is wrong."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pytest
from tune_remote.config import MachineConfig, RemoteConfig, check_machines, label_of

from tune_core.config import check, load_config
from tune_core.errors import ConfigError

CONFIG = """
searchSpace: {x: {_type: uniform, _value: [0, 1]}}
trialCommand: "true"
trialConcurrency: 1
tuner: {name: Random}
trainingService:
  platform: remote
  machineList:
    - host: a
    - host: b
      sshKeyFile: no-such-key
      password: ${env:TUNE_TEST_NOT_THERE}
"""


def section(*machines: dict[str, Any], **rest: Any) -> RemoteConfig:
    return check(RemoteConfig, {"machineList": list(machines), **rest})


def problems(*machines: dict[str, Any], **rest: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        section(*machines, **rest)
    return {problem.key: problem.message for problem in caught.value.problems}


def test_defaults_are_those_of_the_manual() -> None:
    config = section({"host": "gpu1"})
    machine = config.machine_list[0]
    assert (config.lease, config.lost_after, config.kill_grace, config.output_limit) == (2400, 600, 10, 50)
    assert config.code_size_limit == 300
    assert (machine.port, machine.user, machine.check_host_key) == (None, None, True)
    assert (machine.max_trial_number_per_gpu, machine.directory) == (1, "~/tune-trials")


def test_keys_of_nni_are_taken() -> None:
    config = section(
        {
            "host": "10.1.1.1",
            "port": 22,
            "user": "bob",
            "password": "123456",
            "ssh_key_file": "~/.ssh/id_rsa",
            "sshPassphrase": "x",
            "useActiveGpu": True,
            "maxTrialNumberPerGpu": 2,
            "gpuIndices": "0,1",
            "pythonPath": "/opt/miniconda3/bin",
        },
        reuseMode=True,
    )
    machine = config.machine_list[0]
    assert machine.gpu_indices == (0, 1)
    assert machine.ssh_key_file == Path.home() / ".ssh" / "id_rsa"


def test_secrets_are_never_shown() -> None:
    config = section({"host": "a", "password": "open sesame"}, {"host": "b", "password": "${env:WORD}"})
    for text in (repr(config), str(config), config.model_dump_json()):
        assert "sesame" not in text
        assert "${env:WORD}" in text
    wrong = problems({"host": "a", "password": "open sesame", "port": "x", "sshPassphrase": ["swordfish"]})
    assert not [text for text in wrong.values() if "sesame" in text or "swordfish" in text]


def test_password_in_clear_is_remarked_on_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "open sesame")
    file = tmp_path / "config.yml"
    machines = "[{host: a, password: 1two3four}, {host: b, password: '${env:WORD}'}]"
    file.write_text(CONFIG.partition("machineList")[0] + f"machineList: {machines}\n")
    (remark,) = [each for each in load_config(file).remarks if "password" in each]
    assert remark.startswith("trainingService.machineList[0].password: stands in clear")
    assert "could not be resumed; write ${env:NAME} or ${file:PATH}" in remark
    assert "1two3four" not in remark


@pytest.mark.parametrize(
    ("machines", "key", "said"),
    [
        ([], "machineList", "one machine is the least"),
        ([{}], "machineList[0].host", "is required"),
        ([{"host": "a"}, {"host": "-oProxyCommand=x"}], "machineList[1].host", "is not a host"),
        ([{"host": "a", "user": "-x"}], "machineList[0].user", "is not the name of a user"),
        ([{"host": "a", "user": "x;id"}], "machineList[0].user", "is not the name of a user"),
        ([{"host": "a", "port": 0}], "machineList[0].port", "at least 1"),
        ([{"host": "a", "port": 65536}], "machineList[0].port", "at most 65535"),
        ([{"host": "a", "trialConcurrency": 0}], "machineList[0].trialConcurrency", "at least 1"),
        ([{"host": "a", "sshPassphrase": "x"}], "machineList[0].sshPassphrase", "sshKeyFile"),
        ([{"host": "a", "directory": "here"}], "machineList[0].directory", "is relative"),
        ([{"host": "a", "proxyJump": "-x"}], "machineList[0].proxyJump", "is not a machine"),
        ([{"host": "a", "preCommand": " "}], "machineList[0].preCommand", "is empty"),
        ([{"host": "a"}, {"host": "A", "port": 22}], "machineList[1].host", "is machineList[0] again"),
        ([{"hots": "a"}], "machineList[0].hots", "did you mean 'host'?"),
    ],
)
def test_wrong_machine_is_refused_by_key(machines: list[dict[str, Any]], key: str, said: str) -> None:
    assert said in problems(*machines)[key]


@pytest.mark.parametrize(
    "host", ["gpu1", "gpu-1.example.com", "10.0.0.1", "fe80::1%eth0", "[::1]", "my_host"]
)
def test_host_may_be(host: str) -> None:
    assert section({"host": host}).machine_list[0].host == host


def test_same_machine_for_two_users_is_two() -> None:
    assert len(section({"host": "a", "user": "x"}, {"host": "a", "user": "y"}).machine_list) == 2


def test_check_names_the_keys_that_cannot_work(tmp_path: Path) -> None:
    public = tmp_path / "id.pub"
    public.touch()
    config = section(
        {"host": "a", "sshKeyFile": str(tmp_path / "none")},
        {"host": "b", "password": "${env:TUNE_TEST_NOT_THERE}"},
        {"host": "c", "sshKeyFile": str(public)},
        {"host": "d", "password": f"${{file:{public}}}"},
    )
    with pytest.raises(ConfigError) as caught:
        check_machines(config)
    said = {problem.key: problem.message for problem in caught.value.problems}
    assert "no file" in said["machineList[0].sshKeyFile"]
    assert "TUNE_TEST_NOT_THERE is not set" in said["machineList[1].password"]
    assert "is the public key" in said["machineList[2].sshKeyFile"]
    assert "is empty" in said["machineList[3].password"]


def test_whole_configuration_says_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    said = {problem.key: problem.place for problem in caught.value.problems}
    assert set(said) == {
        "trainingService.machineList[1].sshKeyFile",
        "trainingService.machineList[1].password",
    }
    assert [place.line for place in said.values() if place] == [11, 12]


def test_labels_are_names_of_files_and_never_the_same() -> None:
    machines = [
        MachineConfig(host="gpu1", user="eva"),
        MachineConfig(host="gpu1", user="eva", port=23),
        MachineConfig(host="gpu1", user="eva_"),
        MachineConfig(host="gpu1", user="eva~"),
        MachineConfig(host="gpu1", user="e" * 300),
        MachineConfig(host="fe80::1%eth0", user="eva"),
        MachineConfig(host="gpu1"),
    ]
    labels = [label_of(machine) for machine in machines]
    assert len(set(labels)) == len(labels)
    assert all("/" not in label and len(label) <= 100 for label in labels)
    assert labels[0] == "eva@gpu1:22"
    assert labels[-1] == f"{getpass.getuser()}@gpu1:22"
