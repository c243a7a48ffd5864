"""A stranger's plugin, from its own folder outside the workspace; and one that is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "third-party-plugin"
Tune = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
searchSpace:
  x: {_type: uniform, _value: [-1, 1]}
trialCommand: python train.py
trialConcurrency: 1
maxTrialNumber: 6
tuner: {name: Climb, classArgs: {optimize_mode: minimize}}
assessor: {name: tune-climb:Plateau, classArgs: {optimize_mode: minimize, patience: 2}}
trainingService: {platform: local}
"""
TRAIN = """
import tune
x = tune.get_next_parameter()["x"]
tune.report_intermediate_result(x * x)
tune.report_final_result(x * x)
"""


def python(environment: dict[str, str], *arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tune-climb, installed from its own."""
    site = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    python(dict(os.environ), "-m", "pip", "install", "-q", *options, str(FOLDER))
    return site


@pytest.fixture
def climb(site: Path, environment: dict[str, str]) -> None:
    """tune-climb, installed beside everything else for this test alone."""
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), environment.get("PYTHONPATH")]))


@pytest.mark.usefixtures("climb")
def test_third_party_plugin_passes_its_own_tests(environment: dict[str, str]) -> None:
    report = python(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=FOLDER)
    assert "passed" in report


@pytest.mark.usefixtures("climb")
def test_third_party_plugin_runs_an_experiment(tmp_path: Path, tune: Tune) -> None:
    (tmp_path / "config.yml").write_text(CONFIG)
    (tmp_path / "train.py").write_text(TRAIN)
    listed = tune("plugins", "list").stdout
    assert all(name in listed for name in ("Climb", "Plateau", "curve", "tune-climb"))
    tune("run", "config.yml")
    best = json.loads(tune("best", "--json").stdout)
    drawn = tune("curve").stdout
    assert drawn.count("▁") >= 1
    assert "best" in drawn
    assert best


@pytest.mark.usefixtures("climb")
def test_third_party_command_is_part_of_the_help(tune: Tune) -> None:
    assert "curve" in tune("--help").stdout


BROKEN = {
    "raises": ("import no_such_module\n", "no_such_module"),
    "exits": ("raise SystemExit('no display')\n", "no display"),
    "misspells": (
        "from tune_core import hookimpl\n@hookimpl\ndef tune_tuner():\n    return []\n",
        "tune_tuners",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_plugin_harms_nobody(
    kind: str, tmp_path: Path, environment: dict[str, str], tune: Tune
) -> None:
    source, complaint = BROKEN[kind]
    site = tmp_path / "site"
    info = site / "tune_broken-1.4.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tune-broken\nVersion: 1.4.0\n")
    (info / "entry_points.txt").write_text("[tune]\nbroken = tune_broken\n")
    (site / "tune_broken.py").write_text(source)
    environment["PYTHONPATH"] = str(site)
    tune("--help")
    listed = tune("plugins", "list")
    assert "tune-broken" in listed.stdout
    assert complaint in listed.stdout + listed.stderr
    config = (
        CONFIG.replace("Climb", "TPE")
        .replace("tune-climb:Plateau", "Medianstop")
        .replace(", patience: 2", "")
    )
    (tmp_path / "config.yml").write_text(config)
    (tmp_path / "train.py").write_text(TRAIN)
    tune("validate", "config.yml")
    for command in (["run", "--id", "front"], ["create", "--id", "back"]):
        warned = tune(command[0], "config.yml", *command[1:]).stderr
        assert warned.count("plugin tune-broken 1.4.0 is broken and was left out: ") == 1
    tune("view", "back")
    for name in ("front", "back"):
        assert tune("log", "manager", name).stdout.count("plugin tune-broken 1.4.0 is broken") == 1
