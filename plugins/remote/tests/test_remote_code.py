"""Looking at a code directory: what is sent, what it is called, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tune_remote.code
from tune_remote.code import PIECE, CodeChangedError, CodeTree, Entry, scan

from tune.host.code_tree import read_manifest
from tune_core import TrainingServiceError

NOWHERE = Path("/nowhere/experiment")
OLD = 1_000_000_000


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def put(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / (name if "/" in name else name.replace("__", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def look(root: Path, limit: int = 1 << 20, **options: Any) -> CodeTree:
    return scan(root, limit, options.pop("experiment", NOWHERE), **options)


def paths(tree: CodeTree) -> list[str]:
    return [entry.path for entry in tree.entries]


def entry(tree: CodeTree, path: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(tree.manifest)
    return next(each for each in found if each["path"] == path)


def read(tree: CodeTree, path: str) -> bytes:
    pieces = list(tree.read_pieces(paths(tree).index(path)))
    assert [last for _, last in pieces] == [False] * (len(pieces) - 1) + [True]
    assert all(len(piece) <= PIECE for piece, _ in pieces)
    return b"".join(piece for piece, _ in pieces)


def test_manifest_says_what_there_is(code: Path) -> None:
    (code / "empty").mkdir()
    put(code, train="print(1)", lib__net="x")
    (code / "train").chmod(0o755)
    (code / "link").symlink_to("lib/net")
    tree = look(code)
    assert json.loads(tree.manifest) == [
        {"path": "empty", "kind": "dir", "mode": 0o700},
        {"path": "lib", "kind": "dir", "mode": 0o700},
        {"path": "lib/net", "kind": "file", "mode": 0o600, "size": 1, "sha256": sha256(b"x")},
        {"path": "link", "kind": "link", "target": "lib/net"},
        {"path": "train", "kind": "file", "mode": 0o700, "size": 8, "sha256": sha256(b"print(1)")},
    ]
    assert len(read_manifest(tree.manifest, tree.digest)) == 5  # the host takes it
    assert tree.digest == sha256(tree.manifest)
    assert b"".join(tree.manifest_pieces()) == tree.manifest
    assert tree.remarks == []


def test_folder_comes_before_what_is_in_it(code: Path) -> None:
    put(code, **{"a__b": "", "a-b": "", "a.b": ""})
    assert paths(look(code)) == ["a", "a-b", "a.b", "a/b"]


def test_digest_is_of_the_content_alone(code: Path, tmp_path: Path) -> None:
    put(code, a="1", b__c="2")
    copy = tmp_path / "copy"
    put(copy, b__c="2", a="1")
    os.utime(copy / "a", (OLD, OLD))
    (copy / "a").chmod(0o640)
    assert look(copy).digest == look(code).digest
    (copy / "a").chmod(0o700)
    assert look(copy).digest != look(code).digest


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_are_the_file(code: Path, size: int) -> None:
    content = os.urandom(size)
    (code / "data").write_bytes(content)
    assert read(look(code), "data") == content


@pytest.mark.parametrize("before", ["x" * 3, "x" * (2 * PIECE + 3)], ids=["short", "long"])
@pytest.mark.parametrize("change", ["longer", "shorter", "other", "gone", "pipe"])
def test_change_is_noticed_before_the_last_piece(code: Path, before: str, change: str) -> None:
    put(code, data=before)
    tree = look(code)
    path = code / "data"
    if change in ("gone", "pipe"):
        path.unlink()
    if change == "pipe":
        os.mkfifo(path)
    if change not in ("gone", "pipe"):
        path.write_text({"longer": before + "y", "shorter": before[1:], "other": before[:-1] + "y"}[change])
    with pytest.raises(CodeChangedError, match="data was changed while it was being sent"):
        read(tree, "data")


def test_what_ignore_files_say_is_left_out(code: Path) -> None:
    put(code, a="", data__big="", sub__data__x="", sub__keep="", sub__b="")
    put(code, **{".nniignore": "data/\nb\n", ".tuneignore": "!b", "sub__.tuneignore": "!data\nkeep"})
    assert paths(look(code)) == [
        ".nniignore", ".tuneignore", "a", "sub", "sub/.tuneignore", "sub/b", "sub/data", "sub/data/x",
    ]  # fmt: skip


def test_folder_that_is_left_out_is_not_looked_into(code: Path) -> None:
    put(code, closed__secret="", **{".tuneignore": "closed"})
    (code / "closed").chmod(0)
    try:
        assert paths(look(code)) == [".tuneignore"]
    finally:
        (code / "closed").chmod(0o700)


def test_git_and_caches_are_left_out(code: Path) -> None:
    put(
        code,
        **{
            ".git__config": "",
            "a__pycache": "",
            "a/__pycache__/x.pyc": "",
            "a__.git": "gitdir: ..",
            ".github__x": "",
        },
    )
    assert paths(look(code)) == [".github", ".github/x", "a", "a/pycache"]


def test_experiments_inside_are_left_out(code: Path, tmp_path: Path) -> None:
    put(code, a="", home__e1__log="", **{"e2__experiment.sqlite": "", "e2__trials": ""})
    put(tmp_path, **{"elsewhere__e3__experiment.sqlite": ""})
    (code / "home" / "e3").symlink_to(tmp_path / "elsewhere" / "e3")
    assert paths(look(code, experiment=code / "home" / "e1")) == ["a", "home"]


def test_directory_with_a_record_of_its_own_is_code_all_the_same(code: Path) -> None:
    put(code, a="", **{"experiment.sqlite": ""})
    assert paths(look(code)) == ["a", "experiment.sqlite"]


def test_links_stay_links(code: Path, tmp_path: Path) -> None:
    put(code, lib__net="x")
    outside = tmp_path / "data"
    outside.mkdir()
    for name, target in {
        "inside": "lib/net",
        "lib/up": "../lib/net",
        "whole": "lib",
        "absolute": str(code / "lib" / "net"),
        "nothing": "missing",
        "out": str(outside),
        "lib/over": "../../data",
    }.items():
        (code / name).symlink_to(target)
    tree = look(code)
    targets = {
        each: entry(tree, each)["target"] for each in paths(tree) if entry(tree, each)["kind"] == "link"
    }
    assert targets == {
        "absolute": "lib/net",
        "inside": "lib/net",
        "lib/over": "../../data",
        "lib/up": "../lib/net",
        "nothing": "missing",
        "out": str(outside),
        "whole": "lib",
    }
    assert tree.remarks == ["links that lead out of the code directory are sent as they are: lib/over, out"]
    assert "whole/net" not in paths(tree)


def test_sockets_and_pipes_are_left_out_with_a_remark(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(code, a="")
    os.mkfifo(code / "pipe")
    monkeypatch.chdir(code)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        tree = look(code)
    assert paths(tree) == ["a"]
    assert tree.remarks == ["neither files, folders nor links, and not sent: pipe, socket"]


def test_any_file_name_is_sent(code: Path) -> None:
    names = [b"\xff\xfe", "ü ☃".encode(), b"new\nline", b"-rf", b'"']
    for name in names:
        (code / os.fsdecode(name)).write_bytes(name)
    tree = look(code)
    again = [os.fsencode(each["path"]) for each in json.loads(tree.manifest)]
    assert again == sorted(names)
    assert [read(tree, os.fsdecode(name)) for name in names] == names


def test_any_file_name_can_be_told(code: Path) -> None:
    os.mkfifo(os.fsencode(code) + b"/\xff\n\x1b")
    assert look(code).remarks == ["neither files, folders nor links, and not sent: \\udcff\\n\\x1b"]


def test_too_much_is_refused_with_what_is_largest(code: Path) -> None:
    for number in range(12):
        path = code / "data" / "raw" / f"part{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate((number + 1) << 20)  # a hole: nothing is read before it is refused
    put(code, train="x", lib__net="x")
    with pytest.raises(TrainingServiceError) as caught:
        look(code, limit=77 << 20)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(
        f"the code directory {code} has 78.0 MiB in 14 files, more than codeSizeLimit (77.0"
    )
    assert lines[1].split() == ["12.0", "MiB", "data/raw/part11"]
    assert lines[10].split() == ["3.0", "MiB", "data/raw/part2"]
    assert lines[11:14] == ["    of folders:", "        78.0 MiB  data/", "         0.0 MiB  lib/"]
    assert ".tuneignore" in lines[14]
    assert "trainingService.codeSizeLimit" in lines[15]
    put(code, **{".tuneignore": "part11"})
    assert "data/raw/part10" in paths(look(code, limit=77 << 20))


def test_only_what_changed_is_read_again(code: Path) -> None:
    put(code, same="old", other="old")
    first = look(code)
    earlier = CodeTree(first.root, [as_read_long_ago(code, each) for each in first.entries], [])
    put(code, other="new")
    again = {each.path: each.sha256 for each in look(code, earlier=earlier).entries}
    assert again == {"same": "not read again", "other": sha256(b"new")}


def as_read_long_ago(code: Path, each: Entry) -> Entry:
    """An entry that is trusted although its file is new, with a hash that shows whether it was."""
    info = (code / each.path).stat()
    seen = (each.path, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return replace(each, seen=seen, sha256="not read again")


@pytest.mark.parametrize(("age_s", "is_read_again"), [(0.0, True), (1.9, True), (2.5, False)])
def test_file_changed_just_now_is_read_again(
    code: Path, monkeypatch: pytest.MonkeyPatch, age_s: float, is_read_again: bool
) -> None:
    put(code, a="1")
    changed = (code / "a").stat().st_ctime
    monkeypatch.setattr("tune_remote.code.time", SimpleNamespace(time=lambda: changed + age_s))
    assert (look(code).entries[0].seen is None) is is_read_again  # the clock's tick may hide a second change


@pytest.mark.parametrize("name", ["secret", "closed__file"])
def test_what_cannot_be_read_is_named(name: str) -> None:
    me = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is closed to others
        code = Path(folder)
        put(code, **{name: "x"})
        first = code / name.partition("__")[0]
        first.chmod(0)
        code.chmod(0o755)
        if me == 0:
            os.seteuid(65534)  # root reads everything
        try:
            with pytest.raises(TrainingServiceError, match=rf"{first}: cannot be read.*\n.*\.tuneignore"):
                look(code)
        finally:
            os.seteuid(me)
            first.chmod(0o700)


def test_ignore_file_may_be_a_link(code: Path) -> None:
    put(code, data="", **{".gitignore": "data"})
    (code / ".tuneignore").symlink_to(".gitignore")
    (code / ".nniignore").mkdir()
    assert paths(look(code)) == [".gitignore", ".nniignore", ".tuneignore"]


def test_missing_directory_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingServiceError, match="gone does not exist"):
        look(tmp_path / "gone")


def test_file_that_never_rests_is_named(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(code, log="x")
    digest = tune_remote.code._digest

    def digest_while_it_grows(descriptor: int) -> str:
        found = digest(descriptor)
        with (code / "log").open("a") as file:
            file.write("x")
        return found

    monkeypatch.setattr("tune_remote.code._digest", digest_while_it_grows)
    with pytest.raises(TrainingServiceError, match=r"log: is written to all the time.*\n.*\.tuneignore"):
        look(code)


def test_rewritten_code_is_sent_with_what_its_links_stand_for(tmp_path: Path) -> None:
    origin, code = tmp_path / "project", tmp_path / "experiment" / "code"
    put(origin, train="as it was", data__set__a="rows", data__junk="no", readme="words")
    (origin / ".tuneignore").write_text("/data/junk\n")
    (origin / "data" / "out").symlink_to("/nowhere/else")
    (origin / "data" / "in").symlink_to(origin / "readme")
    put(code, train="rewritten", **{".tune-origin": f"{origin}\n"})
    for name in ("data", "readme", ".tuneignore"):
        (code / name).symlink_to(origin / name)
    (code / "users").symlink_to("/nowhere/users")
    tree = look(code, experiment=code.parent)
    kinds = {each.path: each.kind for each in tree.entries}
    assert kinds == {
        ".tuneignore": "file",
        "data": "dir",
        "data/in": "link",
        "data/out": "link",
        "data/set": "dir",
        "data/set/a": "file",
        "readme": "file",
        "train": "file",
        "users": "link",
    }
    assert read(tree, "train") == b"rewritten"
    assert read(tree, "data/set/a") == b"rows"
    assert read(tree, "readme") == b"words"
    assert entry(tree, "data/in")["target"] == "../readme"
    assert tree.remarks == [
        "links that lead out of the code directory are sent as they are: data/out, users",
    ]
    again = look(code, experiment=code.parent, earlier=tree)
    assert again.digest == tree.digest
    assert read(again, "data/set/a") == b"rows"


def test_users_own_code_has_no_origin(tmp_path: Path) -> None:
    origin, code = tmp_path / "project", tmp_path / "code"
    put(origin, secret="x")
    put(code, **{".tune-origin": f"{origin}\n"})
    (code / "secret").symlink_to(origin / "secret")
    assert paths(look(code)) == [".tune-origin", "secret"]
    assert entry(look(code), "secret")["kind"] == "link"
