"""A connection to a machine over SSH, and why there is none.

All of this blocks and is for threads. paramiko is imported when it is first needed.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import logging
import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, TypeAlias

from tune_core.errors import TrainingServiceError
from tune_remote.config import MachineConfig
from tune_remote.known_hosts import KnownHosts, fingerprint
from tune_remote.login import LoginError, log_in
from tune_remote.route import Hop, RouteError, route_to

if TYPE_CHECKING:
    import paramiko

__all__ = ["Channel", "ConnectError", "Connection", "connect"]

Channel: TypeAlias = "paramiko.Channel"

DEADLINE_S = 20.0  # for the way there and the login
_DEAD_AFTER_MS = 10_000  # with something sent and not acknowledged
_LOG = "tune_remote.paramiko"
logging.getLogger(_LOG).setLevel(logging.CRITICAL)  # it logs, with tracebacks, what it raises as well


class ConnectError(TrainingServiceError):
    """A machine cannot be reached, or does not let us in.

    Attributes:
        fatal: Somebody has to do something first; it will not pass by itself.
    """

    def __init__(self, reason: str, *, fatal: bool = False) -> None:
        super().__init__(reason)
        self.fatal = fatal


class Connection:
    """A machine's SSH server with us logged in, and those on the way to it."""

    def __init__(self, machine: MachineConfig) -> None:
        self.description = str(machine)
        self._transports: list[paramiko.Transport] = []
        self._command: _ProxyCommand | None = None

    def execute(self, command: str) -> Channel:
        """Have the login shell run `command`: the channel is its standard input, output and error.

        Raises:
            ConnectError: The server allows no more sessions, or the connection is gone.
        """
        from paramiko.ssh_exception import ChannelException, SSHException

        try:
            channel = self._transports[-1].open_session(timeout=DEADLINE_S)
            channel.exec_command(command)
        except ChannelException as err:
            raise ConnectError(
                f"{self.description}: its SSH server allows no further session ({err.text})\n"
                "  MaxSessions of its sshd_config limits them; one is needed"
            ) from err
        except (SSHException, EOFError, OSError) as err:
            raise ConnectError(f"{self.description}: the connection is lost: {_said(err)}") from err
        return channel

    def close(self) -> None:
        """End it, and what runs through it: reading and writing its channels ends at once."""
        for transport in reversed(self._transports):
            transport.close()
        if self._command is not None:
            self._command.close()

    # How it comes about

    def open(self, hops: list[Hop]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        for number, hop in enumerate(hops):
            through = hop.name if number < len(hops) - 1 else ""
            with self._explained(hop, through):
                sock = self._reach(hop, deadline)
                transport = _greet(sock, hop, deadline)
                self._transports.append(transport)
                transport.auth_timeout = _left(deadline)
                log_in(transport, hop)

    def _reach(self, hop: Hop, deadline: float) -> paramiko.transport._SocketLike:
        """A stream to the server of `hop`: through the one before, by a command, or straight."""
        if self._transports:
            return self._transports[-1].open_channel(
                "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=_left(deadline)
            )
        if hop.proxy_command is not None:
            self._command = _ProxyCommand(hop.proxy_command)
            return self._command.socket
        return _dial(hop, deadline)

    @contextlib.contextmanager
    def _explained(self, hop: Hop, through: str) -> Iterator[None]:
        """Turn what goes wrong on the way to one server into a ConnectError that names the machine."""
        from paramiko.ssh_exception import ChannelException, SSHException

        def error(reason: str, *, fatal: bool = False) -> ConnectError:
            place = f"through {through}: " if through else ""
            return ConnectError(f"{self.description}: {place}{reason}", fatal=fatal)

        try:
            yield
        except ConnectError as err:
            raise error(str(err), fatal=err.fatal) from err.__cause__
        except LoginError as err:
            raise error(str(err), fatal=True) from err
        except ChannelException as err:
            raise error(_not_forwarded(err, hop)) from err
        except TimeoutError as err:
            raise error(f"no answer from {hop.host} port {hop.port} within {DEADLINE_S:.0f} s") from err
        except (SSHException, EOFError, OSError) as err:
            words = self._command.last_words() if self._command is not None else ""
            raise error(_broken(err, hop, words)) from err


def connect(machine: MachineConfig) -> Connection:
    """Connect and log in. Takes twenty seconds at most.

    Raises:
        ConnectError: Says what is wrong, and what to do about it.
    """
    try:
        hops = route_to(machine)
    except RouteError as err:
        raise ConnectError(f"{machine}: {err}", fatal=True) from err
    connection = Connection(machine)
    try:
        connection.open(hops)
    except BaseException:
        connection.close()
        raise
    return connection


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _dial(hop: Hop, deadline: float) -> socket.socket:
    """A TCP connection that notices in ten seconds that the other end is gone."""
    try:
        addresses = socket.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM)
    except socket.gaierror as err:
        raise ConnectError(
            f"no machine is called {hop.host!r}: {err.strerror}\n"
            "  is it spelt as in ~/.ssh/config or by its full name, and is the network there?",
            fatal=err.errno != socket.EAI_AGAIN,
        ) from err
    failed: OSError = TimeoutError()
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(deadline) / (len(addresses) - number))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
        except OSError as err:
            sock.close()
            failed = err
            continue
        return sock
    if isinstance(failed, ConnectionRefusedError):
        raise ConnectError(
            f"nothing listens on {hop.host} port {hop.port}\n"
            "  is an SSH server running there, and is the port right?"
        ) from failed
    if failed.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        raise ConnectError(
            f"there is no way to {hop.host}: {failed.strerror}\n  is it switched on, and the network there?"
        ) from failed
    raise failed


def _greet(sock: paramiko.transport._SocketLike, hop: Hop, deadline: float) -> paramiko.Transport:
    """An encrypted connection to a server that is who it should be."""
    import paramiko

    known = KnownHosts(hop.known_hosts, hop.known_as, hop.port)
    transport = paramiko.Transport(sock)
    transport.set_log_channel(_LOG)
    try:
        transport.banner_timeout = transport.handshake_timeout = _left(deadline)
        _prefer(transport, known.kinds)
        transport.start_client(timeout=_left(deadline))
        _left(deadline)  # it ends without a word when its time is over
        key = transport.get_remote_server_key()
        if hop.check_host_key:
            _check_host_key(known, hop, key.get_name(), key.asbytes())
    except BaseException:
        transport.close()
        raise
    return transport


def _prefer(transport: paramiko.Transport, kinds: list[str]) -> None:
    """Ask for a host key of a type that is known, before others."""
    options = transport.get_security_options()
    names = [name for kind in kinds for name in _algorithms(kind) if name in options.key_types]
    options.key_types = tuple(dict.fromkeys([*names, *options.key_types]))


def _algorithms(kind: str) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa") if kind == "ssh-rsa" else (kind,)


def _check_host_key(known: KnownHosts, hop: Hop, kind: str, blob: bytes) -> None:
    if known.knows(blob):
        return
    name = hop.known_as if hop.port == 22 else f"[{hop.known_as}]:{hop.port}"
    shown = f"it shows {kind} {fingerprint(blob)}"
    if revoked := known.revoked(blob):
        raise ConnectError(f"its host key is revoked by {revoked.place}\n  {shown}", fatal=True)
    if other := known.other(kind):
        raise ConnectError(
            "its host key has changed: it was set up anew, or another machine answers in its place\n"
            f"  {shown}\n  known is {other.kind} {fingerprint(other.blob)}, by {other.place}\n"
            f"  if it was set up anew: ssh-keygen -R {shlex.quote(name)} "
            f"-f {shlex.quote(other.place.rpartition(':')[0])}",
            fatal=True,
        )
    line = f"{name} {kind} {base64.b64encode(blob).decode()}"
    raise ConnectError(
        f"its host key is not known\n  {shown}\n"
        f"  if that is its own: echo {shlex.quote(line)} >> {shlex.quote(str(hop.known_hosts[0]))}\n"
        "  or, to trust whichever machine answers: checkHostKey: false",
        fatal=True,
    )


def _not_forwarded(err: paramiko.ChannelException, hop: Hop) -> str:
    if err.code == 1:
        return (
            f"the machine before it may not open connections ({err.text})\n"
            "  AllowTcpForwarding in its sshd_config allows that"
        )
    return f"the machine before it does not reach {hop.host} port {hop.port} ({err.text})"


def _broken(err: Exception, hop: Hop, words: str) -> str:
    from paramiko.ssh_exception import IncompatiblePeer

    if words:
        return f"ProxyCommand failed: {words}"
    if isinstance(err, IncompatiblePeer):
        return f"no encryption that both sides have: {err}"
    if "banner" in str(err) or isinstance(err, EOFError | ConnectionResetError):
        return (
            f"{hop.host} port {hop.port} closed the connection before it said who it is\n"
            "  its SSH server has too many logins under way (MaxStartups) or refuses this address, "
            "or it is no SSH server"
        )
    return f"the connection is broken: {_said(err)}"


def _said(err: BaseException) -> str:
    return str(err) or type(err).__name__


class _ProxyCommand:
    """A command whose standard input and output is the connection, as a socket."""

    def __init__(self, command: str) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self.socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for the manager
            )

    def last_words(self) -> str:
        """The last line of what it said on standard error, if it has failed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.5)
        if not self._process.returncode:
            return ""
        self._errors.seek(0, os.SEEK_SET)
        lines = self._errors.read(65536).decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else f"it ended with status {self._process.returncode}"

    def close(self) -> None:
        self.socket.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
