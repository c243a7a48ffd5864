"""`known_hosts` means here what it means to OpenSSH (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from tune_remote.known_hosts import KnownHosts, fingerprint

KEY, OTHER = b"the key", b"another key"
TEXT = base64.b64encode(KEY).decode()
OTHER_TEXT = base64.b64encode(OTHER).decode()


def known(tmp_path: Path, text: str, host: str = "gpu1", port: int = 22) -> KnownHosts:
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return KnownHosts([tmp_path / "none", path], host, port)


@pytest.mark.parametrize(
    ("names", "host", "port", "is_known"),
    [
        ("gpu1", "gpu1", 22, True),
        ("gpu1", "GPU1", 22, True),
        ("gpu1", "gpu11", 22, False),
        ("gpu1,10.0.0.1", "10.0.0.1", 22, True),
        ("*.example.com", "a.example.com", 22, True),
        ("gpu?", "gpu1", 22, True),
        ("gpu*,!gpu1", "gpu1", 22, False),
        ("gpu*,!gpu1", "gpu2", 22, True),
        ("[gpu1]:2222", "gpu1", 2222, True),
        ("[gpu1]:2222", "gpu1", 22, False),
        ("[gpu1]:2222", "gpu1", 2223, False),
        ("[gpu*]:2222", "gpu1", 2222, True),
        ("gpu1", "gpu1", 2222, True),  # OpenSSH looks for the plain name as well
        ("#gpu1", "gpu1", 22, False),
        ("@cert-authority gpu1", "gpu1", 22, False),
    ],
)
def test_names_match_as_in_openssh(names: str, host: str, port: int, is_known: bool, tmp_path: Path) -> None:
    hosts = known(tmp_path, f"{names} ssh-ed25519 {TEXT} a comment\n", host, port)
    assert hosts.knows(KEY) is is_known
    assert not hosts.knows(OTHER)


def test_other_key_is_named_by_its_line(tmp_path: Path) -> None:
    text = f"\n# comment\ngpu1 ssh-rsa {OTHER_TEXT}\ngpu1 ssh-ed25519 {OTHER_TEXT}\n"
    hosts = known(tmp_path, text)
    other = hosts.other("ssh-ed25519")
    assert other
    assert other.place == f"{tmp_path}/known_hosts:4"
    assert hosts.kinds == ["ssh-rsa", "ssh-ed25519"]


def test_key_for_the_plain_name_refuses_nothing_on_another_port(tmp_path: Path) -> None:
    hosts = known(tmp_path, f"gpu1 ssh-ed25519 {OTHER_TEXT}\n", port=2222)
    assert not hosts.knows(KEY)
    assert hosts.other("ssh-ed25519") is None


def test_revoked_key_is_not_known(tmp_path: Path) -> None:
    hosts = known(tmp_path, f"@revoked * ssh-ed25519 {TEXT}\ngpu1 ssh-ed25519 {TEXT}\n")
    assert not hosts.knows(KEY)
    revoked = hosts.revoked(KEY)
    assert revoked
    assert revoked.place.endswith(":1")
    assert hosts.revoked(OTHER) is None


def test_broken_lines_are_passed_over(tmp_path: Path) -> None:
    text = (
        f"gpu1\ngpu1 ssh-rsa !!!\n|1|x ssh-rsa {TEXT}\n@revoked gpu1 ssh-rsa\n\0\xff\ngpu1 ssh-rsa {TEXT}\n"
    )
    assert known(tmp_path, text).knows(KEY)


def test_fingerprint_is_that_of_openssh() -> None:
    # GitHub's published Ed25519 host key, and the fingerprint published beside it.
    blob = base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")
    assert fingerprint(blob) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
