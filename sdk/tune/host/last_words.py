"""What is to be said of a trial that failed: which Python ran it, known only where it ran."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import PurePath
from typing import Mapping

__all__ = ["python_of"]


def python_of(command: str, environ: Mapping[str, str]) -> str:
    """The first Python that a shell would find for `command`; empty if it names none."""
    try:
        words = shlex.split(command, comments=False)
    except ValueError:
        return ""
    for word in words:
        path = PurePath(word)
        if re.fullmatch(r"python[\d.]*", path.name):
            is_relative = len(path.parts) > 1 and not path.is_absolute()  # to a folder that is not ours
            return "" if is_relative else shutil.which(word, path=environ.get("PATH")) or ""
    return ""
