"""Which Python ran a trial, told by the machine that it ran on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune.host.last_words import python_of


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("python train.py", "python"),
        ("A=1 nice python3.11 train.py", "python3.11"),
        ("cd src && ./bin/python x.py", ""),
        ("bash run.sh", ""),
        ("echo 'unclosed", ""),
        ("pythonic", ""),
    ],
)
def test_python_is_the_one_that_the_shell_would_find(command: str, found: str, tmp_path: Path) -> None:
    for name in ("python", "python3.11", "pythonic"):
        (tmp_path / name).touch(mode=0o755)
    wanted = str(tmp_path / found) if found else ""
    assert python_of(command, {"PATH": str(tmp_path)}) == wanted
