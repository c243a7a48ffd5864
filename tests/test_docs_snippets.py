"""The code in the documentation does what the documentation says.

A block whose first line is a comment with a file name is that file; a page's files make one project. Other
Python blocks run as they stand, each alone, and blocks of commands name commands that there are.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml

from tune_core.cli import cli, main

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("docs/reference/*.md")),
    *sorted(ROOT.glob("*/README.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
FILE_NAME = re.compile(r"# ([\w./-]+\.(?:py|yml|toml))\n")
Tune = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        named = FILE_NAME.match(self.text)
        return named[1] if named else None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", text, flags=re.M | re.S):
        indent = found[1]
        body = re.sub(rf"^{indent}", "", found[3], flags=re.M)
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[2], body)


BLOCKS = [block for page in PAGES for block in blocks(page)]


def each(*languages: str, file: bool | None = None) -> pytest.MarkDecorator:
    """One test for each block in one of `languages`; `file` picks those that are files, or are not."""
    chosen = [
        block for block in BLOCKS if block.language in languages and file in (None, block.file is not None)
    ]
    assert chosen, languages
    return pytest.mark.parametrize("block", chosen, ids=str)


def write_files(page: Path, folder: Path) -> None:
    for block in blocks(page):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


def run(folder: Path, environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@each("yaml", "json", "toml")
def test_data_in_the_docs_parses(block: Block) -> None:
    {"yaml": yaml.safe_load, "json": json.loads, "toml": tomllib.loads}[block.language](block.text)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "yaml" and "trialCommand" in b.text], ids=str
)
def test_configurations_in_the_docs_are_valid(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yml").write_text(block.text)
    (tmp_path / "search_space.json").write_text('{"x": {"_type": "uniform", "_value": [0, 1]}}')
    for script in re.findall(r"\w+\.py", block.text):  # annotated, in case the configuration asks for it
        (tmp_path / script).write_text('"""@nni.variable(nni.uniform(0, 1), name=x)"""\nx = 1\n')
    assert main(["validate", "config.yml"]) == 0


@each("python", file=False)
def test_python_in_the_docs_runs(block: Block, tmp_path: Path, environment: dict[str, str]) -> None:
    run(tmp_path, environment, sys.executable, "-W", "error", "-c", block.text)


@each("console")
def test_commands_in_the_docs_exist(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("config.yml", "search_space.json"):
        (tmp_path / name).touch()
    for line in re.findall(r"^\$ tune (.*)$", block.text, flags=re.M):
        resolve(cli, shlex.split(line))


def resolve(command: click.Command, words: list[str], name: str = "tune") -> None:
    """Parse `words` as the command line would, down to the last command, and run nothing."""
    context = command.make_context(name, words)
    if isinstance(command, click.Group):
        rest = [*getattr(context, "_protected_args", ()), *context.args]  # click 9 has them in args
        found, below, rest = command.resolve_command(context, rest)
        assert below is not None, words
        resolve(below, rest, found or "")


def test_tutorial_leads_to_a_result(tmp_path: Path, environment: dict[str, str], tune: Tune) -> None:
    write_files(ROOT / "docs" / "tutorial.md", tmp_path)
    alone = run(tmp_path, {**environment, "TUNE_PARAMETERS": '{"x": 3.0, "y": -1.0}'}, "python", "train.py")
    assert "0.0067" in alone  # exp(-5): all that is left at the minimum
    tune("validate", "config.yml")
    tune("run", "config.yml")
    trials = json.loads(tune("trial", "ls", "--json").stdout)
    assert len(trials) == 20
    tune("update", "trialnum", "--value", "24")
    tune("resume")
    assert len(json.loads(tune("trial", "ls", "--json").stdout)) == 24


def test_readme_leads_to_a_result(tmp_path: Path, tune: Tune) -> None:
    write_files(ROOT / "README.md", tmp_path)
    tune("run", "config.yml")
    assert len(json.loads(tune("trial", "ls", "--json").stdout)) == 20


def test_plugin_of_the_guide_passes_its_tests(
    tmp_path: Path, environment: dict[str, str], tune: Tune
) -> None:
    write_files(ROOT / "docs" / "plugin-guide.md", tmp_path)
    install_and_test(tmp_path, tmp_path, environment)
    assert "Halton" in tune("plugins", "list").stdout


def test_platform_of_the_guide_is_short_and_passes_the_kit(
    tmp_path: Path, environment: dict[str, str], tune: Tune
) -> None:
    write_files(ROOT / "docs" / "plugin-guide.md", tmp_path)
    package = tmp_path / "nice"
    lines = [line for path in package.glob("tune_nice/*.py") for line in path.read_text().splitlines()]
    assert len(lines) < 60
    install_and_test(package, tmp_path, environment)
    (tmp_path / "config.yml").write_text(
        "searchSpace: {x: {_type: uniform, _value: [0, 1]}}\n"
        "trialCommand: nice\n"  # prints the niceness
        "trialConcurrency: 3\n"
        "maxTrialNumber: 3\n"
        "tuner: {name: Random}\n"
        "trainingService: {platform: nice, slots: 1, niceness: 7}\n"
    )
    tune("run", "config.yml", status=1)  # without any result
    assert [tune("log", "trial", str(number)).stdout for number in range(3)] == [f"{os.nice(0) + 7}\n"] * 3


def install_and_test(folder: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """Install the package in `folder` beside what is there, and run its tests."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    run(folder, environment, *pip, "--target", str(site), ".")
    environment["PYTHONPATH"] = os.pathsep.join([str(site), environment.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    config = ["-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", "--import-mode=importlib"]
    report = run(folder, environment, sys.executable, "-m", "pytest", "-q", *config, "tests")
    assert "passed" in report
