"""The way to a machine: what ~/.ssh/config says of it, and through which other machines it leads."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tune_core.config.values import Secret
from tune_remote.config import MachineConfig, local_user

__all__ = ["Hop", "RouteError", "route_to"]

_SYSTEM = Path("/etc/ssh")
_DEEPEST = 16  # as OpenSSH's limit of nested Include


class RouteError(ValueError):
    """The configuration of SSH leads nowhere."""


@dataclass(frozen=True)
class Hop:
    """One SSH server on the way, the last of which is the machine.

    Attributes:
        name: As it was written, for a person.
        known_as: What known_hosts calls it.
        key_file: The one key to use; None leaves it to what follows.
        spare_key: A key to try after all others: the machine's, for servers on the way to it.
        identity_files: Keys that ~/.ssh/config names.
        agent: Path of the agent's socket; None when there is none to ask.
        proxy_command: A command whose standard input and output is the connection.
    """

    name: str
    host: str
    port: int
    user: str
    known_as: str
    known_hosts: tuple[Path, ...]
    check_host_key: bool = True
    key_file: Path | None = None
    spare_key: Path | None = None
    passphrase: Secret | None = None
    password: Secret | None = None
    identity_files: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    proxy_command: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}"


def route_to(machine: MachineConfig) -> list[Hop]:
    """The servers to connect to in turn, each through the one before.

    Raises:
        RouteError: ~/.ssh/config cannot be understood, or leads in a circle.
    """
    settings = _Settings(machine)
    last, jump = settings.machine()
    return [*_before(settings, jump, [last.name]), last]


def _before(settings: _Settings, jump: str, seen: list[str]) -> list[Hop]:
    """The way that `jump` describes: `a,b` is a, then b through a."""
    if not jump or jump.lower() == "none":
        return []
    hops: list[Hop] = []
    for text in jump.split(","):
        name, port, user = _parse(text.strip())
        if name in seen:
            raise RouteError(f"ProxyJump leads in a circle: {' -> '.join([*reversed(seen), name])}")
        each, own_jump = settings.hop(name, port, user)
        if not hops:  # only the first is reached as its own section says
            hops += _before(settings, own_jump, [*seen, name])
        hops.append(each)
    return hops


def _parse(text: str) -> tuple[str, int | None, str | None]:
    """Host, port and user of `[ssh://][user@]host[:port]`."""
    match = re.fullmatch(r"(?:ssh://)?(?:(.+)@)?(\[[^\]]+\]|[^\s:@-][^\s:@]*)(?::(\d+))?/?", text)
    if match is None:
        raise RouteError(f"ProxyJump: {text!r} is not a machine: user@host:port")
    return match[2].strip("[]"), int(match[3]) if match[3] else None, match[1]


class _Settings:
    """~/.ssh/config and /etc/ssh/ssh_config, the first of which counts."""

    def __init__(self, machine: MachineConfig) -> None:
        from paramiko import SSHConfig  # here because it takes a moment
        from paramiko.ssh_exception import ConfigParseError

        self._machine = machine
        self._home = Path.home()
        lines: list[str] = []
        for path in (self._home / ".ssh" / "config", _SYSTEM / "ssh_config"):
            lines += ["Host *", *_with_included(path)]
        try:
            self._config = SSHConfig.from_text("\n".join(lines))
        except (ConfigParseError, ValueError) as err:
            raise RouteError(f"~/.ssh/config: {err}") from err

    def machine(self) -> tuple[Hop, str]:
        """The machine itself, and the ProxyJump to it."""
        asked = self._machine
        hop, jump = self.hop(asked.host, asked.port, asked.user)
        hop = replace(
            hop,
            check_host_key=asked.check_host_key,
            key_file=asked.ssh_key_file,
            spare_key=None,
            password=asked.password,
        )
        if asked.proxy_jump is not None:
            return replace(hop, proxy_command=None), asked.proxy_jump
        return hop, jump

    def hop(self, name: str, port: int | None, user: str | None) -> tuple[Hop, str]:
        """The server that is called `name`, and the ProxyJump to it."""
        name = name.strip("[]")
        found = self._look_up(name)
        host = str(found.get("hostname", name))
        command = str(found.get("proxycommand", ""))
        known = str(found.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"))
        system = str(
            found.get("globalknownhostsfile", f"{_SYSTEM}/ssh_known_hosts {_SYSTEM}/ssh_known_hosts2")
        )
        files = [path for path in found.get("identityfile", ()) if path.lower() != "none"]
        hop = Hop(
            name=name,
            host=host,
            port=port or _port(found.get("port", "22"), name),
            user=user or str(found.get("user", "")) or local_user(),
            known_as=str(found.get("hostkeyalias", host)),
            known_hosts=tuple(self._expanded(path) for path in shlex.split(f"{known} {system}")),
            spare_key=self._machine.ssh_key_file,
            passphrase=self._machine.ssh_passphrase,
            identity_files=tuple(self._expanded(path) for path in files),
            identities_only=str(found.get("identitiesonly", "no")).lower() == "yes",
            agent=self._agent(str(found.get("identityagent", "SSH_AUTH_SOCK"))),
            proxy_command=command if command and command.lower() != "none" else None,
        )
        return hop, "" if hop.proxy_command else str(found.get("proxyjump", ""))

    def _look_up(self, name: str) -> dict[str, Any]:
        try:
            return dict(self._config.lookup(name))
        except Exception as err:  # `Match exec` needs a package that is not there, and more such
            raise RouteError(f"~/.ssh/config: {type(err).__name__}: {err}") from err

    def _expanded(self, path: str) -> Path:
        text = path.replace("%d", str(self._home))
        return self._home / text[2:] if text.startswith("~/") else Path(text)

    def _agent(self, setting: str) -> str | None:
        if setting.lower() == "none":
            return None
        if setting == "SSH_AUTH_SOCK" or not setting:
            return os.environ.get("SSH_AUTH_SOCK")
        if setting.startswith("$"):
            return os.environ.get(setting.strip("${}"))
        return str(self._expanded(setting))


def _port(text: str, name: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise RouteError(f"~/.ssh/config: {text!r} is no port, of {name}")
    return int(text)


def _with_included(path: Path, depth: int = 0) -> Iterator[str]:
    """The lines of a configuration, those that it includes in their place.

    Unlike in OpenSSH, a `Host` within an included file holds also when the one around `Include` does not.
    """
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return
    base = _SYSTEM if path.is_relative_to(_SYSTEM) else Path.home() / ".ssh"
    section = "Host *"
    for line in text.splitlines():
        words = line.replace("=", " ", 1).split(None, 1)
        keyword = words[0].lower() if words else ""
        if keyword != "include" or len(words) == 1:
            if keyword in {"host", "match"}:
                section = line
            yield line
            continue
        if depth == _DEEPEST:
            raise RouteError(f"{path}: Include goes deeper than {_DEEPEST} files")
        for pattern in shlex.split(words[1]):
            absolute = base / Path(pattern).expanduser()
            for found in sorted(Path("/").glob(str(absolute.relative_to("/")))):
                yield from _with_included(found, depth + 1)
                yield section  # what the file began has ended with it
