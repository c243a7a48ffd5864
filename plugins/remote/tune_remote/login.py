"""Logging in to an SSH server: which keys and passwords are shown to it, and what its refusal means."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tune_core.errors import ConfigError
from tune_remote.route import Hop

if TYPE_CHECKING:
    from paramiko import PKey, Transport

__all__ = ["LoginError", "log_in"]

_TOUCH_S = 20.0  # for somebody to confirm the use of a key of the agent
_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")  # in ~/.ssh; those on hardware are the agent's business


class LoginError(Exception):
    """The server lets nobody in with what there is; says why, and what to do about it."""


def log_in(transport: Transport, hop: Hop) -> None:
    """Show the server of `hop` a key after another, then the password.

    A key file or a password that the configuration names is all that is shown; if it names neither,
    what the agent holds, what ~/.ssh/config names, and the usual files are.

    Raises:
        LoginError: None was taken, or the one that was named cannot be used.
        paramiko.SSHException, OSError, EOFError: The connection is broken.
    """
    login = _Login(transport, hop)
    try:
        login.run()
    finally:
        login.close()


@dataclass
class _Login:
    transport: Transport
    hop: Hop
    refused: list[str] = field(default_factory=list)  # keys, for a person
    unusable: list[str] = field(default_factory=list)
    agent: _Agent | None = None

    def close(self) -> None:
        if self.agent is not None:
            self.agent.close()

    def run(self) -> None:
        from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType

        password = self._password()
        wanted = None  # by the server, beyond the key that it took
        if self.hop.key_file is not None or password is None:
            for name, key in self._keys():
                try:
                    wanted = self.transport.auth_publickey(self.hop.user, key)
                except BadAuthenticationType as err:
                    raise LoginError(self._not_taken("keys", err.allowed_types)) from err
                except AuthenticationException as err:
                    self.refused.append(name)
                    if not self.transport.is_active():
                        raise LoginError(self._too_many()) from err
                    continue
                break
            if wanted == []:
                return
        if password is None:
            raise LoginError(self._more_wanted(wanted) if wanted else self._no_key_left())
        try:
            wanted = self.transport.auth_password(self.hop.user, password)
        except BadAuthenticationType as err:
            raise LoginError(self._not_taken("passwords", err.allowed_types)) from err
        except AuthenticationException as err:
            raise LoginError(self._wrong_password()) from err
        if wanted:
            raise LoginError(self._more_wanted(wanted))

    def _password(self) -> str | None:
        try:
            return self.hop.password.reveal() if self.hop.password else None
        except ConfigError as err:
            raise LoginError(f"password: {err}") from err

    # Which keys there are

    def _keys(self) -> Iterator[tuple[str, PKey]]:
        if self.hop.key_file is not None:
            yield str(self.hop.key_file), self._named_key(self.hop.key_file)
            return
        only = [blob for path in self.hop.identity_files if (blob := _public_part(path))]
        for key in self._agent_keys():
            if not self.hop.identities_only or key.asbytes() in only:
                yield f"{_comment(key)} of the agent", key
        held = {key.asbytes() for key in self._agent_keys()}
        usual = [Path.home() / ".ssh" / name for name in _USUAL]
        for path in dict.fromkeys(self.hop.identity_files or usual):
            if not path.is_file() or _public_part(path) in held:
                continue
            try:
                yield str(path), _load(path)
            except LoginError as err:
                self.unusable.append(str(err).splitlines()[0])
        if self.hop.spare_key is not None:
            yield str(self.hop.spare_key), self._named_key(self.hop.spare_key)

    def _named_key(self, path: Path) -> PKey:
        """The key that the configuration names; the agent may hold it when its passphrase is not given."""
        try:
            passphrase = self.hop.passphrase.reveal() if self.hop.passphrase else None
        except ConfigError as err:
            raise LoginError(f"sshPassphrase: {err}") from err
        try:
            return _load(path, passphrase)
        except _LockedError:
            blob = _public_part(path)
            for key in self._agent_keys():
                if key.asbytes() == blob:
                    return key
            raise

    def _agent_keys(self) -> Sequence[PKey]:
        if self.agent is None:
            self.agent = _Agent(self.hop.agent)
            if self.agent.error:
                self.unusable.append(f"the agent at {self.hop.agent}: {self.agent.error}")
        return self.agent.keys

    # What a refusal means

    def _wrong_password(self) -> str:
        return (
            f"the password is wrong for user {self.hop.user!r}, or this user may not log in\n"
            f"  see whether it works by hand: {self._by_hand()}"
        )

    def _not_taken(self, what: str, allowed: Sequence[str]) -> str:
        also = {"publickey": "a key (sshKeyFile)", "password": "a password (password)"}
        takes = " or ".join(dict.fromkeys(also.get(each, each) for each in allowed)) or "nothing else either"
        return f"the server takes no {what} from user {self.hop.user!r}\n  it takes: {takes}"

    def _more_wanted(self, wanted: Sequence[str]) -> str:
        words = ", ".join("password" if each == "keyboard-interactive" else each for each in wanted)
        return f"the server took what it was shown, and wants more: {words}"

    def _too_many(self) -> str:
        return (
            f"the server closed the connection after {len(self.refused)} keys that it did not want\n"
            "  name the right one: sshKeyFile, or IdentityFile and IdentitiesOnly in ~/.ssh/config"
        )

    def _no_key_left(self) -> str:
        hop, lines = self.hop, []
        if hop.key_file is not None:
            return (
                f"the key {hop.key_file} is refused for user {hop.user!r}\n"
                f"  its public part must be in ~/.ssh/authorized_keys there: "
                f"ssh-copy-id -i {hop.key_file} -p {hop.port} {hop.user}@{hop.host}"
            )
        if self.refused:
            lines.append(f"user {hop.user!r} is refused with every key there is: {', '.join(self.refused)}")
        else:
            lines.append(f"there is no key to log in with as user {hop.user!r}")
        lines += [f"not usable: {each}" for each in dict.fromkeys(self.unusable)]
        lines.append("give sshKeyFile (sshPassphrase if it has one) or password, or load a key: ssh-add")
        return "\n  ".join(lines)

    def _by_hand(self) -> str:
        return f"ssh -p {self.hop.port} {self.hop.user}@{self.hop.host}"


class _LockedError(LoginError):
    """A key file has a passphrase, which is not given."""


def _load(path: Path, passphrase: str | None = None) -> PKey:
    """The private key in a file.

    Raises:
        LoginError: It cannot be used.
    """
    from paramiko import PKey

    try:
        # Bytes, whatever its annotation says: they go to a library that takes nothing else.
        return PKey.from_path(path, passphrase.encode() if passphrase else None)  # type: ignore[arg-type]
    except OSError as err:
        raise LoginError(f"the key {path} cannot be read: {err.strerror or err}") from err
    except TypeError as err:  # whether there is a passphrase, and whether one is given, do not agree
        if passphrase:
            return _load(path)
        raise _LockedError(
            f"the key {path} has a passphrase, which is not given\n"
            "  give it as sshPassphrase: ${env:NAME}, or load the key into the agent: ssh-add"
        ) from err
    except Exception as err:  # each library below has exceptions of its own
        if passphrase and _is_private_key(path):
            raise LoginError(f"sshPassphrase is not the passphrase of the key {path}") from err
        raise LoginError(f"{path} holds no key that can be used: {str(err) or type(err).__name__}") from err


def _is_private_key(path: Path) -> bool:
    return re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----", path.read_bytes()) is not None


def _public_part(path: Path) -> bytes | None:
    """The public half of a key file, which takes no passphrase: from its .pub, or the file itself."""
    for each in (path.with_name(path.name + ".pub"), path):
        try:
            text = each.read_text(errors="replace")
            if each.suffix == ".pub":
                return base64.b64decode(text.split()[1])
            if "BEGIN OPENSSH PRIVATE KEY" in text:
                return _public_of_openssh(base64.b64decode("".join(text.split("-----")[2].split())))
        except (OSError, ValueError, IndexError):
            continue
    return None


def _public_of_openssh(data: bytes) -> bytes:
    """OpenSSH's PROTOCOL.key: magic, cipher, kdf, its options, number of keys, then the public key."""
    from paramiko import Message

    message = Message(data.removeprefix(b"openssh-key-v1\0"))
    for _ in range(3):
        message.get_binary()
    message.get_int()
    return message.get_binary()


class _Agent:
    """The keys that the agent at a socket holds; they sign through it, until it is closed."""

    def __init__(self, path: str | None) -> None:
        from paramiko.agent import AgentSSH
        from paramiko.ssh_exception import SSHException

        self.keys: Sequence[PKey] = ()
        self.error = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TOUCH_S)
        if path is None:
            return
        try:
            self._socket.connect(path)
            agent = AgentSSH()
            agent._connect(self._socket)  # type: ignore[attr-defined]  # in public it knows one agent only
            self.keys = agent.get_keys()
        except (OSError, SSHException) as err:
            self.error = str(err)

    def close(self) -> None:
        self._socket.close()


def _comment(key: PKey) -> str:
    return str(getattr(key, "comment", "")) or key.get_name()
