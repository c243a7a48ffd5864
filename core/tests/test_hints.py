"""What is said about a failed trial's last words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_core.services.hints import hint_on, python_of

TRACE = 'Traceback (most recent call last):\n  File "train.py", line 1, in <module>\n    import x\n'


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("ModuleNotFoundError: No module named 'tune'", "/bin/py -m pip install tune-sdk"),
        ("ModuleNotFoundError: No module named 'tune.utils'", "/bin/py -m pip install tune-sdk"),
        ("ImportError: No module named tune", "/bin/py -m pip install tune-sdk"),
        (
            "AttributeError: module 'tune' has no attribute 'report_final_result'",
            "/bin/py -c 'import tune; print",
        ),
        (
            "AttributeError: partially initialized module 'tune' has no attribute 'x' (circular import)",
            "hides it from /bin/py",
        ),
        ("ImportError: cannot import name 'x' from 'tune' (/a/tune.py)", "hides it from /bin/py"),
        ("ModuleNotFoundError: No module named 'tuners'", "/bin/py ran the trial. Install what is missing"),
        ("ModuleNotFoundError: No module named 'torch'", "/bin/py ran the trial. Install what is missing"),
    ],
)
def test_hint_says_which_python_and_what_to_install(words: str, hint: str) -> None:
    assert hint in hint_on(f"{TRACE}{words}\n", "/bin/py")


def test_hint_goes_without_the_name_of_the_python() -> None:
    hint = hint_on("ModuleNotFoundError: No module named 'tune'")
    assert hint.startswith(
        "hint: the trial's Python lacks the package that trials import. Install it there: pip"
    )


@pytest.mark.parametrize(
    "words", ["", "\n", "ValueError: No module named 'tune'", "No module named 'tune'\nValueError: 3", "x\0y"]
)
def test_other_words_get_no_hint(words: str) -> None:
    assert hint_on(words) == ""


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
