"""What is said about a failed trial's last words."""

from __future__ import annotations

import pytest

from tune_core.services.hints import explain, hint_on

TRACE = 'Traceback (most recent call last):\n  File "train.py", line 1, in <module>\n    import x\n'


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("ModuleNotFoundError: No module named 'tune'", "/bin/py -m pip install tune-sdk"),
        ("ModuleNotFoundError: No module named 'tune.utils'", "hides it from /bin/py"),
        ("ModuleNotFoundError: No module named 'tune.x'; 'tune' is not a package", "hides it from /bin/py"),
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
    ("status", "words", "reason"),
    [
        (0, "a warning", ""),
        (3, "", "exit status 3"),
        (127, "sh: nope", "exit status 127: command not found; last lines of stderr:\nsh: nope"),
        (126, "", "exit status 126: command not executable"),
        (None, "", "no exit status"),
    ],
)
def test_reason_has_status_and_last_words(status: int | None, words: str, reason: str) -> None:
    assert explain(status, words) == reason


def test_reason_ends_with_the_hint() -> None:
    reason = explain(1, "ModuleNotFoundError: No module named 'tune'", "/bin/py")
    assert reason.startswith("exit status 1; last lines of stderr:\nModuleNotFoundError")
    assert reason.splitlines()[-1].startswith("hint: /bin/py lacks")
