"""Machines with a real SSH server, for tests and benchmarks.

    with Laboratory() as laboratory:
        host = laboratory.add()
        with laboratory.entered():  # this process is now on the same network
            ...                     # {**host.machine(), "gpuIndices": 0} is an entry of machineList
            host.cut()

As root on Linux each host has its own address, process table, /tmp, /home, accounts, host name, boot
id and uptime, in namespaces that end with the tests, however they end. Nothing is added to the system
and no packet leaves. Elsewhere hosts are SSH servers of this user on ports of the loopback; they can't
be cut off or switched off, and tests that need that are skipped, saying so.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import getpass
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

__all__ = [
    "PASSPHRASE",
    "PASSWORD",
    "Host",
    "Laboratory",
    "Process",
    "await_that",
    "can_isolate",
    "laboratory",
]

USER, UID = "marie", 7001
PASSWORD = "open sesame"
PASSPHRASE = "swordfish"
_SHADOW = (
    "$6$rounds=5000$mXd4bZDVCFFJF/vi$"
    "zLRwRmjLEj4LQnJYnUWnzdYGVQtm60FB34l7pQnMskNLYXyxRxMNSx/udI4WTJc6bSMcYqbcnoB7IGx.FWxG40"
)
_INIT = Path(__file__).with_name("ssh_host_init.py")
_NETWORK = "10.77.0"
_NEWNET = 0x40000000  # CLONE_NEWNET


class Process(NamedTuple):
    """A process of a host, as it is seen there."""

    pid: int
    user: int
    command: str


def await_that(holds: Callable[[], Any], what: str = "it", within_s: float = 90.0) -> Any:
    """Wait until `holds()` is true, and return what it says."""
    deadline = time.monotonic() + within_s
    while not (said := holds()):
        assert time.monotonic() < deadline, f"{what} does not hold after {within_s:g} s"
        time.sleep(0.01)
    return said


@pytest.fixture
def laboratory() -> Iterator[Laboratory]:
    """A network with no hosts yet, and this test on it."""
    with Laboratory() as made, made.entered():
        yield made


class Laboratory:
    """Some hosts, the manager's home with its keys, and the network between them.

    Attributes:
        home: Of the manager, with `.ssh/known_hosts`, where every host is, and no other file.
        key: The path of a private key that every host accepts.
        locked_key: The same of one with PASSPHRASE.
        shared: A folder that the manager and all hosts see under the same path, writable for all.
        isolated: Whether hosts are machines of their own, so that faults can be tried on them.
    """

    def __init__(self, *, isolated: bool | None = None) -> None:
        _require_programs()
        self.isolated = can_isolate() if isolated is None else isolated
        # Not in /tmp, of which each host has its own.
        self.directory = Path(tempfile.mkdtemp(prefix=f"tune-hosts-{os.getpid()}-", dir="/var/tmp"))
        self.directory.chmod(0o755)
        self.shared = self.directory / "shared"
        self.home = self.directory / "home"
        for folder, mode in ((self.shared, 0o1777), (self.home, 0o700), (self.home / ".ssh", 0o700)):
            folder.mkdir()
            folder.chmod(mode)
        self.key = _make_key(self.directory / "keys" / "id_ed25519")
        self.locked_key = _make_key(self.directory / "keys" / "id_locked", PASSPHRASE)
        self.known_hosts = self.home / ".ssh" / "known_hosts"
        self.known_hosts.touch()
        self.hosts: list[Host] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self.pid = self._start_switch() if self.isolated else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End every host, and remove every file."""
        for host in self.hosts:
            host._close()
        for child in self._children:
            child.stdin.close()  # type: ignore[union-attr]
            _ended(child)
        shutil.rmtree(self.directory, ignore_errors=True)

    def add(self, name: str | None = None, **options: Any) -> Host:
        """One more host; see `Host` for the options."""
        kind = Host if self.isolated else LoopbackHost
        host = kind(self, name or f"h{len(self.hosts) + 1}", **options)
        self.hosts.append(host)
        host.power_on()
        return host

    def trust(self, host: Host) -> None:
        """Write the host's key into the manager's known_hosts."""
        with self.known_hosts.open("a") as file:
            file.write(f"{host.known_as} {host.public_key}\n")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread, and threads and processes that it starts, on the network of the hosts.

        Threads that were there before stay where they are. `HOME` becomes that of the manager, and no
        agent is there.
        """
        changes = {"HOME": str(self.home), "SSH_AUTH_SOCK": None}
        before = {name: os.environ.get(name) for name in changes}
        _set_environment(changes)
        try:
            if not self.isolated:
                yield
                return
            network = Path("/proc/thread-self/ns/net")
            with network.open() as ours, Path(f"/proc/{self.pid}/ns/net").open() as theirs:
                _enter(theirs.fileno())
                try:
                    yield
                finally:
                    _enter(ours.fileno())
        finally:
            _set_environment(before)

    @contextlib.contextmanager
    def agent(self, *keys: Path) -> Iterator[None]:
        """An ssh-agent that holds `keys` (all without passphrase), for what runs meanwhile."""
        path = self.directory / f"agent-{uuid.uuid4().hex[:8]}"
        with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as agent:
            try:
                await_that(lambda: _listens(path), "the agent")
                for key in keys:
                    environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
                    subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, timeout=90)
                before = os.environ.get("SSH_AUTH_SOCK")
                _set_environment({"SSH_AUTH_SOCK": str(path)})
                try:
                    yield
                finally:
                    _set_environment({"SSH_AUTH_SOCK": before})
            finally:
                agent.terminate()

    def _start_switch(self) -> int:
        spec = {"remove": str(self.directory)}
        child = self._start_child(["unshare", "--net", *_python(), str(_INIT), json.dumps(spec)])
        self.in_switch(
            "link set lo up\nlink add br0 type bridge forward_delay 0\n"
            f"addr add {_NETWORK}.1/24 dev br0\nlink set br0 up\n",
            pid=child.pid,
        )
        return child.pid

    def _start_child(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        child = start_init(command)
        self._children.append(child)
        return child

    def in_switch(self, batch: str, *, pid: int = 0, check: bool = True) -> None:
        """Run lines of `ip` where the switch is."""
        command = ["nsenter", "--target", str(pid or self.pid), "--net", "ip", "-batch", "-"]
        done = subprocess.run(command, input=batch, check=False, timeout=90, capture_output=True, text=True)
        assert not (check and done.returncode), f"ip {batch}: {done.stderr}"


class Host:
    """One machine. It is trusted by the manager and on when it is made.

    Args:
        laboratory: The one that it is part of.
        name: Its host name.
        sshd: Options of its server, such as {"MaxSessions": 3}, besides or instead of the usual ones.
        shell: Login shell of its user.
        bashrc: What the user's ~/.bashrc says.
        trusted: Whether its key is in the manager's known_hosts.
        accepts: Public keys that it accepts, by the paths of the private ones; both of the laboratory
            when None.
        hidden: Programs that this host shall not have, by their paths.
        folders: Folders of this machine to show there, below /tmp or /opt, of which it has its own:
            {"/opt/python3.8": Path(...)}.
        tmpfs: Small disks: {"/small": "size=1m"}; they belong to its user.
        clock: How much its clocks are off, like "+2h" (as libfaketime takes it), for what logs in.
        home: A folder to use as its home, for several hosts that share one; its own when None.
    """

    port = 22
    user = USER

    def __init__(
        self,
        laboratory: Laboratory,
        name: str,
        *,
        sshd: Mapping[str, Any] | None = None,
        shell: str = "/bin/bash",
        bashrc: str = "",
        trusted: bool = True,
        accepts: Sequence[Path] | None = None,
        hidden: Sequence[str] = (),
        folders: Mapping[str, Path] | None = None,
        tmpfs: Mapping[str, str] | None = None,
        clock: str = "",
        home: Path | None = None,
    ) -> None:
        self.laboratory, self.name, self.shell = laboratory, name, shell
        self._options, self._clock = dict(sshd or {}), clock
        self._hidden, self._folders, self._tmpfs = hidden, dict(folders or {}), dict(tmpfs or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0  # of its first process, as seen from here
        self._number = len(laboratory.hosts) + 1
        self._set_address(self._number)
        self.etc = laboratory.directory / name / "etc"
        self.etc.mkdir(parents=True)
        (laboratory.directory / name).chmod(0o755)
        self.home = home or laboratory.directory / name / "home"  # as seen from here
        self._make_home(bashrc)
        keys = [laboratory.key, laboratory.locked_key] if accepts is None else accepts
        lines = [path.with_name(path.name + ".pub").read_text() for path in keys]
        (self.etc / "authorized_keys").write_text("".join(lines))
        self.make_host_key()
        if trusted:
            laboratory.trust(self)

    # What a test asks for

    def machine(self, **changes: Any) -> dict[str, Any]:
        """Its entry of `machineList`, with a key that it accepts; `changes` go over it, None removes."""
        entry = {"host": self.address, "user": self.user, "sshKeyFile": str(self.laboratory.key)}
        if self.port != 22:
            entry["port"] = self.port
        return {key: value for key, value in {**entry, **changes}.items() if value is not None}

    def cut(self) -> None:
        """Pull the cable. No end is told; what runs goes on."""
        self.laboratory.in_switch(f"link set {self._link} down\n")

    def heal(self) -> None:
        """Put the cable back."""
        self.laboratory.in_switch(f"link set {self._link} up\n")

    def power_off(self) -> None:
        """Pull the plug: every process is gone, nobody is told, and the disk stays."""
        self.cut()
        self._close()

    def crash(self) -> None:
        """End every process, which closes its connections properly; /tmp and the boot id are gone."""
        self._close()

    def power_on(self) -> None:
        """Start it, with another boot id, a fresh /tmp, and the files that it has on disk."""
        (self.etc / "boot_id").write_text(f"{uuid.uuid4()}\n")
        self._write_accounts()
        self._write_sshd_config()
        self._process = start_init(
            [
                "unshare",
                *_FRESH,
                *_uptime(100 * self._number),
                *_python(),
                str(_INIT),
                json.dumps(self._spec()),
            ]
        )
        try:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            self.pid = int(children.read_text())
            peer = f"peer name eth0 address {self._mac} netns {self._process.pid}"
            self.laboratory.in_switch(f"link del {self._link}\n", check=False)  # of before the power cut
            self.laboratory.in_switch(
                f"link add {self._link} type veth {peer}\nlink set {self._link} master br0\n"
                f"link set {self._link} up\n"
            )
            addresses = f"link set lo up\naddr add {self.address}/24 dev eth0\nlink set eth0 up\n"
            self.run("ip", "-batch", "-", feed=addresses, user="root")
            self.start_sshd()
        except BaseException:
            self._close()
            raise

    def start_sshd(self) -> None:
        """Start its SSH server, after `stop_sshd`."""
        pid_file = self.etc / "sshd.pid"
        pid_file.unlink(missing_ok=True)
        config = self.seen_there(self.etc)
        self.run(_sshd(), "-f", f"{config}/sshd_config", "-E", f"{config}/sshd.log", user="root")
        await_that(lambda: pid_file.exists() and pid_file.read_text().strip(), f"sshd of {self.name}")
        await_that(self._listens, f"sshd of {self.name}")

    def _listens(self) -> bool:
        """Whether anything there accepts connections to its port of SSH."""
        port = f":{int(self._options.get('Port', self.port)):04X}"
        sockets = (
            line.split()
            for family in ("tcp", "tcp6")
            for line in Path(f"/proc/{self.pid}/net/{family}").read_text().splitlines()[1:]
        )
        return any(each[1].endswith(port) and each[3] == "0A" for each in sockets)

    def stop_sshd(self, *, sessions: bool = False) -> None:
        """Kill its SSH server; with `sessions` those that serve a connection too, but not their shells."""

        def is_gone() -> bool:  # a server that is writing its title has none: looked at anew each time
            for process in self.processes():
                listener = "[listener]" in process.command
                if process.command.startswith("sshd:") and (listener or sessions):
                    with contextlib.suppress(ProcessLookupError):
                        self._kill(process.pid, signal.SIGKILL)
            return not self._listens()

        await_that(is_gone, "the end of sshd")

    def resize(self, path: str, size: str) -> None:
        """Give one of its small disks another size, like "8m"."""
        self.run("mount", "-o", f"remount,size={size}", path, user="root")

    def delay(self, milliseconds: float) -> None:
        """Make every packet from and to it take this much longer; needs a kernel with netem."""
        netem = ["root", "netem", "delay", f"{milliseconds / 2}ms"]
        inside = ["nsenter", "--target", str(self.laboratory.pid), "--net", "tc", "qdisc", "replace", "dev"]
        done = subprocess.run([*inside, self._link, *netem], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"platform: this kernel has no netem: {done.stderr.strip()}")
        self.run("tc", "qdisc", "replace", "dev", "eth0", *netem, user="root")

    def run(self, *command: str, user: str | None = None, feed: str | None = None, check: bool = True) -> str:
        """Run a command there and return what it prints; as its user, or as `root`."""
        words = ["nsenter", "--all", "--target", str(self.pid), "--"]
        if (user or self.user) != "root":
            words += ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": self.home_there}
        done = subprocess.run(
            [*words, *command],
            input=feed,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            env=environment,
            cwd="/",
        )
        if check:
            assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        return done.stdout

    def processes(self) -> list[Process]:
        """What runs there, but for the first process; not what has ended and waits to be reaped."""
        found = []
        for entry in Path(f"/proc/{self.pid}/root/proc").iterdir():
            if entry.name.isdigit() and entry.name != "1":
                with contextlib.suppress(OSError):
                    status = (entry / "stat").read_text()
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if status.rpartition(")")[2].split()[0] not in "ZX":
                        found.append(Process(int(entry.name), entry.stat().st_uid, command.strip()))
        return found

    def is_alive(self, pid: int) -> bool:
        """Whether there is a process with this number there."""
        return any(process.pid == pid for process in self.processes())

    def file(self, path: str) -> Path:
        """The path here of a file there; `~` is the home of its user."""
        path = path.replace("~", self.home_there, 1) if path.startswith("~") else path
        return Path(f"/proc/{self.pid}/root{path}")

    @property
    def home_there(self) -> str:
        """Its user's home folder, as seen there."""
        return f"/home/{self.user}"

    @property
    def known_as(self) -> str:
        """How known_hosts names it."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"

    @property
    def public_key(self) -> str:
        """Its host key, type and base64."""
        return " ".join((self.etc / "host_key.pub").read_text().split()[:2])

    def make_host_key(self) -> None:
        """Give it a host key, another one when it has one; a running server goes on with the old one."""
        for path in self.etc.glob("host_key*"):
            path.unlink()
        _make_key(self.etc / "host_key")

    def seen_there(self, path: Path) -> str:
        """The path there of what is at `path` here; only `etc` has another."""
        return "/run/host" if path == self.etc else str(path)

    # How it is made

    def _set_address(self, number: int) -> None:
        self._link = f"v{number}"
        self.address, self._mac = f"{_NETWORK}.{number + 10}", f"02:00:00:00:00:{number:02x}"

    def _kill(self, pid: int, number: int) -> None:
        self.run("kill", f"-{int(number)}", str(pid), user="root", check=False)

    def _close(self) -> None:
        if self._process is not None:
            self._process.stdin.close()  # type: ignore[union-attr]
            _ended(self._process)
            self._process = None

    def _make_home(self, bashrc: str) -> None:
        if not self.home.exists():
            self.home.mkdir()
            self.home.chmod(0o700)
        (self.home / ".bashrc").write_text(bashrc)
        for path in (self.home, self.home / ".bashrc"):
            os.chown(path, UID, UID)

    def _write_accounts(self) -> None:
        line = f"{USER}:x:{UID}:{UID}::{self.home_there}:{self.shell}\n"
        (self.etc / "passwd").write_text(Path("/etc/passwd").read_text() + line)
        (self.etc / "group").write_text(Path("/etc/group").read_text() + f"{USER}:x:{UID}:\n")
        (self.etc / "shadow").write_text(
            f"root:*:19000::::::\nsshd:*:19000::::::\n{USER}:{_SHADOW}:19000::::::\n"
        )
        (self.etc / "empty").touch(mode=0o644)

    def _write_sshd_config(self) -> None:
        etc = self.seen_there(self.etc)
        options: dict[str, Any] = {
            "Port": self.port,
            "ListenAddress": self.address,
            "HostKey": f"{etc}/host_key",
            "PidFile": f"{etc}/sshd.pid",
            "AuthorizedKeysFile": f"{etc}/authorized_keys",
            "PasswordAuthentication": "yes",
            "KbdInteractiveAuthentication": "no",
            "UsePAM": "no",
            "StrictModes": "no",
            "PrintMotd": "no",
            "UseDNS": "no",
            "MaxSessions": 10,
        }
        if self._clock:
            library = next(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"), None)
            if library is None:
                pytest.skip("a host whose clock is off needs libfaketime: apt-get install libfaketime")
            preload = f"LD_PRELOAD={library} FAKETIME={self._clock}"
            options["SetEnv"] = preload
        options.update(self._options)
        text = "".join(f"{key} {value}\n" for key, value in options.items())
        (self.etc / "sshd_config").write_text(text)

    def _spec(self) -> dict[str, Any]:
        files = {"/etc/passwd": "passwd", "/etc/group": "group", "/etc/shadow": "shadow"}
        files["/proc/sys/kernel/random/boot_id"] = "boot_id"
        files |= dict.fromkeys(self._hidden, "empty")
        return {
            "name": self.name,
            "laboratory": str(self.laboratory.directory),
            "shared": str(self.laboratory.shared),
            "etc": str(self.etc),
            "home": self.home_there,
            "home_here": str(self.home),
            "files": files,
            "folders": {there: str(here) for there, here in self._folders.items()},
            "tmpfs": {there: f"{size},mode=755,uid={UID},gid={UID}" for there, size in self._tmpfs.items()},
        }


class LoopbackHost(Host):
    """An SSH server of this user on a port of the loopback: a host with nothing of its own."""

    user = getpass.getuser()

    def _set_address(self, number: int) -> None:
        self.address = "127.0.0.1"
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            self.port = probe.getsockname()[1]

    def _make_home(self, bashrc: str) -> None:
        if bashrc or self._hidden or self._folders or self._tmpfs or self.shell != "/bin/bash":
            self._unable("have files or a login shell of its own")
        self.home = Path.home()

    def machine(self, **changes: Any) -> dict[str, Any]:
        directory = self.laboratory.directory / self.name / "tune-trials"
        return super().machine(**{"directory": str(directory), **changes})

    def power_on(self) -> None:
        self._options = {"PasswordAuthentication": "no", **self._options}
        self._write_sshd_config()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # as the system does before it starts its own
        self.start_sshd()

    def run(self, *command: str, user: str | None = None, feed: str | None = None, check: bool = True) -> str:
        done = subprocess.run(command, input=feed, capture_output=True, text=True, check=False, timeout=90)
        if check:
            assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        return done.stdout

    def processes(self) -> list[Process]:
        """The processes of this user."""
        lines = self.run("ps", "-u", str(os.getuid()), "-o", "pid=,uid=,stat=,args=").splitlines()
        rows = [line.split(None, 3) for line in lines]
        return [Process(int(row[0]), int(row[1]), row[3]) for row in rows if "Z" not in row[2]]

    def file(self, path: str) -> Path:
        return Path(path).expanduser()

    def seen_there(self, path: Path) -> str:
        return str(path)

    @property
    def home_there(self) -> str:
        return str(Path.home())

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.address, self.port)) == 0

    def stop_sshd(self, *, sessions: bool = False) -> None:
        self._unable("lose its sessions") if sessions else self._close()

    def _close(self) -> None:
        pid_file = self.etc / "sshd.pid"
        if pid_file.exists():
            pid = int(pid_file.read_text())
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            await_that(lambda: not pid_file.exists(), "the end of sshd")

    def _unable(self, what: str = "be cut or switched off") -> None:
        pytest.skip(f"platform: without root and network namespaces a host cannot {what}")

    cut = heal = power_off = crash = _unable

    def delay(self, milliseconds: float) -> None:
        self._unable("be far away")


_FRESH = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc")


@functools.cache
def can_isolate() -> bool:
    """Whether this process may make machines of namespaces."""
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or not all(map(shutil.which, ("ip", "unshare", "nsenter")))
    ):
        return False
    probe = ["unshare", *_FRESH, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"]
    return subprocess.run(probe, capture_output=True, check=False, timeout=90).returncode == 0


def _uptime(seconds: int) -> list[str]:
    """Options of `unshare` for clocks that say the machine was started `seconds` ago."""
    if not Path("/proc/self/timens_offsets").exists():
        return []
    boottime = int(time.clock_gettime(time.CLOCK_BOOTTIME)) - seconds
    monotonic = int(time.monotonic()) - seconds
    return ["--time", "--boottime", str(-boottime), "--monotonic", str(-monotonic)]


def _require_programs() -> None:
    missing = [name for name in ("ssh-keygen", "ssh-agent") if shutil.which(name) is None]
    if missing or not Path(_sshd()).exists():
        pytest.skip(
            "tests of remote machines need OpenSSH: apt-get install openssh-server openssh-client iproute2"
        )


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _sshd() -> str:
    return shutil.which("sshd") or "/usr/sbin/sshd"  # which is not on everybody's PATH; sshd wants it whole


def _python() -> list[str]:
    return [sys.executable, "-I", "-S"]


def start_init(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process that says `up`, and ends when its standard input does."""
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, cwd="/"
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    child.stdout.close()
    if line != b"up\n":
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()
        raise AssertionError(f"a test host did not start: {shlex.join(command)}")
    return child


def _ended(child: subprocess.Popen[bytes]) -> None:
    """Wait for `child`, whose standard input was closed; force it if it must be."""
    try:
        child.wait(timeout=60)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _make_key(path: Path, passphrase: str = "") -> Path:
    path.parent.mkdir(exist_ok=True, mode=0o700)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(command, check=True, timeout=90, stdin=subprocess.DEVNULL)
    return path


def _set_environment(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
