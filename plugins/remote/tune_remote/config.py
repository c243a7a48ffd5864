"""The options of the remote service, and of each of its machines."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tune_core.config.checking import ConfigModel
from tune_core.config.problems import Problem, error_of
from tune_core.config.values import Duration, FilePath, Indices, Secret, Size
from tune_core.config.version1 import Old, Section
from tune_core.errors import ConfigError

__all__ = ["MachineConfig", "RemoteConfig", "check_machines", "label_of", "local_user", "upgraded"]


def _host(text: str) -> str:
    """A name, an address or an alias; nothing that a program could take for an option."""
    if not re.fullmatch(r"[A-Za-z0-9_\[:][A-Za-z0-9_.:%\]-]*", text):
        raise ValueError(f"{text!r} is not a host: a name, an address, or an alias of ~/.ssh/config")
    return text


def _user(text: str) -> str:
    if not re.fullmatch(r"[^\s@:/\\'\"`$;&|<>()*?-][^\s@:'\"`$;&|<>()*?]*", text):
        raise ValueError(f"{text!r} is not the name of a user")
    return text


def _some(machines: list[MachineConfig]) -> list[MachineConfig]:
    if not machines:
        raise ValueError("is empty; one machine is the least")
    return machines


Host = Annotated[str, AfterValidator(_host)]
User = Annotated[str, AfterValidator(_user)]


class MachineConfig(ConfigModel):
    """One machine of `machineList`."""

    host: Host = Field(description="Name, address, or alias of ~/.ssh/config.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="Port of its SSH server; when unset that of ~/.ssh/config, or 22."
    )
    user: User | None = Field(
        None, description="User to log in as; when unset that of ~/.ssh/config, or your own name."
    )
    password: Secret | None = Field(None, description="Password: `${env:NAME}` or `${file:PATH}`.")
    ssh_key_file: FilePath | None = Field(
        None, description="Private key; when unset the agent, ~/.ssh/config and the usual files are asked."
    )
    ssh_passphrase: Secret | None = Field(
        None, description="Passphrase of the key: `${env:NAME}` or `${file:PATH}`."
    )
    check_host_key: bool = Field(
        True, description="Refuse a machine whose host key is not in known_hosts. false trusts any machine."
    )
    proxy_jump: str | None = Field(
        None, description="Machines to go through, `user@host:port`, several with commas; as `ssh -J`."
    )
    use_active_gpu: bool | None = Field(
        None, description="Also take GPUs that other programs compute on; false when unset."
    )
    max_trial_number_per_gpu: Annotated[int, Field(ge=1)] = Field(
        1, description="The most trials of this experiment that share one GPU."
    )
    gpu_indices: Indices | None = Field(
        None, description='The GPUs that trials may use: `0`, `[0, 1]` or `"0,1"`; all when unset.'
    )
    trial_concurrency: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The most trials at once on this machine; no limit of its own when unset."
    )
    python_path: str | None = Field(
        None, description="Folder to put in front of PATH there, or the path of a Python 3.8 or newer."
    )
    pre_command: str | None = Field(
        None, description="Line of shell to run there first, such as `source activate base`."
    )
    directory: str = Field("~/tune-trials", description="Folder there that holds all that is put there.")

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> list[Problem]:
        return list(_conflicts(data))

    def __str__(self) -> str:
        """As a person names it; not the name that ~/.ssh/config may make of it."""
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return f"{self.user + '@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"


def _conflicts(data: Mapping[str, Any]) -> Iterator[Problem]:
    if data.get("sshPassphrase") is not None and data.get("sshKeyFile") is None:
        yield Problem(("sshPassphrase",), "opens sshKeyFile, which is not given")
    for key in ("directory", "pythonPath", "preCommand", "proxyJump"):
        value = data.get(key)
        if isinstance(value, str) and (not value.strip() or "\0" in value):
            yield Problem((key,), f"{value!r} is empty" if not value.strip() else "holds a zero byte")
    directory = data.get("directory")
    if isinstance(directory, str) and directory.strip() and not directory.startswith(("/", "~")):
        yield Problem(
            ("directory",), f"{directory!r} is relative\n  start it with / or ~, like ~/tune-trials"
        )
    jump = data.get("proxyJump")
    if isinstance(jump, str) and jump.strip() and jump.lower() != "none":
        for hop in jump.split(","):
            if not re.fullmatch(r"(ssh://)?([^\s@]+@)?[A-Za-z0-9_\[][A-Za-z0-9_.:%\]-]*", hop.strip()):
                yield Problem(("proxyJump",), f"{hop.strip()!r} is not a machine: user@host:port")


class RemoteConfig(ConfigModel):
    """`trainingService` with `platform: remote`."""

    platform: str = Field("remote", description="`remote`.")
    machine_list: Annotated[list[MachineConfig], AfterValidator(_some)] = Field(
        description="The machines that run trials."
    )
    lease: Duration = Field(
        40 * 60, description="Trials that hear from no manager for this long are ended by their machine."
    )
    lost_after: Duration = Field(
        10 * 60,
        description="A machine that is away for this long has lost its trials, if another one is there.",
    )
    kill_grace: Annotated[float, Field(ge=0)] = Field(
        10, description="Seconds between SIGTERM and SIGKILL when a trial is ended."
    )
    output_limit: Annotated[int, Field(ge=1)] = Field(
        50, description="MiB kept of a trial's standard output, and of its standard error: head and tail."
    )
    code_size_limit: Size = Field(300, description="The largest code directory that is sent to machines.")
    reuse_mode: bool | None = Field(None, description="NNI's; has no effect here.")

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> list[Problem]:
        machines = data.get("machineList")
        seen: dict[tuple[Any, ...], int] = {}
        problems = []
        for index, machine in enumerate(machines if isinstance(machines, list) else ()):
            if not isinstance(machine, MachineConfig | Mapping):
                continue
            name = _name(machine)
            if name in seen:
                where = f"machineList[{seen[name]}]"
                problems.append(
                    Problem(
                        ("machineList", index, "host"),
                        f"{name[1]} is {where} again\n  trialConcurrency says how many trials a machine runs",
                    )
                )
            seen.setdefault(name, index)
        return problems


def _name(machine: MachineConfig | Mapping[str, Any]) -> tuple[str, str, int]:
    """User, host and port, with the defaults that hold when ~/.ssh/config has no others."""
    if isinstance(machine, MachineConfig):
        machine = {"user": machine.user, "host": machine.host, "port": machine.port}
    folded = {str(key).lower(): value for key, value in machine.items()}
    user, host, port = (folded.get(key) for key in ("user", "host", "port"))
    return str(user or local_user()), str(host).lower(), port if isinstance(port, int) else 22


def local_user() -> str:
    """Who runs this, also where the system has no name for them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def label_of(machine: MachineConfig) -> str:
    """A name for `machine` on disk and in identities: the same in every run, another for each machine.

    >>> label_of(MachineConfig(host="gpu1.example.com", user="eva", port=22))
    'eva@gpu1.example.com:22'
    """
    user, host, port = _name(machine)
    plain = f"{user}@{host}:{port}"
    label = re.sub(r"[^A-Za-z0-9_.@:-]", "_", plain)
    if label == plain and len(label) <= 100:
        return label
    return f"{label[:80]}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"  # two must not become one


_IN_VERSION_1 = {
    "ip": "host",
    "port": "port",
    "username": "user",
    "passwd": "password",
    "sshKeyPath": "sshKeyFile",
    "passphrase": "sshPassphrase",
    "gpuIndices": "gpuIndices",
    "maxTrialNumPerGpu": "maxTrialNumberPerGpu",
    "useActiveGpu": "useActiveGpu",
    "pythonPath": "pythonPath",
    "preCommand": "preCommand",
}


def upgraded(old: Old) -> Section:
    """This section, from a configuration of NNI 1."""
    section = old.section("remoteConfig").move({"reuse": "reuseMode"})
    machines = [machine.move(_IN_VERSION_1) for machine in old.sections("machineList")]
    section.put("machineList", machines or None, old.path("machineList"))
    return section


def check_machines(config: RemoteConfig) -> None:
    """Refuse what can be seen to fail from here, without the network.

    Raises:
        ConfigError: A key file that cannot be read, or a secret that is not there; names the key.
    """
    problems = [
        problem.within(("machineList", index))
        for index, machine in enumerate(config.machine_list)
        for problem in _unready(machine)
    ]
    if problems:
        raise error_of(problems)


def _unready(machine: MachineConfig) -> Iterator[Problem]:
    path = machine.ssh_key_file
    if path is not None:
        if not path.is_file():
            yield Problem(("sshKeyFile",), f"no file {str(path)!r}")
        elif not os.access(path, os.R_OK):
            yield Problem(("sshKeyFile",), f"{str(path)!r} may not be read by you")
        elif path.suffix == ".pub":
            yield Problem(
                ("sshKeyFile",), f"{path.name!r} is the public key\n  name the private one: {path.stem}"
            )
    for key, secret in (("password", machine.password), ("sshPassphrase", machine.ssh_passphrase)):
        try:
            empty = secret is not None and not secret.reveal()
        except ConfigError as err:
            yield Problem((key,), str(err))
        else:
            if empty and secret is not None:
                yield Problem((key,), f"{secret.reference} is empty")
