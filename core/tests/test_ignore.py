"""`.tuneignore` against the one who knows: git itself, on trees that are made up."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tune_core.services.ignore import Rules, parse_rules

NAMES = st.sampled_from(
    ["a", "b", "ab", "a.py", "b.py", "lib", "data", "A1", "-", "[", "#x", "!y", "x ", "ü"]
)
TREES = st.sets(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=12)
ATOMS = st.sampled_from(
    ["a", "b", "lib", "data", "*", "**", "?", "/", "/", ".py", "[ab]", "[!a]", "[a-z]", "[[:alpha:]]", "[]a]",
     "[^-]", "[a-", "[[:no:]]", "\\", "\\*", " ", "\\ ", "!", "#", "***", "ü", "1", "[\\]a]", "[a\\-z]"]
)  # fmt: skip
LINES = st.tuples(st.sampled_from(["", "", "!", "/", "\\"]), st.lists(ATOMS, max_size=6)).map(
    lambda parts: parts[0] + "".join(parts[1])
)
FILES = st.lists(LINES, min_size=1, max_size=5).map("\n".join)


@pytest.fixture(scope="module")
def git() -> str:
    found = shutil.which("git")
    assert found, "git is what the rules are checked against"
    return found


def make(tree: set[str], root: Path) -> None:
    for name in sorted(tree):
        path = root / name
        if any((root / parent).is_file() for parent in Path(name).parents) or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def entries(root: Path) -> list[str]:
    found = (path for path in root.rglob("*") if ".git" not in path.relative_to(root).parts)
    return sorted(str(path.relative_to(root)) for path in found)


def left_out_by_git(git: str, root: Path, paths: list[str]) -> set[str]:
    """What git would not look at: what it ignores, and what lies below."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run([git, "init", "-q", "."], cwd=root, check=True, env=environment)
    asked = subprocess.run(
        [git, "check-ignore", "--no-index", "--stdin", "-z"],
        cwd=root,
        input="\0".join(paths).encode(),
        capture_output=True,
        env=environment,
        check=False,
    )
    assert asked.returncode in (0, 1), asked.stderr
    return {path for path in asked.stdout.decode().split("\0") if path}


def left_out(root: Path) -> Iterator[str]:
    """The same by our rules, walking down as the scan does."""

    def walk(folder: Path, above: list[tuple[Path, Rules]]) -> Iterator[str]:
        ignore = folder / ".gitignore"
        if ignore.is_file():
            above = [*above, (folder, parse_rules(ignore.read_bytes()))]
        for path in folder.iterdir():
            if path.name == ".git":
                continue
            verdicts = (
                rules.decide(os.fsencode(path.relative_to(base)), path.is_dir())
                for base, rules in reversed(above)
            )
            if next((verdict for verdict in verdicts if verdict is not None), False):
                yield from (str(each.relative_to(root)) for each in (path, *path.rglob("*")))
            elif path.is_dir():
                yield from walk(path, above)

    return walk(root, [])


@settings(max_examples=150, deadline=None)
@given(tree=TREES, top=FILES, nested=FILES, where=NAMES)
@example(tree={"d/x.txt", "d/y.py"}, top="*\n!*/\n!*.py", nested="", where="d")
@example(tree={"a/b", "b"}, top="a/**", nested="", where="b")
@example(tree={"lib/ab", "lib/x/a", "libx/x/a"}, top="lib**/a", nested="", where="lib")
@example(tree={"a/b/data"}, top="data/", nested="!data", where="a")
@example(tree={"a/b/c"}, top="a/b\n!a/b/c", nested="", where="b")
@example(tree={"a", "x "}, top="\ufeffa  \nx\\ \r", nested="", where="b")
@example(tree={"a", "b/a"}, top="/a", nested="\\", where="b")
def test_rules_leave_out_what_git_would(git: str, tree: set[str], top: str, nested: str, where: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(tree, root)
        (root / ".gitignore").write_bytes(top.encode())
        if (root / where).is_dir():
            (root / where / ".gitignore").write_bytes(nested.encode())
        paths = entries(root)
        assert set(left_out(root)) == left_out_by_git(git, root, paths)
