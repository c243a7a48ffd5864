"""What users install: wheels and source distributions, alone in a clean environment, from an index."""

from __future__ import annotations

import email
import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [
    ROOT / "sdk",
    ROOT / "core",
    *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")),
]
LICENCE = (ROOT / "LICENSE").read_bytes()

pytestmark = pytest.mark.xdist_group("packaging")  # the wheels are built once, by one process


def run(*command: str | Path, status: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **options}
    done = subprocess.run(words, check=False, **options)
    assert done.returncode == status, done.stdout + done.stderr
    return done


# What `python -m build` does for each, with hatchling imported once.
BUILD = """
import os, sys, tarfile, tempfile
from hatchling.build import build_sdist, build_wheel

folder, *packages = sys.argv[1:]
for package in packages:
    os.chdir(package)
    archive = build_sdist(folder)
    with tempfile.TemporaryDirectory() as alone:
        with tarfile.open(os.path.join(folder, archive)) as content:
            content.extractall(alone, filter="data")
        os.chdir(os.path.join(alone, archive.removesuffix(".tar.gz")))
        build_wheel(folder)
        os.chdir(package)
"""


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source distribution of every package, and wheels made from those alone."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-c", BUILD, folder, *PACKAGES, timeout=240)
    return folder


def name_of(package: Path) -> str:
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]["name"]


def version() -> str:
    scope: dict[str, str] = {}
    exec((ROOT / "core" / "tune_core" / "version.py").read_text(), scope)
    return scope["__version__"]


each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)


@each_package
def test_wheel_says_all_about_itself(dist: Path, package: Path) -> None:
    stem = f"{name_of(package).replace('-', '_')}-{version()}"
    with zipfile.ZipFile(dist / f"{stem}-py3-none-any.whl") as wheel:
        metadata = email.message_from_bytes(wheel.read(f"{stem}.dist-info/METADATA"))
        licence = wheel.read(f"{stem}.dist-info/licenses/LICENSE")
        names = wheel.namelist()
    assert licence == LICENCE
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Summary"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# ")
    assert metadata.get_all("Classifier")
    assert metadata["Home-page"] is None
    assert metadata["Project-URL"] is None
    assert not [name for name in names if "tests/" in name or name.endswith(".pyc")]
    assert [name for name in names if name.endswith("py.typed")]


@each_package
def test_source_distribution_holds_tests_and_licence(dist: Path, package: Path) -> None:
    stem = f"{name_of(package).replace('-', '_')}-{version()}"
    with tarfile.open(dist / f"{stem}.tar.gz") as archive:
        licence = archive.extractfile(f"{stem}/LICENSE")
        assert licence is not None
        assert licence.read() == LICENCE
        names = archive.getnames()
        assert not [member.name for member in archive if member.issym() or member.islnk()]
    for test in (package / "tests").rglob("test_*.py"):
        assert f"{stem}/{test.relative_to(package)}" in names


@pytest.fixture
def clean(tmp_path: Path, dist: Path, environment: dict[str, str]) -> Callable[..., Path]:
    """A new environment with some of our packages, from the wheels, and what they need."""

    def make(*packages: str) -> Path:
        run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
        bin_folder = tmp_path / "env" / "bin"
        environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
        links = f"--find-links={dist}"
        run(*pip(bin_folder), "install", "-q", links, *packages, timeout=300)
        return bin_folder

    return make


def pip(bin_folder: Path) -> tuple[str | Path, ...]:
    """The pip of this environment, at work on that one."""
    return (sys.executable, "-m", "pip", "--python", bin_folder / "python")


CONFIG = """
searchSpace:
  x: {_type: uniform, _value: [-1, 1]}
trialCommand: python train.py
trialConcurrency: 2
maxTrialNumber: 4
tuner: {name: TPE, classArgs: {optimize_mode: minimize}}
trainingService: {platform: local}
"""
TRAIN = "import tune\ntune.report_final_result(tune.get_next_parameter()['x'] ** 2)\n"


@pytest.mark.timeout(400)
def test_core_local_and_tpe_alone_run_an_experiment(
    tmp_path: Path, clean: Callable[..., Path], environment: dict[str, str]
) -> None:
    (tmp_path / "config.yml").write_text(CONFIG)
    (tmp_path / "train.py").write_text(TRAIN)
    bin_folder = clean("tune-core", "tune-local", "tune-tpe")
    listed = json.loads(run(*pip(bin_folder), "list", "--format=json").stdout)
    ours = {item["name"]: item["version"] for item in listed if item["name"].startswith("tune")}
    assert ours == dict.fromkeys(("tune-core", "tune-local", "tune-sdk", "tune-tpe"), version())
    run(bin_folder / "tune", "run", "config.yml", cwd=tmp_path, env=environment, timeout=240)
    listed = run(bin_folder / "tune", "trial", "ls", "--json", cwd=tmp_path, env=environment)
    assert [trial["state"] for trial in json.loads(listed.stdout)] == ["SUCCEEDED"] * 4


@pytest.mark.timeout(400)
def test_core_alone_names_the_packages_it_lacks(
    tmp_path: Path, clean: Callable[..., Path], environment: dict[str, str]
) -> None:
    (tmp_path / "config.yml").write_text(CONFIG + "assessor: {name: Medianstop}\n")
    (tmp_path / "train.py").write_text(TRAIN)
    bin_folder = clean("tune-core")
    for arguments in (["--help"], ["plugins", "list"]):
        run(bin_folder / "tune", *arguments, cwd=tmp_path, env=environment)
    for command in ("validate", "run"):
        words = (bin_folder / "tune", command, "config.yml")
        refused = run(*words, cwd=tmp_path, env=environment, status=2)
        for package in ("tune-local", "tune-tpe", "tune-medianstop"):
            assert f"pip install {package}" in refused.stderr
        assert "Traceback" not in refused.stderr
