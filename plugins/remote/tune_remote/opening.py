"""Getting the host server to run on a machine: connect, find a Python there, send the runtime."""

from __future__ import annotations

import contextlib
import re
import secrets
from dataclasses import dataclass
from pathlib import PurePosixPath

from tune.host import boot
from tune.host.stage2 import PROTOCOL
from tune.host.wire import FrameReader, WireError
from tune_remote.config import MachineConfig
from tune_remote.link import Pipe
from tune_remote.ssh import Channel, ConnectError, Connection, connect

__all__ = ["Opened", "reach"]

_HELLO_S = 60.0  # for the login shell, `preCommand` and a Python on a network disk to come up
_CHUNK = 1 << 16

_ADVICE = {
    "python": "pythonPath names the folder of a Python there, or the Python itself",
    "preCommand": "see what it does there: ssh {machine} '...'",
    "runtime": "`directory` names the folder there that everything is put into",
}


@dataclass(frozen=True)
class Opened:
    """A host server that waits for its first frame.

    Attributes:
        rest: What it has said already.
        python, executable: The version and the path of the Python that it runs in.
    """

    pipe: Pipe
    rest: bytes
    python: str
    executable: str


def reach(machine: MachineConfig) -> Opened:
    """Connect to a machine and start a host server there. Blocks; for a thread.

    Raises:
        ConnectError: It cannot be done; says why, and what to do about it.
    """
    connection = connect(machine)
    try:
        channel = connection.execute(boot.COMMAND)
        channel.settimeout(_HELLO_S)
        pipe = _SshPipe(connection, channel)
        opened = _open(machine, pipe)
        channel.settimeout(None)
    except ConnectError:
        connection.close()
        raise
    except TimeoutError as error:
        connection.close()
        raise ConnectError(
            f"{machine}: its login shell says nothing for {_HELLO_S:.0f} s\n"
            f"  perhaps it waits for somebody to answer a question; see: ssh {machine.host} true"
        ) from error
    except (OSError, EOFError, WireError) as error:
        connection.close()
        raise ConnectError(f"{machine}: {str(error) or type(error).__name__}") from error
    except BaseException:
        connection.close()
        raise
    return opened


def _open(machine: MachineConfig, pipe: _SshPipe) -> Opened:
    nonce = f"tune-{secrets.token_hex(16)}"
    with contextlib.suppress(OSError):  # it has ended, and said why
        pipe.sendall(boot.opening(nonce=nonce, root=machine.directory, **_python(machine)))
    preamble = boot.skip_to(nonce)
    data: bytes | None = None
    while data is None:
        data = preamble.feed(_receive(machine, pipe, preamble))
    reader = FrameReader()
    frames = list(reader.feed(_line(machine, pipe, data, preamble)))
    hello, _ = frames[0]
    if hello["type"] == "failed":
        stage = str(hello.get("stage", ""))
        advice = _ADVICE.get(stage, "").format(machine=machine.host)
        raise ConnectError(f"{machine}: {hello['reason']}" + (f"\n  {advice}" if advice else ""), fatal=True)
    if hello["type"] != "hello" or hello.get("protocol") != PROTOCOL:
        raise ConnectError(f"{machine}: it answers what is not expected: {hello}", fatal=True)
    if not hello["runtime"]:
        pipe.sendall(boot.parcel())
    return Opened(pipe, b"", str(hello["python"]), str(hello["executable"]))


def _line(machine: MachineConfig, pipe: _SshPipe, data: bytes, preamble: boot.Preamble) -> bytes:
    """The first line from there. Nothing follows it: the host waits for an answer or a frame."""
    while not data.endswith(b"\n"):
        data += _receive(machine, pipe, preamble)
    return data


def _receive(machine: MachineConfig, pipe: _SshPipe, preamble: boot.Preamble) -> bytes:
    data = pipe.recv(_CHUNK)
    if not data:
        words = "\n".join(filter(None, (preamble.text.strip(), pipe.last_words())))
        told = f", having said:\n{words}" if words else ""
        raise ConnectError(
            f"{machine}: its login shell ended at once{told}\n"
            f"  a shell that runs commands is needed; see: ssh {machine.host} /bin/sh -c true",
            fatal=True,
        )
    return data


def _python(machine: MachineConfig) -> dict[str, str]:
    """`pythonPath` is a folder, as NNI's, or a Python."""
    path = machine.python_path or ""
    is_python = re.fullmatch(r"(python|pypy)[\d.]*", PurePosixPath(path).name) is not None
    return {
        "python": path if is_python else "",
        "path_prefix": "" if is_python else path,
        "pre_command": machine.pre_command or "",
    }


class _SshPipe:
    """One channel, and the connection that exists for it."""

    def __init__(self, connection: Connection, channel: Channel) -> None:
        self._connection = connection
        self._channel = channel

    def sendall(self, data: bytes) -> None:
        self._channel.sendall(data)

    def recv(self, size: int) -> bytes:
        return self._channel.recv(size)

    def close(self) -> None:
        self._connection.close()

    def last_words(self) -> str:
        words = b""
        while self._channel.recv_stderr_ready() and len(words) < 4096:
            words += self._channel.recv_stderr(4096)
        return words.decode("utf-8", "replace").strip()[-1000:]
