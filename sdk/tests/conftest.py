"""A host as tests of the host server see it: a folder, and connections to servers in it."""

from __future__ import annotations

import compileall
import hashlib
import os
import selectors
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from tune.host import boot, stage2
from tune.host.removing import remove
from tune.host.wire import PIECE, FrameReader, encode

NONCE = "nonce-4711"
FUTURE = "from __future__ import annotations\n"
TIMEOUT_S = 90.0


class Connection:
    """The manager's end of a pipe to a host server.

    It is started as through a login shell when `shell` is given, otherwise in the way that this ends
    with, which is quicker.

    Args:
        clock: A file with the seconds that the server's leases go by, in place of the machine's clock.
    """

    def __init__(self, root: Path, shell: str = "", clock: Path | None = None, **opening: str) -> None:
        opening = {"python": sys.executable, **opening}
        environment = {name: opening.pop(name) for name in ("HOME", "PATH") if name in opening}
        command = [shell, "-c", opening.pop("command", boot.COMMAND)]
        if not shell:
            text = f"print({NONCE!r}, flush=True)\n{Path(stage2.__file__).read_text()}".replace(FUTURE, "")
            if clock is not None:
                read = f"lambda _: float(open({str(clock)!r}).read())"
                text = f"import time; time.clock_gettime = {read}\n{text}"
            command = [sys.executable, "-I", "-X", "utf8", "-c", FUTURE + text, str(root)]
            command.append(boot.runtime_archive()[0])
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.received: list[tuple[dict[str, Any], bytes]] = []
        self.is_closed = False  # by the other end
        self.asks_for_more = True  # when records have come
        self._reader = FrameReader()
        self._preamble: boot.Preamble | None = boot.skip_to(NONCE)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.stdout, selectors.EVENT_READ)
        if shell:
            self.write(boot.opening(nonce=NONCE, root=str(root), **opening))

    @property
    def stdout(self) -> Any:
        return self.process.stdout

    @property
    def greeting(self) -> str:
        assert self._preamble is not None
        return self._preamble.text

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said will tell

    def send(self, kind: str, body: bytes = b"", **fields: Any) -> None:
        self.write(encode({"type": kind, **fields}, body))

    def read(self, timeout_s: float = 0.02) -> None:
        """Take in what comes within this time."""
        if self.is_closed:
            time.sleep(min(timeout_s, 0.005))
        elif self._selector.select(timeout_s):
            data = os.read(self.stdout.fileno(), 1 << 18)
            self.is_closed = not data
            rest: bytes | None = data
            if self._preamble is not None:
                rest = self._preamble.feed(data)
                if rest is not None:
                    self._preamble = None
            for message, body in self._reader.feed(rest or b""):
                self.received.append((message, body))
                if message["type"] == "records" and self.asks_for_more:
                    self.send("more", key=message["key"])

    def until(self, condition: Any, timeout_s: float = TIMEOUT_S) -> Any:
        deadline = time.monotonic() + timeout_s
        while not condition():
            said = [message for message, _ in self.received][-5:]
            assert time.monotonic() < deadline, f"in vain for {timeout_s} s; last: {said}"
            self.read()
        return condition()

    def find(self, kind: str, **fields: Any) -> list[tuple[dict[str, Any], bytes]]:
        """What has come of this type, with these fields."""
        return [
            (message, body)
            for message, body in self.received
            if message["type"] == kind and all(message.get(name) == fields[name] for name in fields)
        ]

    def wait(self, *kinds: str, **fields: Any) -> dict[str, Any]:
        """Take the first frame of one of these types with these fields, once it has come."""
        found = self.until(
            lambda: (
                next((item for kind in kinds for item in self.find(kind, **fields)), None)
                or (self.is_closed and "closed")
            )
        )
        assert found != "closed", f"closed, having said {self.received} and {self.errors()}"
        self.received.remove(found)
        return dict(found[0])

    def errors(self) -> str:
        """What was said on standard error, of a server that has ended."""
        assert self.process.stderr is not None
        self.process.wait(TIMEOUT_S)
        return self.process.stderr.read().decode()

    def hello(self) -> dict[str, Any]:
        """Wait for the host, and send the runtime if it has none."""
        hello = self.wait("hello", "failed")
        if hello["type"] == "hello" and not hello["runtime"]:
            self.write(boot.parcel())
        return hello

    def is_served(self) -> bool:
        """Whether a server answers; waits for the answer."""
        self.send("list", id="served?")
        return bool(self.wait("listed", "failed", "error")["type"] == "listed")

    def open(self, **fields: Any) -> dict[str, Any]:
        self.hello()
        return self.open_only(**fields)

    def open_only(self, **fields: Any) -> dict[str, Any]:
        terms = {"lease_s": 600, "grace_s": 0.5, "output_limit": 1 << 20, **fields}
        self.send("open", **{"experiment": "exp", "host": "here", "platform": "remote", **terms})
        return self.wait("opened", "error")

    def start(self, trial: str, command: str, **fields: Any) -> dict[str, Any]:
        """Bring a trial to its gate; returns `gate` or `unstarted`."""
        defaults = {"sequence": 0, "parameters": {}, "environment": {}, "gpus": None, "code": NO_CODE}
        self.send("start", key=[trial, 0], command=command, **{**defaults, **fields})
        return self.wait("gate", "unstarted", key=[trial, 0])

    def run(self, trial: str, command: str, **fields: Any) -> dict[str, Any]:
        """Start a trial and let it run; returns its identity."""
        gate = self.start(trial, command, **fields)
        assert gate["type"] == "gate", gate
        self.send("go", key=[trial, 0])
        return dict(gate["identity"])

    def ended(self, trial: str) -> dict[str, Any]:
        return self.wait("ended", key=[trial, 0])

    def provide(self, manifest: bytes, digest: str, files: dict[int, bytes] | None = None) -> list[int]:
        """Offer code and send what is asked for; returns that."""
        self.announce(manifest, digest)
        answer = self.wait("code", "code_failed", digest=digest)
        for index in answer["missing"]:
            self.send_file(digest, index, (files or {})[index])
        if answer["missing"]:
            self.wait("ready", digest=digest)
        return list(answer["missing"])

    def announce(self, manifest: bytes, digest: str) -> None:
        for start in range(0, len(manifest), PIECE):
            is_last = start + PIECE >= len(manifest)
            self.send("code", manifest[start : start + PIECE], digest=digest, last=is_last)

    def send_file(self, digest: str, index: int, content: bytes) -> None:
        for start in range(0, len(content), PIECE):
            is_last = start + PIECE >= len(content)
            self.send("file", content[start : start + PIECE], digest=digest, index=index, last=is_last)

    def close(self) -> None:
        """Close the pipe, as a connection that breaks."""
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        self._selector.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT_S)


NO_MANIFEST = b"[]"
NO_CODE = hashlib.sha256(NO_MANIFEST).hexdigest()


class Host:
    """A machine with a folder for everything of tune."""

    def __init__(self, root: Path, runtime: Path) -> None:
        self.root = root
        self.connections: list[Connection] = []
        self._runtime = runtime

    @property
    def experiment(self) -> Path:
        return self.root / "experiments" / "exp"

    def connect(self, shell: str = "", clock: Path | None = None, **opening: str) -> Connection:
        """A connection, through a login shell when anything is said about that."""
        self.connections.append(Connection(self.root, shell or ("sh" if opening else ""), clock, **opening))
        return self.connections[-1]

    def visit(self) -> Connection:
        """A connection to a host that has the runtime."""
        if not self.root.exists():
            shutil.copytree(self._runtime, self.root)
        connection = self.connect()
        assert connection.hello()["runtime"]
        return connection

    def open(self, pre_command: str = "", clock: Path | None = None, **fields: Any) -> Connection:
        """A connection with an experiment, and code that has no files."""
        if not self.root.exists():
            shutil.copytree(self._runtime, self.root)
        connection = self.connect(pre_command=pre_command) if pre_command else self.connect(clock=clock)
        assert connection.open(**fields)["type"] == "opened"
        connection.provide(NO_MANIFEST, NO_CODE)
        return connection

    def attempt(self, trial: str) -> Path:
        return self.experiment / "trials" / trial / "0"

    def text(self, trial: str, name: str) -> str:
        path = self.attempt(trial) / name
        return path.read_text() if path.exists() else ""

    def noted(self) -> list[str]:
        """The attempts that are on record as running."""
        return sorted(path.name for path in self.experiment.glob("hosts/*/attempts/*"))

    def end(self) -> None:
        """End all that runs here."""
        for connection in self.connections:
            connection.close()
        skipped = []
        for rest_s in remove(str(self.root), None, True, lambda _, **fields: skipped.append(fields)):
            time.sleep(rest_s)
        assert skipped[0]["skipped"] == []
        for connection in self.connections:
            connection.process.wait(TIMEOUT_S)


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with the runtime, as a server leaves it that was used before."""
    root = tmp_path_factory.mktemp("runtime") / "root"
    digest, archive = boot.runtime_archive()
    home = root / "runtime" / digest
    stage2.install(str(home), stage2.unpack(archive, digest), digest)
    assert compileall.compile_dir(home, quiet=1)
    return root


@pytest.fixture
def host(tmp_path: Path, runtime: Path) -> Iterator[Host]:
    host = Host(tmp_path / "root", runtime)
    yield host
    host.end()
