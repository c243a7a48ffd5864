"""`.tuneignore` against the one who knows: git itself, on trees that are made up."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tune_core.services.ignore import Rules, parse_rules

NAMES = ["a", "b", "ab", "a.py", "b.py", "lib", "data", "A1", "-", "[", "#x", "!y", "x ", "ü"]
ATOMS = [
    "a", "b", "lib", "data", "*", "**", "?", "/", "/", ".py", "[ab]", "[!a]", "[a-z]", "[[:alpha:]]", "[]a]",
    "[^-]", "[a-", "[[:no:]]", "\\", "\\*", " ", "\\ ", "!", "#", "***", "ü", "1", "[\\]a]", "[a\\-z]",
]  # fmt: skip
MADE_UP = 400


class Case(NamedTuple):
    """Paths of files, the rules at the top, and those in a folder, if it is one."""

    tree: set[str]
    top: str
    nested: str = ""
    where: str = "b"


KNOWN = [
    Case({"d/x.txt", "d/y.py"}, "*\n!*/\n!*.py", where="d"),
    Case({"a/b", "b"}, "a/**"),
    Case({"lib/ab", "lib/x/a", "libx/x/a"}, "lib**/a", where="lib"),
    Case({"a/b/data"}, "data/", "!data", "a"),
    Case({"a/b/c"}, "a/b\n!a/b/c"),
    Case({"a", "x "}, "\ufeffa  \nx\\ \r"),
    Case({"a", "b/a"}, "/a", "\\"),
]


def made_up(chance: random.Random) -> Case:
    def path() -> str:
        return "/".join(chance.choices(NAMES, k=chance.randint(1, 4)))

    def line() -> str:
        return chance.choice(["", "", "!", "/", "\\"]) + "".join(
            chance.choices(ATOMS, k=chance.randint(0, 5))
        )

    def rules() -> str:
        return "\n".join(line() for _ in range(chance.randint(1, 5)))

    tree = {path() for _ in range(chance.randint(1, 12))}
    return Case(tree, rules(), rules(), chance.choice(NAMES))


def make(case: Case, root: Path) -> None:
    root.mkdir()
    for name in sorted(case.tree):
        path = root / name
        if any((root / parent).is_file() for parent in Path(name).parents) or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / ".gitignore").write_bytes(case.top.encode())
    if (root / case.where).is_dir():
        (root / case.where / ".gitignore").write_bytes(case.nested.encode())


def entries(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def left_out_by_git(root: Path, paths: list[str]) -> set[str]:
    """What git would not look at: what it ignores, and what lies below."""
    git = shutil.which("git")
    assert git, "git is what the rules are checked against"
    # Without what belongs to the repository that these tests may be run in by a hook of git's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
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
            verdicts = (
                rules.decide(os.fsencode(path.relative_to(base)), path.is_dir())
                for base, rules in reversed(above)
            )
            if next((verdict for verdict in verdicts if verdict is not None), False):
                yield from (str(each.relative_to(root)) for each in (path, *path.rglob("*")))
            elif path.is_dir():
                yield from walk(path, above)

    return walk(root, [])


def test_rules_leave_out_what_git_would(tmp_path: Path) -> None:
    chance = random.Random(1)
    cases = {str(n): case for n, case in enumerate([*KNOWN, *(made_up(chance) for _ in range(MADE_UP))])}
    for name, case in cases.items():
        make(case, tmp_path / name)
    # In one go, for to start git takes far longer than to ask it.
    found = {name: entries(tmp_path / name) for name in cases}
    by_git = left_out_by_git(tmp_path, [f"{name}/{path}" for name, paths in found.items() for path in paths])
    differing = {
        name: f"{case}: by git {sorted(git)}, by us {sorted(ours)}"
        for name, case in cases.items()
        if (ours := set(left_out(tmp_path / name)))
        != (git := {path for path in found[name] if f"{name}/{path}" in by_git})
    }
    assert differing == {}
    partly = [
        n for n, paths in found.items() if 0 < len(by_git & {f"{n}/{each}" for each in paths}) < len(paths)
    ]
    assert len(partly) > 50  # so there is something to differ about
