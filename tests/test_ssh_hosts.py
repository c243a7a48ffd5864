"""The hosts that tests of remote machines run on are what they claim to be."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ssh_hosts import Host, Laboratory, await_that, can_isolate

SUPPORT = Path(__file__).with_name("support")
needs_isolation = pytest.mark.skipif(not can_isolate(), reason="platform: needs root and network namespaces")


def greeting(host: Host, timeout_s: float = 90) -> bytes:
    with socket.create_connection((host.address, host.port), timeout=timeout_s) as connection:
        return connection.recv(100)


def network() -> Path:
    return Path("/proc/thread-self/ns/net").readlink()


@needs_isolation
def test_hosts_have_nothing_in_common(laboratory: Laboratory) -> None:
    hosts = [laboratory.add() for _ in range(2)]
    facts = "hostname; cat /proc/sys/kernel/random/boot_id; echo $$; touch /tmp/mine ~/mine; ls -A /tmp ~"
    first, second = (host.run("sh", "-c", facts).split() for host in hosts)
    assert [first[0], second[0]] == ["h1", "h2"]
    assert first[1] != second[1] != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert int(first[2]) < 100
    assert first.count("mine") == second.count("mine") == 2
    assert not Path("/tmp/mine").exists()
    assert [float(host.run("cat", "/proc/uptime").split()[0]) // 100 for host in hosts] == [1, 2]
    assert "nothing" in hosts[0].run("sh", "-c", f"ls {hosts[1].home} || echo nothing")


@needs_isolation
def test_shared_folder_is_seen_by_all(laboratory: Laboratory) -> None:
    for host in (laboratory.add(), laboratory.add()):
        host.run("sh", "-c", f"echo {host.name} >> {laboratory.shared}/{host.name}")
    assert sorted(path.name for path in laboratory.shared.iterdir()) == ["h1", "h2"]


@needs_isolation
def test_cut_is_silent_until_healed(laboratory: Laboratory) -> None:
    host = laboratory.add()
    with socket.create_connection((host.address, 22), timeout=90) as connection:
        assert connection.recv(100).startswith(b"SSH-2.0")
        host.cut()
        connection.sendall(b"SSH-2.0-test\r\n")
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        host.heal()
        connection.settimeout(90)
        assert connection.recv(1)


@needs_isolation
def test_power_cut_is_silent_and_leaves_the_disk(laboratory: Laboratory) -> None:
    host = laboratory.add()
    host.run("sh", "-c", "touch ~/kept /tmp/gone; sync; setsid sleep 1000 >/dev/null 2>&1 &")
    boot = host.run("cat", "/proc/sys/kernel/random/boot_id")
    with socket.create_connection((host.address, 22), timeout=90) as connection:
        assert connection.recv(100)
        host.power_off()
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    host.power_on()
    assert greeting(host).startswith(b"SSH-2.0")
    assert "kept" in host.run("sh", "-c", "ls -A ~ /tmp")
    assert "gone" not in host.run("sh", "-c", "ls -A ~ /tmp")
    assert not [process for process in host.processes() if "sleep" in process.command]
    assert host.run("cat", "/proc/sys/kernel/random/boot_id") != boot


@pytest.mark.parametrize("isolated", [pytest.param(True, marks=needs_isolation), False])
def test_sshd_stops_and_starts(isolated: bool) -> None:
    with Laboratory(isolated=isolated) as laboratory, laboratory.entered():
        _stop_and_start(laboratory.add())


def _stop_and_start(host: Host) -> None:
    assert host.run("echo", "there") == "there\n"
    assert greeting(host).startswith(b"SSH-2.0")
    host.stop_sshd()
    with pytest.raises(ConnectionRefusedError):
        greeting(host)
    host.start_sshd()
    assert greeting(host).startswith(b"SSH-2.0")


@needs_isolation
def test_small_disk_fills_up(laboratory: Laboratory) -> None:
    host = laboratory.add(tmpfs={"/small": "size=64k"})
    said = host.run("sh", "-c", "head -c 1000000 /dev/zero > /small/file || echo full")
    assert said.strip() == "full"


@needs_isolation
def test_clock_is_off_by_what_was_asked(laboratory: Laboratory) -> None:
    host = laboratory.add(clock="+2h")
    with socket.create_connection((host.address, 22), timeout=90):
        pass
    command = ["ssh", "-o", "BatchMode=yes", "-i", str(laboratory.key)]
    command += ["-o", f"UserKnownHostsFile={laboratory.known_hosts}", f"{host.user}@{host.address}"]
    before, there, after = (
        int(subprocess.run([*words, "date", "+%s"], capture_output=True, check=True, timeout=90).stdout)
        for words in ([], command, [])
    )
    assert before + 7199 <= there <= after + 7201


@needs_isolation
def test_hosts_end_with_a_killed_test(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, time\nsys.path.insert(0, {str(SUPPORT)!r})\n"
        "from ssh_hosts import Laboratory\n"
        "laboratory = Laboratory()\nhost = laboratory.add()\n"
        "host.run('sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 &')\n"
        "print(host.pid, laboratory.directory, flush=True)\ntime.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        pid, directory = test.stdout.readline().split()
        assert Path(f"/proc/{pid}").exists()
        test.send_signal(signal.SIGKILL)
    await_that(lambda: not Path(f"/proc/{pid}").exists(), "the end of the host")
    await_that(lambda: not Path(directory).exists(), "the end of its files")


@needs_isolation
def test_entering_leaves_again(laboratory: Laboratory) -> None:
    inside = network()
    seen: list[Path] = []
    thread = threading.Thread(target=lambda: seen.append(network()))
    thread.start()
    thread.join()
    assert seen == [inside]
    with Laboratory() as other, other.entered():
        assert network() != inside
    assert network() == inside
