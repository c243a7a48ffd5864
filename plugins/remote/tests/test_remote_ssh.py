"""Connections to real SSH servers, and what is said of each that cannot be made."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ssh_hosts import PASSPHRASE, PASSWORD, Host, Laboratory, await_that, can_isolate
from tune_remote import ssh
from tune_remote.config import MachineConfig, RemoteConfig
from tune_remote.ssh import ConnectError, Connection, connect

from tune_core.config import check

pytestmark = pytest.mark.skipif(not can_isolate(), reason="platform: needs root and network namespaces")


def machine(host: Host, /, **changes: Any) -> MachineConfig:
    """The host as a configuration has it; a change to None leaves a key out."""
    return check(RemoteConfig, {"machineList": [host.machine(**changes)]}).machine_list[0]


def whoami(config: MachineConfig) -> str:
    """Who we are there, in one word: it works."""
    connection = connect(config)
    try:
        return said(connection, "whoami; hostname").split()[1]
    finally:
        connection.close()


def said(connection: Connection, command: str) -> str:
    channel = connection.execute(command)
    channel.settimeout(90)
    pieces = iter(lambda: channel.recv(65536), b"")
    return b"".join(pieces).decode()


def refusal(config: MachineConfig, *, fatal: bool = True) -> str:
    """What is said when the machine cannot be connected to."""
    with pytest.raises(ConnectError) as caught:
        connect(config).close()
    assert caught.value.fatal is fatal, caught.value
    assert PASSWORD not in str(caught.value)
    assert PASSPHRASE not in str(caught.value)
    return str(caught.value)


def ssh_config(laboratory: Laboratory, text: str) -> None:
    (laboratory.home / ".ssh" / "config").write_text(text)


def usual_key(laboratory: Laboratory, key: Path) -> Path:
    """Put a key where it is found without being named."""
    target = laboratory.home / ".ssh" / "id_ed25519"
    shutil.copy(key, target)
    return target


# Ways in


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="key"),
        pytest.param({"sshKeyFile": None, "password": PASSWORD}, id="password"),
        pytest.param(
            {"sshKeyFile": None, "password": "${env:TEST_PASSWORD}"}, id="password of the environment"
        ),
    ],
)
def test_login_works_with(changes: dict[str, Any], laboratory: Laboratory, monkeypatch: Any) -> None:
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    host = laboratory.add()
    assert whoami(machine(host, **changes)) == host.name


def test_login_works_with_a_passphrase(laboratory: Laboratory) -> None:
    host = laboratory.add(accepts=[laboratory.locked_key])
    config = machine(host, sshKeyFile=str(laboratory.locked_key), sshPassphrase=PASSPHRASE)
    assert whoami(config) == host.name


@pytest.mark.parametrize("kind", [["rsa", "-b", "2048"], ["rsa", "-b", "2048", "-m", "PEM"], ["ecdsa"]])
def test_login_works_with_keys_of_other_formats(kind: list[str], laboratory: Laboratory) -> None:
    key = laboratory.directory / "other"
    command = ["ssh-keygen", "-q", "-N", PASSPHRASE, "-a", "1", "-f", str(key), "-t", *kind]
    subprocess.run(command, check=True, timeout=90)
    host = laboratory.add(accepts=[key])
    assert whoami(machine(host, sshKeyFile=str(key), sshPassphrase=PASSPHRASE)) == host.name
    wrong = refusal(machine(host, sshKeyFile=str(key), sshPassphrase="not this one"))
    assert "sshPassphrase is not the passphrase" in wrong


def test_passphrase_of_a_key_without_one_is_passed_over(laboratory: Laboratory) -> None:
    host = laboratory.add()
    assert whoami(machine(host, sshPassphrase="anything")) == host.name


def test_login_works_with_the_agent(laboratory: Laboratory) -> None:
    host = laboratory.add(accepts=[laboratory.key])
    with laboratory.agent(laboratory.key):
        assert whoami(machine(host, sshKeyFile=None)) == host.name


def test_agent_opens_a_named_key_that_is_locked(laboratory: Laboratory) -> None:
    key = usual_key(laboratory, laboratory.key)
    with laboratory.agent(laboratory.key):
        command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-a", "1", "-f", str(key)]
        subprocess.run(command, check=True, timeout=90)
        host = laboratory.add(accepts=[laboratory.key])
        assert whoami(machine(host, sshKeyFile=str(key))) == host.name
        assert whoami(machine(host, sshKeyFile=None)) == host.name


def test_login_works_with_the_usual_key(laboratory: Laboratory) -> None:
    usual_key(laboratory, laboratory.key)
    host = laboratory.add()
    assert whoami(machine(host, sshKeyFile=None)) == host.name


def test_login_works_with_key_and_password_together(laboratory: Laboratory) -> None:
    host = laboratory.add(sshd={"AuthenticationMethods": "publickey,password"})
    assert whoami(machine(host, password=PASSWORD)) == host.name
    assert "wants more: password" in refusal(machine(host))


def test_password_is_given_to_a_server_that_asks_for_it_in_words(laboratory: Laboratory) -> None:
    options = {"PasswordAuthentication": "no", "KbdInteractiveAuthentication": "yes", "UsePAM": "yes"}
    host = laboratory.add(sshd=options)
    assert whoami(machine(host, sshKeyFile=None, password=PASSWORD)) == host.name
    assert "accepted keyboard-interactive" in (host.etc / "sshd.log").read_text().lower()


# Ways there


def test_alias_with_port_user_and_key(laboratory: Laboratory) -> None:
    host = laboratory.add(sshd={"Port": 2222}, trusted=False)
    laboratory.known_hosts.write_text(f"[{host.address}]:2222 {host.public_key}\n")
    ssh_config(
        laboratory,
        f"Host gpu-*\n  User {host.user}\n  Port 2222\nHost gpu-1\n  HostName {host.address}\n"
        f"  IdentityFile {laboratory.key}\n",
    )
    config = machine(host, host="gpu-1", user=None, sshKeyFile=None)
    assert whoami(config) == host.name
    assert "nothing listens" in refusal(machine(host, host="gpu-1", port=22), fatal=False)


def test_configuration_includes_others(laboratory: Laboratory) -> None:
    host = laboratory.add()
    folder = laboratory.home / ".ssh" / "conf.d"
    folder.mkdir()
    (folder / "one.conf").write_text(f"Host near\n  HostName {host.address}\n")
    ssh_config(laboratory, "Include conf.d/*.conf\nHost far\n  HostName far.invalid\n")
    assert whoami(machine(host, host="near")) == host.name


def test_identities_only_spares_the_agent(laboratory: Laboratory) -> None:
    host = laboratory.add(sshd={"MaxAuthTries": 2, "LogLevel": "VERBOSE"}, accepts=[laboratory.key])
    others = []
    for number in range(4):
        key = laboratory.directory / f"other{number}"
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"key {number}", "-f", str(key)]
        subprocess.run(command, check=True, timeout=90)
        others.append(key)
    ssh_config(laboratory, f"Host *\n  IdentityFile {laboratory.key}\n")
    with laboratory.agent(*others):
        message = refusal(machine(host, sshKeyFile=None))
        assert re.search(r"closed the connection after \d keys", message)
        ssh_config(laboratory, f"Host *\n  IdentityFile {laboratory.key}\n  IdentitiesOnly yes\n")
        assert whoami(machine(host, sshKeyFile=None)) == host.name


@pytest.mark.parametrize("from_file", [False, True])
def test_proxy_jump_over_two_hops(from_file: bool, laboratory: Laboratory) -> None:
    first, second, last = (laboratory.add() for _ in range(3))
    last.run("ip", "route", "add", "blackhole", "10.77.0.1", user="root")  # no way but through the others
    jump = f"{first.user}@{first.address},{second.user}@{second.address}:22"
    if from_file:
        ssh_config(
            laboratory,
            f"Host {last.address}\n  ProxyJump {second.user}@{second.address}\n"
            f"Host {second.address}\n  ProxyJump {first.user}@{first.address}\n",
        )
    config = machine(last, proxyJump=None if from_file else jump)
    assert whoami(config) == last.name
    peers = (last.etc / "sshd.log").read_text()
    assert f"from {second.address}" in peers
    assert f"from {first.address}" in (second.etc / "sshd.log").read_text()


def test_proxy_jump_that_fails_names_the_machine_it_failed_at(laboratory: Laboratory) -> None:
    jump, last = laboratory.add(accepts=[]), laboratory.add()
    config = machine(last, proxyJump=f"{jump.user}@{jump.address}")
    message = refusal(config)
    assert message.startswith(f"{config}: through {jump.address}: ")
    assert "refused" in message


def test_proxy_jump_to_a_machine_that_is_not_there(laboratory: Laboratory) -> None:
    jump, last = laboratory.add(), laboratory.add()
    config = machine(last, port=2200, proxyJump=f"{jump.user}@{jump.address}")
    assert f"does not reach {last.address} port 2200" in refusal(config, fatal=False)


def test_proxy_jump_without_forwarding_says_so(laboratory: Laboratory) -> None:
    jump, last = laboratory.add(sshd={"AllowTcpForwarding": "no"}), laboratory.add()
    config = machine(last, proxyJump=f"{jump.user}@{jump.address}")
    assert "AllowTcpForwarding" in refusal(config, fatal=False)


def test_proxy_jump_in_a_circle_is_refused(laboratory: Laboratory) -> None:
    host = laboratory.add()
    ssh_config(laboratory, "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    assert "circle" in refusal(machine(host, host="a"))


def test_proxy_command_is_the_way(laboratory: Laboratory) -> None:
    jump, last = laboratory.add(), laboratory.add()
    through = f"ssh -q -i {laboratory.key} -o UserKnownHostsFile={laboratory.known_hosts}"
    ssh_config(laboratory, f"Host last\n  HostName {last.address}\n")
    config = laboratory.home / ".ssh" / "config"
    config.write_text(config.read_text() + f"  ProxyCommand {through} -W %h:%p {jump.user}@{jump.address}\n")
    laboratory.known_hosts.write_text(f"{jump.address} {jump.public_key}\n{last.address} {last.public_key}\n")
    assert whoami(machine(last, host="last")) == last.name
    assert f"from {jump.address}" in (last.etc / "sshd.log").read_text()


def test_proxy_command_that_fails_is_quoted(laboratory: Laboratory) -> None:
    host = laboratory.add()
    ssh_config(laboratory, "Host *\n  ProxyCommand sh -c 'echo no such bastion >&2; exit 3'\n")
    assert "ProxyCommand failed: no such bastion" in refusal(machine(host), fatal=False)


# Ways barred


def test_wrong_password_says_so(laboratory: Laboratory) -> None:
    host = laboratory.add()
    message = refusal(machine(host, sshKeyFile=None, password="not this one"))
    assert "the password is wrong for user 'marie'" in message
    assert f"ssh -p 22 marie@{host.address}" in message
    assert "not this one" not in message


def test_password_that_is_not_taken_says_what_is(laboratory: Laboratory) -> None:
    host = laboratory.add(sshd={"PasswordAuthentication": "no"})
    message = refusal(machine(host, sshKeyFile=None, password=PASSWORD))
    assert "takes no passwords" in message
    assert "a key (sshKeyFile)" in message


def test_refused_key_says_how_to_have_it_accepted(laboratory: Laboratory) -> None:
    host = laboratory.add(accepts=[])
    message = refusal(machine(host))
    assert f"the key {laboratory.key} is refused for user 'marie'" in message
    assert f"ssh-copy-id -i {laboratory.key} -p 22 marie@{host.address}" in message


def test_wrong_passphrase_says_so(laboratory: Laboratory) -> None:
    host = laboratory.add()
    message = refusal(machine(host, sshKeyFile=str(laboratory.locked_key), sshPassphrase="not this one"))
    assert "sshPassphrase is not the passphrase of the key" in message
    assert "not this one" not in message


def test_missing_passphrase_says_how_to_give_it(laboratory: Laboratory) -> None:
    host = laboratory.add()
    message = refusal(machine(host, sshKeyFile=str(laboratory.locked_key)))
    assert "has a passphrase, which is not given" in message
    assert "${env:NAME}" in message


def test_file_that_is_no_key_says_so(laboratory: Laboratory) -> None:
    host = laboratory.add()
    assert "holds no key" in refusal(machine(host, sshKeyFile=str(laboratory.known_hosts)))


def test_nothing_to_log_in_with_says_what_to_give(laboratory: Laboratory) -> None:
    host = laboratory.add()
    assert "there is no key to log in with" in refusal(machine(host, sshKeyFile=None))
    usual_key(laboratory, laboratory.locked_key)
    message = refusal(machine(host, sshKeyFile=None))
    assert "has a passphrase" in message
    assert "ssh-add" in message


def test_unknown_host_key_says_how_to_accept_it(laboratory: Laboratory) -> None:
    host = laboratory.add(trusted=False)
    message = refusal(machine(host))
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(host.etc / "host_key.pub")], capture_output=True, text=True, check=True
    )
    assert "its host key is not known" in message
    assert listed.stdout.split()[1] in message
    accept = re.search(r"echo .+", message)
    assert accept
    subprocess.run(["sh", "-c", accept[0]], check=True, timeout=90)
    assert whoami(machine(host)) == host.name


def test_unknown_host_key_can_be_trusted_unseen(laboratory: Laboratory) -> None:
    host = laboratory.add(trusted=False)
    assert whoami(machine(host, checkHostKey=False)) == host.name


def test_changed_host_key_names_the_line(laboratory: Laboratory) -> None:
    other = laboratory.add()
    host = laboratory.add()
    host.make_host_key()
    host.stop_sshd()
    host.start_sshd()
    message = refusal(machine(host))
    assert "its host key has changed" in message
    assert f"{laboratory.known_hosts}:2" in message
    remove = re.search(r"ssh-keygen -R .+", message)
    assert remove
    subprocess.run(["sh", "-c", remove[0]], check=True, timeout=90, capture_output=True)
    assert "its host key is not known" in refusal(machine(host))
    assert whoami(machine(other)) == other.name


def test_hashed_names_are_known(laboratory: Laboratory) -> None:
    host = laboratory.add()
    command = ["ssh-keygen", "-q", "-H", "-f", str(laboratory.known_hosts)]
    subprocess.run(command, check=True, timeout=90, capture_output=True)
    assert host.address not in laboratory.known_hosts.read_text()
    assert whoami(machine(host)) == host.name


def test_key_of_a_known_type_is_asked_for(laboratory: Laboratory) -> None:
    host = laboratory.add(trusted=False)
    rsa = host.etc / "host_rsa"
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(rsa)]
    subprocess.run(command, check=True, timeout=90)
    host.stop_sshd()
    with (host.etc / "sshd_config").open("a") as file:
        file.write("HostKey /run/host/host_rsa\n")
    host.start_sshd()
    public = " ".join(rsa.with_suffix(".pub").read_text().split()[:2])
    laboratory.known_hosts.write_text(f"{host.address} {public}\n")
    assert whoami(machine(host)) == host.name


def test_name_that_is_not_found_says_so(laboratory: Laboratory) -> None:
    host = laboratory.add()
    config = machine(host, host="gpu7.invalid")
    with pytest.raises(ConnectError, match=r"no machine is called 'gpu7\.invalid'"):
        connect(config)


def test_refused_connection_says_so(laboratory: Laboratory) -> None:
    host = laboratory.add()
    host.stop_sshd()
    assert f"nothing listens on {host.address} port 22" in refusal(machine(host), fatal=False)


def test_unreachable_machine_says_so(laboratory: Laboratory) -> None:
    host = laboratory.add()
    laboratory.in_switch(
        "ntable change name arp_cache dev br0 retrans 100\n"
    )  # ms; three times a second else
    host.power_off()
    assert f"there is no way to {host.address}" in refusal(machine(host), fatal=False)  # no time was over
    message = refusal(machine(host, host="192.0.2.1"), fatal=False)
    assert "there is no way to 192.0.2.1: Network is unreachable" in message


@pytest.fixture
def silent_port(laboratory: Laboratory) -> Iterator[int]:
    """A port of the manager where somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_silence_is_given_up_in_time(laboratory: Laboratory, silent_port: int, monkeypatch: Any) -> None:
    monkeypatch.setattr("tune_remote.ssh.DEADLINE_S", 0.5)
    host = laboratory.add()
    config = machine(host, host="127.0.0.1", port=silent_port)
    started = time.monotonic()
    assert refusal(config, fatal=False).startswith(f"{config}: ")
    assert time.monotonic() - started < 14  # paramiko's own patience is 15 seconds


def test_server_that_is_none_says_so(laboratory: Laboratory) -> None:
    host = laboratory.add()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        message = refusal(machine(host, host="127.0.0.1", port=server.getsockname()[1]), fatal=False)
        thread.join()
    assert "it is no SSH server" in message


def test_too_many_logins_say_so(laboratory: Laboratory) -> None:
    host = laboratory.add(sshd={"MaxStartups": 1})
    with socket.create_connection((host.address, 22), timeout=90) as waiting:
        assert waiting.recv(100).startswith(b"SSH-")
        assert "MaxStartups" in refusal(machine(host), fatal=False)
    await_that(lambda: len(host.processes()) == 1, "sshd has seen the end of the other")
    assert whoami(machine(host)) == host.name


def test_too_many_sessions_say_so(laboratory: Laboratory) -> None:
    host = laboratory.add(sshd={"MaxSessions": 2})
    connection = connect(machine(host))
    try:
        channels = [connection.execute("cat") for _ in range(2)]
        with pytest.raises(ConnectError, match="no further session") as caught:
            connection.execute("cat")
        assert "MaxSessions" in str(caught.value)
        assert not caught.value.fatal
        channels[0].sendall(b"x\n")
        assert channels[0].recv(10) == b"x\n"
    finally:
        connection.close()


# What a connection is


def test_channel_carries_bytes_both_ways(laboratory: Laboratory) -> None:
    connection = connect(machine(laboratory.add()))
    try:
        channel = connection.execute("cat; echo done >&2")
        channel.settimeout(90)
        sent = os.urandom(5_000_000)
        writer = threading.Thread(target=lambda: (channel.sendall(sent), channel.shutdown_write()))
        writer.start()
        received = b"".join(iter(lambda: channel.recv(65536), b""))
        writer.join()
        assert received == sent
        assert channel.recv_stderr(100) == b"done\n"
    finally:
        connection.close()


def test_close_wakes_who_reads(laboratory: Laboratory) -> None:
    connection = connect(machine(laboratory.add()))
    channel = connection.execute("sleep 1000")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(channel.recv(1)))
    reader.start()
    connection.close()
    reader.join(90)
    assert got == [b""]
    with pytest.raises(ConnectError, match="the connection is lost"):
        connection.execute("true")


def test_dead_peer_is_noticed_once_something_is_sent(laboratory: Laboratory, monkeypatch: Any) -> None:
    assert ssh._DEAD_AFTER_MS == 10_000
    monkeypatch.setattr(ssh, "_DEAD_AFTER_MS", 1000)
    host = laboratory.add()
    connection = connect(machine(host))
    try:
        channel = connection.execute("cat")
        host.cut()
        channel.sendall(b"anybody there?")
        channel.settimeout(90)  # without a limit of ours it would take a quarter of an hour
        assert channel.recv(1) == b""
    finally:
        connection.close()


def test_no_secret_is_logged(laboratory: Laboratory, caplog: pytest.LogCaptureFixture) -> None:
    host = laboratory.add()
    with caplog.at_level(logging.DEBUG):
        whoami(machine(host, sshKeyFile=None, password=PASSWORD))
        refusal(machine(host, sshKeyFile=None, password="not this one"))
    assert PASSWORD not in caplog.text
    assert "not this one" not in caplog.text
    ours = [record for record in caplog.records if record.name.startswith(("tune_remote", "paramiko"))]
    assert not [record for record in ours if record.levelno >= logging.WARNING]
