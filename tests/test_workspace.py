"""What holds for every package of the repository, found by globbing: imports, metadata, names of tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SDK, CORE = ROOT / "sdk", ROOT / "core"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PACKAGES = [SDK, CORE, *PLUGINS]
OLDEST_IN_TRIALS = {"python_version": "3.8"}
HEAVY = {"asyncio", "numpy", "pandas", "pydantic", "rich", "scipy", "sklearn", "sqlite3", "torch", "yaml"}
HEAVY |= {"keras", "lightgbm", "lightning", "mlflow", "pytorch_lightning", "transformers", "xgboost"}


def of(packages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("package", packages, ids=lambda path: path.name)


def metadata(package: Path) -> dict:
    return tomllib.loads((package / "pyproject.toml").read_text())


def runs_in_trials(package: Path) -> bool:
    """Whether all it needs of ours is the SDK, so that it has to run on each Python that trials may use."""
    required = map(Requirement, metadata(package)["project"]["dependencies"])
    there = [each.name for each in required if not each.marker or each.marker.evaluate(OLDEST_IN_TRIALS)]
    ours = {name for name in there if name.startswith("tune-")}
    return package != CORE and ours <= {"tune-sdk"}


def module(package: Path) -> str:
    """The one module of `package`: tune, tune_core, tune_<plugin>."""
    return {"sdk": "tune", "core": "tune_core"}.get(package.name, f"tune_{package.name.replace('-', '_')}")


def sources(package: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((package / module(package)).rglob("*.py")):
        yield path, ast.parse(path.read_text(), str(path))


def ours_imported(tree: ast.Module) -> Iterator[str]:
    """The packages of the tune family that `tree` imports anywhere, type checking included."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        yield from (top for name in names if re.fullmatch(r"tune(_\w+)?", top := name.partition(".")[0]))


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the constants in `tree` that are docstrings, of attributes too."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_there_is_something_to_check() -> None:
    assert len(PACKAGES) > 2
    assert all(list(sources(package)) for package in PACKAGES)


@of(PACKAGES)
def test_imports_run_one_way(package: Path) -> None:
    needs = {
        Requirement(line).name.replace("-", "_") for line in metadata(package)["project"]["dependencies"]
    }
    allowed = {module(package), *("tune" if name == "tune_sdk" else name for name in needs)}
    if "tune_core" in allowed:
        allowed.add("tune")
    for path, tree in sources(package):
        assert set(ours_imported(tree)) <= allowed, path


def test_core_names_no_plugin() -> None:
    names = "|".join(package.name for package in PLUGINS)
    pattern = re.compile(rf"\btune[-_](?:{names})\b")
    for path, tree in sources(CORE):
        skip = docstrings(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skip:
                assert not pattern.search(node.value), f"{path}:{node.lineno}"


@of(PACKAGES)
def test_metadata_agrees(package: Path) -> None:
    toml = metadata(package)
    project = toml["project"]
    version = Path(package / toml["tool"]["hatch"]["version"]["path"]).resolve()
    assert toml["build-system"] == {"requires": ["hatchling>=1.27"], "build-backend": "hatchling.build"}
    assert project["name"] == {"tune": "tune-sdk"}.get(module(package), module(package).replace("_", "-"))
    assert project["dynamic"] == ["version"]
    assert version == CORE / "tune_core" / "version.py"
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert project["requires-python"] == (">=3.8" if runs_in_trials(package) else ">=3.11")
    assert project["readme"] == "README.md"
    assert project["description"]
    assert "Programming Language :: Python :: 3" in project["classifiers"]
    assert "urls" not in project


@of([package for package in PACKAGES if runs_in_trials(package)])
def test_linter_knows_the_python_of_trials(package: Path) -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["per-file-target-version"]
    folder = f"{package.relative_to(ROOT)}/"
    assert [target for pattern, target in targets.items() if pattern.startswith(folder)] == ["py38"]


@of(PACKAGES)
def test_package_carries_the_licence(package: Path) -> None:
    assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes(), "cp LICENSE " + str(package)
    assert not (package / "LICENSE").is_symlink(), "a link dangles in a source distribution"


@of(PACKAGES)
def test_package_is_typed_and_documented(package: Path) -> None:
    assert (package / module(package) / "py.typed").is_file()
    assert f"pip install {metadata(package)['project']['name']}" in (package / "README.md").read_text()


@of(PACKAGES)
def test_readme_reads_well_on_an_index(package: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (package / "README.md").read_text())
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


@of(PACKAGES)
def test_ours_are_required_by_range(package: Path) -> None:
    for line in metadata(package)["project"]["dependencies"]:
        requirement = Requirement(line)
        if requirement.name.startswith("tune-"):
            assert {spec.operator for spec in requirement.specifier} == {">=", "<"}, line


@of(PLUGINS)
def test_plugin_is_its_entry_point(package: Path) -> None:
    entry_points = metadata(package)["project"]["entry-points"]["tune"]
    assert entry_points == {package.name: module(package)}


@of(PLUGINS)
def test_plugin_module_loads_nothing_heavy(package: Path) -> None:
    code = f"import sys, {module(package)}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert not done.stdout.split()


def test_test_files_have_unique_names() -> None:
    found = Counter(path.name for package in [ROOT, *PACKAGES] for path in package.glob("tests/**/test_*.py"))
    found += Counter(path.name for path in ROOT.glob("examples/**/test_*.py"))
    assert [name for name, times in found.items() if times > 1] == []


def test_tests_folders_are_no_packages() -> None:
    assert not [path for package in [ROOT, *PACKAGES] for path in package.glob("tests/**/__init__.py")]
