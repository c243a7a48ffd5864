"""Writing a new plugin from the templates beside this module."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from string import Template

from tune_core.errors import TuneError
from tune_core.version import __version__

__all__ = ["write_plugin"]

_BASES = {"tuner": "Tuner", "assessor": "Assessor", "advisor": "Advisor"}


def write_plugin(name: str, kind: str, folder: Path) -> list[Path]:
    """Write the package `tune-<name>` into `folder`; returns its files.

    Raises:
        TuneError: The folder is there and not empty, or cannot be written.
    """
    module = "tune_" + name.replace("-", "_")
    words = {
        "name": name,
        "module": module,
        "kind": kind,
        "article": "an" if kind[0] in "aeiou" else "a",
        "driver": "".join(part.capitalize() for part in name.split("-")),
        "base": _BASES[kind],
        "core": _compatible_range(__version__),
    }
    files = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
        f"{module}/__init__.py": "init.py.txt",
        f"{module}/{kind}.py": f"{kind}.py.txt",
        f"tests/test_{module.removeprefix('tune_')}.py": f"test_{kind}.py.txt",
    }
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TuneError(f"{folder} is there already\n  give another one with --directory")
    templates = resources.files("tune_core.cli") / "templates"
    try:
        for target, source in files.items():
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Template((templates / source).read_text()).substitute(words))
    except OSError as err:
        raise TuneError(f"{folder} cannot be written: {err.strerror}") from err
    return [folder / target for target in files]


def _compatible_range(version: str) -> str:
    """`>=0.1,<0.2` for 0.1.x: minor versions may break plugins until 1.0."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"
