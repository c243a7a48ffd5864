"""Running the conformance kits on what an installed package brings."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
import tempfile
from pathlib import Path

from tune_core.cli.output import remark
from tune_core.errors import PluginError
from tune_core.plugins import Found

__all__ = ["run_kits"]

_KITS = {
    "tuner": ("TunerContract", "make_tuner"),
    "assessor": ("AssessorContract", "make_assessor"),
    "advisor": ("AdvisorContract", "make_advisor"),
    "training_service": ("TrainingServiceContract", "make_service"),
}

_HEAD = '''\
"""Written by `tune plugins check`."""

from tune_core.plugins import plugins
from tune_core.space import SearchSpace
from tune_core.testing import (
    EXAMPLE_SPACES, AdvisorContract, AssessorContract, TrainingServiceContract, TunerContract
)


def taken(driver):
    """The example spaces that a driver says it takes."""
    spaces = {} if driver.needs_space else {"its own": {}}
    for name, raw in EXAMPLE_SPACES.items():
        space = SearchSpace.parse(raw)
        types = {leaf.domain.type for leaf in space.leaves}
        if (driver.accepts is None or types <= driver.accepts) and (driver.nested or not space.is_nested):
            spaces[name] = raw
    return spaces
'''

_CLASS = """

FOUND_{number} = plugins().find({kind!r}, {qualified!r})


class Test{number}{word}({kit}):
{spaces}
    def {method}(self):
        return {make}
"""


def run_kits(found: list[Found], pytest_arguments: list[str]) -> int:
    """Run the kit of each driver in pytest; returns 0 when all hold.

    Raises:
        PluginError: There is nothing to run, or pytest is not installed.
    """
    if importlib.util.find_spec("pytest") is None:
        raise PluginError("the conformance kits need pytest\n  pip install pytest")
    classes: list[str] = []
    for each in found:
        if reason := _not_testable(each):
            remark(f"{each.qualified} ({each.kind}) is left out: {reason}")
        else:
            classes.append(_class(len(classes), each))
    if not classes:
        raise PluginError("nothing here can be checked with default arguments")
    with tempfile.TemporaryDirectory(prefix="tune-check-") as folder:
        path = Path(folder, "test_conformance.py")
        path.write_text(_HEAD + "".join(classes))
        command = [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            folder,
            str(path),
        ]
        return 0 if subprocess.run([*command, *pytest_arguments], check=False).returncode == 0 else 1


def _not_testable(found: Found) -> str:
    target = found.load()
    if found.kind not in _KITS:
        return "there is no kit that works without data of its own"
    made = target.Config if found.kind == "training_service" else target
    needed = [
        name
        for name, each in inspect.signature(made).parameters.items()
        if each.default is each.empty and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
    ]
    return f"it needs {', '.join(needed)}" if needed else ""


def _class(number: int, found: Found) -> str:
    kit, method = _KITS[found.kind]
    target = f"FOUND_{number}.load()"
    spaced = found.kind in {"tuner", "advisor"}
    return _CLASS.format(
        number=number,
        kind=found.kind,
        qualified=found.qualified,
        word="".join(char for char in found.driver.name if char.isalnum()),
        kit=kit,
        spaces=f"    spaces = taken(FOUND_{number}.driver)\n" if spaced else "",
        method=method,
        make=f"{target}({target}.Config())" if found.kind == "training_service" else f"{target}()",
    )
