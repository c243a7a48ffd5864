"""Code on a host: trees that are put together from what is there and what is sent."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from tune.host.code_tree import read_manifest
from tune.host.layout import RefusedError


class Code:
    """A tree as a manager would describe it."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.files: dict[int, bytes] = {}

    def file(self, path: str, content: bytes, mode: int = 0o644) -> Code:
        self.files[len(self.entries)] = content
        sha256 = hashlib.sha256(content).hexdigest()
        self.entries.append(
            {"path": path, "kind": "file", "mode": mode, "size": len(content), "sha256": sha256}
        )
        return self

    def folder(self, path: str, mode: int = 0o755) -> Code:
        self.entries.append({"path": path, "kind": "dir", "mode": mode})
        return self

    def link(self, path: str, target: str) -> Code:
        self.entries.append({"path": path, "kind": "link", "target": target})
        return self

    @property
    def manifest(self) -> bytes:
        return json.dumps(self.entries).encode()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.manifest).hexdigest()

    def send(self, connection: Any) -> list[int]:
        """Bring it to a host; returns the places of the files that were asked for."""
        return list(connection.provide(self.manifest, self.digest, self.files))

    def tree(self, host: Any, experiment: str = "exp") -> Path:
        return Path(host.root) / "experiments" / experiment / "code" / self.digest / "tree"


def test_tree_is_as_its_manifest_says(host: Any) -> None:
    code = (
        Code()
        .folder("a", 0o700)
        .folder("a/empty")
        .file("a/run.py", b"print(1)\n" * 30_000, 0o755)  # of several pieces
        .file("empty.txt", b"", 0o600)
        .file("read only", b"x", 0o444)
        .file("deep/er/f", b"y")  # in folders that are not named
        .file("caf\u00e9 \udcff", b"z")  # a name that is not UTF-8
        .link("inside", "a/run.py")
        .link("nowhere", "../../nowhere")
        .link("absolute", "/etc/passwd")
        .link("folder", "a")
    )
    connection = host.open()
    assert code.send(connection) == [2, 4, 5, 6]  # what is empty need not be sent
    tree = code.tree(host)
    for index, content in code.files.items():
        path = tree / code.entries[index]["path"]
        assert path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) == code.entries[index]["mode"]
    assert stat.S_IMODE((tree / "a").stat().st_mode) == 0o700
    assert list((tree / "a" / "empty").iterdir()) == []
    targets = {path.name: os.readlink(path) for path in tree.iterdir() if path.is_symlink()}
    assert targets == {
        "inside": "a/run.py",
        "nowhere": "../../nowhere",
        "absolute": "/etc/passwd",
        "folder": "a",
    }
    assert not list(host.root.glob("experiments/*/code/*.partial"))
    assert os.fsencode(b"caf\xc3\xa9 \xff") in os.listdir(os.fsencode(tree))  # noqa: PTH208 (as bytes)


def test_trial_runs_in_its_code(host: Any) -> None:
    connection = host.open()
    code = Code().file("run.sh", b"#!/bin/sh\ncat data/x\n", 0o755).file("data/x", b"hello")
    code.send(connection)
    connection.run("t", "./run.sh", code=code.digest)
    connection.ended("t")
    assert host.text("t", "stdout") == "hello"


def test_code_that_is_there_is_ready_at_once(host: Any) -> None:
    code = Code().file("a", b"1")
    first = host.open()
    assert code.send(first) == [0]
    first.announce(code.manifest, code.digest)
    assert first.wait("code", digest=code.digest)["missing"] == []
    first.wait("ready", digest=code.digest)
    first.close()
    second = host.open()
    second.announce(code.manifest, code.digest)
    second.wait("ready", digest=code.digest)


def test_unchanged_files_are_not_sent_again(host: Any) -> None:
    old = Code().file("a", b"same").file("b", b"old").file("c", b"also the same")
    old.send(host.open())
    new = Code().file("other/name", b"same", 0o755).file("b", b"new").file("c", b"also the same")
    second = host.open(experiment="next")
    assert new.send(second) == [1]
    tree = new.tree(host, "next")
    assert [(tree / name).read_bytes() for name in ("other/name", "b", "c")] == [
        b"same",
        b"new",
        b"also the same",
    ]
    (tree / "c").write_bytes(b"changed")
    assert (old.tree(host) / "c").read_bytes() == b"also the same"  # a copy, not a second name


def test_file_that_was_changed_in_an_old_tree_is_not_taken(host: Any) -> None:
    old = Code().file("a", b"abc").file("b", b"def").file("c", b"ghi")
    old.send(host.open())
    tree = old.tree(host)
    (tree / "a").write_bytes(b"ABC")
    (tree / "b").unlink()
    (tree / "b").symlink_to("/etc/passwd")
    new = Code().file("a", b"abc").file("b", b"def").file("c", b"ghi").file("d", b"")
    second = host.open(experiment="next")
    assert new.send(second) == [0, 1]
    tree = new.tree(host, "next")
    assert [(tree / name).read_bytes() for name in "abc"] == [b"abc", b"def", b"ghi"]


def test_interrupted_transfer_goes_on_where_it_stopped(host: Any) -> None:
    code = Code().file("a", b"1" * 300_000, 0o700).file("b", b"2" * 300_000).file("c", b"3" * 300_000)
    first = host.open()
    first.announce(code.manifest, code.digest)
    assert first.wait("code", digest=code.digest)["missing"] == [0, 1, 2]
    first.send_file(code.digest, 0, code.files[0])
    first.send("file", code.files[1][:100_000], digest=code.digest, index=1, last=False)
    assert first.is_served()
    assert not code.tree(host).exists()
    first.kill()
    second = host.open()
    assert code.send(second) == [1, 2]
    tree = code.tree(host)
    assert [(tree / name).read_bytes() for name in "abc"] == list(code.files.values())
    assert stat.S_IMODE((tree / "a").stat().st_mode) == 0o700


def test_file_that_changed_meanwhile_is_refused(host: Any) -> None:
    code = Code().file("a", b"1234").file("b", b"5678")
    connection = host.open()
    for index, content in ((0, b"1235"), (0, b"12"), (0, b"12345"), (7, b"1234")):
        connection.announce(code.manifest, code.digest)
        assert connection.wait("code", digest=code.digest)["missing"] == [0, 1]
        connection.send_file(code.digest, index, content)
        failed = connection.wait("code_failed", digest=code.digest)
        assert failed["fault"] == "code"
        assert failed["reason"].startswith("file 7 was not asked for" if index else "a ")
        connection.send_file(code.digest, 1, b"5678")  # was on its way
    assert code.send(connection) == [0, 1]


@pytest.mark.parametrize(
    "code",
    [
        Code().file("../a", b""),
        Code().file("/etc/a", b""),
        Code().file("a/../../b", b""),
        Code().file("a//b", b""),
        Code().file("./a", b""),
        Code().file("", b""),
        Code().file("a\0b", b""),
        Code().link("a", "/tmp").file("a/b", b""),
        Code().file("a/b/c", b"").link("a/b", "x"),
        Code().file("a", b"").folder("a/b"),
        Code().file("a", b"").file("a", b"1"),
        Code().link("a", ""),
        Code().file("a", b"", 0o4755),
        Code().file("a", b"", -1),
    ],
    ids=lambda code: repr([entry["path"] for entry in code.entries]),
)
def test_manifest_that_leads_elsewhere_is_refused(code: Code) -> None:
    with pytest.raises(RefusedError):
        read_manifest(code.manifest, code.digest)


@pytest.mark.parametrize(
    "manifest",
    [b"", b"{}x", b"[1]", b"3", b'[{"path": "a"}]', b'[{"path": "a", "kind": "fifo"}]', b"[" * 99_999],
)
def test_nonsense_is_no_manifest(manifest: bytes) -> None:
    with pytest.raises(RefusedError):
        read_manifest(manifest, hashlib.sha256(manifest).hexdigest())


def test_refused_manifest_is_told_and_writes_nothing(host: Any, tmp_path: Path) -> None:
    connection = host.open()
    code = Code().link("a", str(tmp_path)).file("a/stolen", b"x")
    connection.announce(code.manifest, code.digest)
    assert connection.wait("code_failed")["fault"] == "code"
    connection.announce(code.manifest, "0" * 64)
    assert "not the one that its digest names" in connection.wait("code_failed")["reason"]
    assert not (tmp_path / "stolen").exists()
    assert connection.is_served()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes, of which half a one is for the runtime."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("platform: no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_is_told_and_can_be_freed(small_disk: Path, host: Any) -> None:
    host.root = small_disk / "root"
    connection = host.open()
    code = Code().file("small", b"x" * 50_000).file("large", b"y" * 4_000_000)
    connection.announce(code.manifest, code.digest)
    connection.wait("code", digest=code.digest)
    for index in (0, 1):
        connection.send_file(code.digest, index, code.files[index])
    failed = connection.wait("code_failed")
    assert (failed["fault"], "No space left" in failed["reason"]) == ("host", True)
    other = Code().file("b", b"z" * 1_500_000)
    assert other.send(connection) == [0]  # what did not fit has been taken away again

    running = connection.run("running", "until [ -e go-on ]; do sleep 0.01; done", code=other.digest)
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    unstarted = connection.start("t", "true", code=other.digest)
    assert unstarted["type"] == "unstarted"
    assert "No space left" in unstarted["reason"]
    connection.kill()
    second = host.connect()
    assert second.open()["type"] == "opened"  # so that what runs is not lost
    second.send("adopt", key=["running", 0], identity=running, after=-1, command="", environment={})
    assert second.is_served()
    (small_disk / "filler").unlink()
    second.run("t", "true", code=other.digest)
    assert second.ended("t")["exit_status"] == 0
    (other.tree(host) / "go-on").touch()
    assert second.ended("running")["exit_status"] == 0


def test_hosts_of_one_folder_bring_the_same_code_without_meeting(host: Any) -> None:
    code = Code().file("a", b"1" * 300_000).file("b", b"2").folder("c", 0o500).link("d", "a")
    connections = [host.open(host=name) for name in ("h1", "h2", "h3")]
    for connection in connections:
        connection.announce(code.manifest, code.digest)
        assert connection.wait("code", digest=code.digest)["missing"] == [0, 1]
    first, second, third = connections
    for connection in (first, second):
        connection.send_file(code.digest, 0, code.files[0])
    third.send("file", code.files[0][:1000], digest=code.digest, index=0, last=False)
    for connection in (second, first):
        connection.send_file(code.digest, 1, code.files[1])
        connection.wait("ready", digest=code.digest)
    third.send("file", code.files[0][1000:], digest=code.digest, index=0, last=True)
    third.wait("ready", digest=code.digest)  # though it never had all of it
    third.send_file(code.digest, 1, code.files[1])  # was on its way
    third.wait("ready", digest=code.digest)
    tree = code.tree(host)
    assert [(tree / name).read_bytes() for name in "ab"] == list(code.files.values())
    assert third.is_served()
    assert [path.name for path in tree.parent.parent.iterdir() if path.name.endswith(".partial")] == []


def test_host_takes_what_another_has_received_so_far(host: Any) -> None:
    code = Code().file("a", b"1" * 3000).file("b", b"2" * 3000)
    first, second = host.open(host="h1"), host.open(host="h2" + "x" * 198)  # as long as can be
    first.announce(code.manifest, code.digest)
    first.wait("code", digest=code.digest)
    first.send_file(code.digest, 0, code.files[0])
    assert first.is_served()
    assert code.send(second) == [1]
    first.send_file(code.digest, 1, code.files[1])
    first.wait("ready", digest=code.digest)


def test_what_is_no_tree_of_another_host_is_not_taken_for_one(host: Any) -> None:
    code = Code().file("a", b"1").file("b", b"2")
    connection = host.open()
    connection.announce(code.manifest, code.digest)
    connection.wait("code", digest=code.digest)
    place = code.tree(host).parent
    place.mkdir()
    (place / "manifest.json").write_bytes(code.manifest)
    for index in (0, 1):
        connection.send_file(code.digest, index, code.files[index])
    failed = connection.wait("code_failed", "ready", digest=code.digest)
    assert (failed["type"], failed.get("fault")) == ("code_failed", "host")
    (place / "manifest.json").unlink()
    place.rmdir()
    assert code.send(connection) == []  # nothing of what came is lost
