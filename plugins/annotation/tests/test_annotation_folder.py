"""The folder that trials run in: what is copied, what is linked, and what is left alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from effort import builtin_calls, instructions
from tune_annotation.reader import AnnotatedCode

from tune_core import ConfigError

VARIABLE = '"""@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\n'
RENDERED = "_tune_annotated.value("


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "net.py").write_text(VARIABLE)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def put(folder: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def expand(code: Path, target: Path) -> dict[str, str]:
    AnnotatedCode().expand(code, target)
    return kinds(target)


def kinds(target: Path) -> dict[str, str]:
    """What is in the expanded folder: for each name on top whether it is a link, a folder or a file."""
    return {
        path.name: "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        for path in target.iterdir()
        if path.name != ".tune-origin"
    }


def test_code_is_copied_and_all_else_linked(code: Path, target: Path) -> None:
    put(code, "main.py", "lib/inner/layer.py", "lib/weights.bin", "data/a/b.csv", "data/c.csv", "notes.txt")
    put(code, "lib/inner/deep.py", text=VARIABLE)
    assert expand(code, target) == {
        "net.py": "file",
        "main.py": "file",
        "lib": "folder",
        "data": "link",
        "notes.txt": "link",
    }
    assert (target / "data").readlink() == code / "data"
    assert (target / "lib" / "weights.bin").is_symlink()
    assert RENDERED in (target / "lib" / "inner" / "deep.py").read_text()
    assert not (target / "lib" / "inner" / "layer.py").is_symlink()
    assert (target / ".tune-origin").read_text() == f"{code}\n"
    assert (code / "net.py").read_text() == VARIABLE


def test_script_that_is_not_annotated_finds_the_rewritten_module(code: Path, target: Path) -> None:
    # Python looks for modules where a linked script really lies.
    put(code, "main.py", text="import net\nprint(net.__file__)\n")
    put(
        code,
        "scripts/run.py",
        text="import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))\n"
        "import net\nprint(net.__file__)\n",
    )
    expand(code, target)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3] / "sdk"),
        "TUNE_PARAMETERS": '{"net/x/choice": 2}',
    }
    for script in ("main.py", "scripts/run.py"):
        done = subprocess.run(
            [sys.executable, script],
            cwd=target,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        assert done.stdout.strip() == str(target / "net.py")


def test_mode_of_a_script_stays_and_a_copy_can_be_written(code: Path, target: Path) -> None:
    (code / "net.py").chmod(0o755)
    put(code, "run.sh")
    (code / "run.sh").chmod(0o555)
    expand(code, target)
    assert stat.S_IMODE((target / "net.py").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "run.sh").stat().st_mode) == 0o755


@pytest.mark.parametrize("ignore", [".tuneignore", ".nniignore"])
def test_what_is_no_code_is_not_read_and_linked(code: Path, target: Path, ignore: str) -> None:
    wrong = '"@nni.variable()"\n'
    put(code, "old/a.py", ".hidden/a.py", "env/lib/a.py", "conda/a.py", "__pycache__/a.py", text=wrong)
    put(code, ".b.py", "deep/skip.py", text=wrong)
    put(code, "env/pyvenv.cfg", "conda/conda-meta/history", text="")
    put(code, "deep/keep.py")
    (code / ignore).write_text("/old/\nskip.py\n")
    assert expand(code, target) == {
        "net.py": "file",
        "old": "link",
        ".hidden": "link",
        "env": "link",
        "conda": "link",
        ".b.py": "link",
        "deep": "folder",
        ignore: "link",
    }
    assert (target / "deep" / "skip.py").is_symlink()
    assert not (target / "deep" / "keep.py").is_symlink()


def test_links_of_the_user_lead_to_the_like_place(code: Path, target: Path, tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/data.csv", "elsewhere/far.py", text=VARIABLE)
    put(code, "pkg/a.py")
    (code / "alias.py").symlink_to("net.py")
    (code / "absolute").symlink_to(code / "pkg")
    (code / "loop").symlink_to(".")
    (code / "pkg" / "up").symlink_to("..")
    (code / "outside").symlink_to("../elsewhere")
    (code / "far.py").symlink_to("../elsewhere/far.py")
    (code / "gone").symlink_to("nowhere")
    (code / "itself").symlink_to("itself")
    expand(code, target)
    links = {path.name: str(path.readlink()) for path in target.iterdir() if path.is_symlink()}
    assert links == {
        "alias.py": "net.py",
        "absolute": "pkg",
        "loop": ".",
        "outside": str(tmp_path / "elsewhere"),
        "gone": "nowhere",
        "itself": "itself",
    }
    assert str((target / "pkg" / "up").readlink()) == ".."
    assert RENDERED in (target / "alias.py").read_text()
    assert RENDERED in (target / "far.py").read_text()
    assert list(AnnotatedCode().search_space(code)) == ["far/x/choice", "net/x/choice"]


def test_target_and_experiments_inside_are_not_code(code: Path) -> None:
    experiment = code / "experiments" / "abcd"
    for name in ("trials", "created", "doorbell", "code"):
        (experiment / name).mkdir(parents=True)
    put(experiment, "trials/t/0/a.py", text=VARIABLE)
    put(code, "experiments/notes.txt")
    assert expand(code, experiment / "code") == {"net.py": "file", "experiments": "folder"}
    assert [path.name for path in (experiment / "code" / "experiments").iterdir()] == ["notes.txt"]
    plain = code / "out"
    plain.mkdir()
    assert expand(code, plain) == {"net.py": "file", "experiments": "folder"}


def test_generated_folder_is_a_copy(code: Path, target: Path) -> None:
    put(code, "data/a.csv", "cache/big.bin", "notes.txt")
    (code / ".tuneignore").write_text("cache\n")
    AnnotatedCode().generate(code, {"net/x/choice": 2}, target)
    assert (target / "net.py").read_text().endswith("x = 2\n")
    assert not any(
        path.is_symlink() for path in (target / "data", target / "data" / "a.csv", target / "notes.txt")
    )
    assert (target / "cache").is_symlink()
    assert not (target / ".tune-origin").exists()


def test_expanding_twice_gives_the_same(code: Path, tmp_path: Path) -> None:
    put(code, "b/a.py", "a/b.py", text=VARIABLE)
    texts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        AnnotatedCode().expand(code, tmp_path / name)
        texts.append({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.py")})
    assert texts[0] == texts[1]
    assert list(AnnotatedCode().search_space(code)) == ["net/x/choice", "a.b/x/choice", "b.a/x/choice"]


def test_large_folder_takes_little_more_than_listing_it(code: Path, tmp_path: Path) -> None:
    def grow(start: int, stop: int) -> None:
        for number in range(start, stop):
            put(code, *(f"part{number}/m{each}.{'py' if each % 2 else 'csv'}" for each in range(40)))

    def expand_anew() -> None:
        AnnotatedCode().expand(code, Path(tempfile.mkdtemp(dir=tmp_path)))

    grow(0, 2)
    reading, expanding = (
        instructions(each) for each in (lambda: AnnotatedCode().search_space(code), expand_anew)
    )
    grow(2, 8)
    # Four times as many files take four times as long at most; 500 instructions of each are microseconds.
    assert instructions(lambda: AnnotatedCode().search_space(code)) < min(4 * reading, 320 * 500)
    assert instructions(expand_anew) < min(4 * expanding, 320 * 1000)
    # Each folder is listed once, and only what may be annotated is read, once.
    calls = builtin_calls(lambda: AnnotatedCode().search_space(code))
    assert (calls["scandir"], calls["open"]) == (1 + 8, 1 + 8 * 20)
    assert calls["compile"] < 20
    calls = builtin_calls(expand_anew)
    assert (calls["scandir"], calls["symlink"]) == (1 + 8, 8 * 20)
    assert calls["open"] <= 3 * (1 + 8 * 20) + 1


def as_anyone(script: str, *arguments: str) -> None:
    """Run Python without what lets root read everything."""
    capabilities = "-dac_override,-dac_read_search"
    drop = ["setpriv", f"--bounding-set={capabilities}"] if os.geteuid() == 0 else []
    subprocess.run([*drop, sys.executable, "-c", script, *arguments], check=True, timeout=60)


def test_what_may_not_be_read_is_linked(code: Path, target: Path) -> None:
    put(code, "secret/a.py", "b.py")
    (code / "secret").chmod(0)
    (code / "b.py").chmod(0)
    script = (
        "import pathlib, sys; from tune_annotation.reader import AnnotatedCode; "
        "AnnotatedCode().expand(*map(pathlib.Path, sys.argv[1:]))"
    )
    try:
        as_anyone(script, str(code), str(target))
    finally:
        (code / "secret").chmod(0o700)
    assert kinds(target) == {"net.py": "file", "secret": "link", "b.py": "link"}


def test_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        AnnotatedCode().search_space(tmp_path / "nowhere")
