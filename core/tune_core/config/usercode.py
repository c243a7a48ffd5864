"""Importing a class of the user's own, from `codeDirectory` and `className`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

from tune_core.config.problems import Problem, did_you_mean, error_of

__all__ = ["user_class"]


def user_class(directory: Path, class_name: str, class_file_name: str | None = None) -> type:
    """The class `module.Class` below `directory`, or `Class` in the file `class_file_name`.

    A class that was written for another system may say which class it is here: what its class method
    `tune_algorithm` returns takes its place.

    The module is imported under a name of its own, so that a `random.py` of the user's replaces
    nobody else's; its own imports find `directory` after everything installed.

    Raises:
        ConfigError: With the file and line of the user's code where that is at fault.
    """
    module_name, _, name = class_name.rpartition(".")
    if class_file_name is not None:
        module_name = class_file_name.removesuffix(".py").replace("/", ".").strip(".")
    key = "classFileName" if class_file_name else "className"
    if not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise error_of(
            [Problem((key,), f"{class_name!r} is not a class: write module.Class, like my_tuner.MyTuner")]
        )
    if not directory.is_dir():
        raise error_of([Problem(("codeDirectory",), f"no folder {str(directory)!r}")])
    relative = Path(*module_name.split("."))
    if not (directory / relative).with_suffix(".py").is_file() and not (directory / relative).is_dir():
        here = sorted(path.stem for path in directory.glob("*.py"))
        near = did_you_mean(module_name, here)
        raise error_of([Problem((key,), f"no file {relative}.py in {directory}{near}")])
    try:
        with _own_imports(directory):
            module = importlib.import_module(f"{_root(directory)}.{module_name}")
    except (Exception, SystemExit) as err:
        raise error_of(
            [Problem((key,), f"{module_name}.py cannot be imported: {_blame(err, directory)}")]
        ) from err
    found = getattr(module, name, None)
    if not inspect.isclass(found):
        classes = [each for each, value in vars(module).items() if inspect.isclass(value)]
        near = did_you_mean(name, classes)
        wrong = f"{name!r} in {module.__file__} is no class" if found is not None else ""
        raise error_of([Problem((key,), wrong or f"no class {name!r} in {module.__file__}{near}")])
    return _ours(found)


def _ours(found: type) -> type:
    foreign = getattr(found, "tune_algorithm", None)
    if foreign is None:
        return found
    ours: type = foreign()
    return ours


def _root(directory: Path) -> str:
    """The name of a package that stands for `directory`, made when it is first asked for."""
    name = "tune_user_code_" + hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(directory)]
        package: ModuleType = module_from_spec(spec)
        sys.modules[name] = package
    importlib.invalidate_caches()
    return name


@contextmanager
def _own_imports(directory: Path) -> Iterator[None]:
    """Let the user's code import its neighbours, now and later, and leave no files behind."""
    if str(directory) not in sys.path:
        sys.path.append(str(directory))
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _blame(err: BaseException, directory: Path) -> str:
    """`err` in one line, with the last line of the user's own code on the way to it."""
    if isinstance(err, SyntaxError) and err.filename:
        return f"{err.filename}:{err.lineno}: {err.msg}"
    reason = f"{type(err).__name__}: {err}".removesuffix(": ")
    for frame in reversed(traceback.extract_tb(err.__traceback__)):
        if Path(frame.filename).is_relative_to(directory):
            return f"{frame.filename}:{frame.lineno}: {reason}"
    return reason
