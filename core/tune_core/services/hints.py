"""Why a trial failed, told from its exit status and its last words, and what to do about it.

For training services: the end of standard error in, a reason for a person out. Which Python ran
the trial is known only where its command was started.
"""

from __future__ import annotations

import re
import shlex

__all__ = ["explain", "hint_on"]

_NO_SDK = """\
{python} lacks the package that trials import. Install it there: {pip} install tune-sdk; \
or activate the environment that has it before `tune run`"""
_HIDDEN = """\
a module that is not tune-sdk's hides it from {python}: a file tune.py beside the script, or another \
package. This shows which: {word} -c 'import tune; print(tune.__file__)'"""
_MISSING = """\
{python} ran the trial. Install what is missing there, or activate the environment that has it before \
`tune run`"""

_NOT_FOUND = r"(?:ModuleNotFoundError|ImportError): No module named "

# Matched against the last line of standard error; the first that fits counts.
_HINTS = (
    (_NOT_FOUND + r"'?tune'?", _NO_SDK),
    (_NOT_FOUND + r"'?tune\..*", _HIDDEN),  # a tune was found
    (r"(?:AttributeError: .*module|ImportError: cannot import name .* from) '?tune\b.*", _HIDDEN),
    (_NOT_FOUND + r"'?[\w.]+'?.*", _MISSING),
)


_MEANINGS = {126: ": command not executable", 127: ": command not found"}  # of the shell's own statuses


def explain(exit_status: int | None, last_lines: str, python: str = "") -> str:
    """The reason of an `Ending`; empty for a trial that ended well.

    Args:
        last_lines: The end of its standard error, printable.
        python: The program that ran it, from `tune.host.last_words.python_of`; empty if that is not known.
    """
    if exit_status == 0:
        return ""
    if exit_status is None:
        told = "no exit status"
    else:
        told = f"exit status {exit_status}{_MEANINGS.get(exit_status, '')}"
    if not last_lines:
        return told
    hint = hint_on(last_lines, python)
    return f"{told}; last lines of stderr:\n{last_lines}" + (f"\n{hint}" if hint else "")


def hint_on(words: str, python: str = "") -> str:
    """What to do about a trial whose standard error ended in `words`; empty when nobody knows.

    Args:
        python: The program that ran it, from `tune.host.last_words.python_of`; empty if that is not known.
    """
    last = words.rstrip().rpartition("\n")[2].strip()
    for pattern, hint in _HINTS:
        if re.fullmatch(pattern, last):
            word = shlex.quote(python) if python else "python"
            return "hint: " + hint.format(
                python=python or "the trial's Python",
                word=word,
                pip=f"{word} -m pip" if python else "pip",
            )
    return ""
