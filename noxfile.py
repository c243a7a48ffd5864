"""Every developer task: `nox -s demo`, `tests`, `sdk`, `lint`, `types`, `docs`, `bench`, `build`.

Packages are found by globbing, so that a new plugin is listed nowhere by hand. What only developers need
is in the dependency groups of the root `pyproject.toml`; a package whose tests need more says so in a
dependency group `test` of its own, and an example in its `requirements.txt`. uv is used where it is
there, pip where it is not.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|venv"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PACKAGES = [ROOT / "sdk", ROOT / "core", *PLUGINS]
CONSTRAINTS = ROOT / "constraints.txt"
SDK_PYTHONS = ["3.8", "3.13"]  # trials run on the oldest and the newest; the kernel needs 3.11

PIP_TO_UV = {
    "index-url": ("UV_DEFAULT_INDEX", ","),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "cert": ("SSL_CERT_FILE", ","),
}


def settle_environment() -> None:
    """Tell uv what pip is configured with, and pyenv to offer every interpreter it has.

    uv reads no pip configuration, and a shim of pyenv such as `python3.8` fails unless that version is
    switched on, though it is installed.
    """
    if shutil.which("uv"):
        for key, value in pip_settings():
            variable, separator = PIP_TO_UV.get(key, ("", ""))
            if variable:
                os.environ.setdefault(variable, separator.join(value.split()))
            if key == "extra-index-url":  # which pip trusts no less than the first
                os.environ.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    if shutil.which("pyenv"):
        chosen = output("pyenv", "version-name").strip().split(":")
        installed = output("pyenv", "versions", "--bare", "--skip-aliases").split()
        releases = [name for name in installed if re.fullmatch(r"[\d.]+", name)]
        newest_first = sorted(releases, key=release, reverse=True)
        os.environ["PYENV_VERSION"] = ":".join(dict.fromkeys([*chosen, *newest_first]))


def pip_settings() -> Iterator[tuple[str, str]]:
    """`pip config list`, variables of the environment first: ("find-links", "/a /b"), ..."""
    listed = output(sys.executable, "-m", "pip", "config", "list")
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        if value:
            yield name.rpartition(".")[2], str(ast.literal_eval(value))


def output(*command: str) -> str:
    """What `command` prints, or nothing when it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def project(package: Path) -> dict[str, object]:
    return nox.project.load_toml(package / "pyproject.toml")["project"]


def bare_name(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower()


def workspace() -> dict[str, Path]:
    """The packages of this repository by name."""
    return {project(package)["name"]: package for package in PACKAGES}


def closure(packages: Iterable[Path]) -> list[Path]:
    """`packages`, and those of this repository that they need."""
    by_name, found, waiting = workspace(), [], list(packages)
    while waiting:
        package = waiting.pop()
        if package not in found:
            found.append(package)
            names = map(bare_name, project(package).get("dependencies", []))
            waiting += [by_name[name] for name in names if name in by_name]
    return sorted(found)


def lines_of(path: Path) -> list[str]:
    """The requirements in a requirements file, without comments; a folder by its whole path."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [str((path.parent / line).resolve()) if line.startswith(".") else line for line in lines if line]


def group(name: str, folder: Path = ROOT) -> list[str]:
    """The dependency group `name` of the `pyproject.toml` in `folder`, empty if it has none."""
    toml = nox.project.load_toml(folder / "pyproject.toml")
    return nox.project.dependency_groups(toml, name) if name in toml.get("dependency-groups", {}) else []


def install(session: nox.Session, *requirements: str, packages: Iterable[Path] = ()) -> None:
    """Install `requirements` and `packages` in one resolution; what is ours editable, and from here."""
    by_name = workspace()
    folders = [line for line in requirements if line.startswith("/")]
    named = [line for line in requirements if line not in folders]
    ours = [by_name[name] for name in map(bare_name, named) if name in by_name]
    others = [line for line in named if bare_name(line) not in by_name]
    here = [*closure([*packages, *ours]), *dict.fromkeys(folders)]
    editable = [word for path in here for word in ("-e", str(path))]
    session.install("-c", str(CONSTRAINTS), *editable, *dict.fromkeys(others))


def install_all(session: nox.Session, *requirements: str) -> None:
    """Install every package, and all that their tests and the examples need."""
    extra = [line for package in PACKAGES for line in group("test", package)]
    for path in sorted(ROOT.glob("examples/*/requirements.txt")):
        extra += lines_of(path)
    install(session, *requirements, *extra, packages=PACKAGES)


@nox.session
def demo(session: nox.Session) -> None:
    """Run examples/digits: 30 trials tune a classifier of handwritten digits."""
    folder = ROOT / "examples" / "digits"
    install(session, *lines_of(folder / "requirements.txt"))
    session.run("tune", "run", str(folder / "config.yml"), *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests of every package, side by side; arguments go to pytest."""
    install_all(session, *group("test"))
    # Else each of the processes side by side would take as many threads as there are cores.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    session.run("pytest", *(session.posargs or ["-n", "auto", "--dist", "loadgroup"]), env=threads)


@nox.session(python=SDK_PYTHONS)
def sdk(session: nox.Session) -> None:
    """Run the tests of the SDK on the oldest and the newest Python that trials may use."""
    install(session, *group("test-sdk"), packages=[ROOT / "sdk"])
    session.run("pytest", *(session.posargs or ["sdk/tests"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting; `nox -s lint -- --fix` mends what can be mended."""
    install(session, *group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the SDK and the kernel, strictly."""
    install(session, *group("types"), packages=PACKAGES[:2])
    session.run("mypy", *session.posargs, "sdk/tune", "core/tune_core")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; warnings are errors."""
    install(session, *group("docs"), packages=PACKAGES)
    session.run("sphinx-build", "-W", "--keep-going", *session.posargs, "docs", "docs/_build/html")


@nox.session
def record(session: nox.Session) -> None:
    """Take the picture of the README: docs/_static/demo.svg."""
    install(session, *group("record"), *lines_of(ROOT / "examples" / "digits" / "requirements.txt"))
    session.run("python", "docs/record.py", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw what each tuner does on one function: docs/_static/algorithms/."""
    install(session, packages=PACKAGES)
    session.run("python", "docs/pictures.py", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure and print: throughput, latency, memory. `nox -s bench -- tpe` runs one."""
    install_all(session, *group("bench"))
    session.run("python", "tests/bench", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Make a source distribution of every package, and from it a wheel, in dist/."""
    install(session, *group("build"))
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for package in PACKAGES:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(dist), str(package))


settle_environment()
