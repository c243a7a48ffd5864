"""What people get wrong is answered at once: all of it, each with its place, and with what would be right."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_core.cli import main

SECOND = """\
experimentName: mnist
searchSpace:
  lr: {_type: loguniform, _value: [0.0001, 0.1]}
  units: {_type: choice, _value: [64, 128]}
trialCommand: python train.py
trialCodeDirectory: code
trialConcurrency: 2
maxTrialNumber: 10
maxExperimentDuration: 1h
tuner:
  name: TPE
  classArgs:
    optimize_mode: maximize
assessor:
  name: Medianstop
  classArgs:
    start_step: 3
trainingService:
  platform: local
  maxTrialNumberPerGpu: 1
"""
FIRST = """\
authorName: me
experimentName: mnist
trialConcurrency: 2
maxExecDuration: 1h
maxTrialNum: 10
trainingServicePlatform: local
searchSpacePath: search_space.json
useAnnotation: false
tuner:
  builtinTunerName: TPE
  classArgs:
    optimize_mode: maximize
assessor:
  builtinAssessorName: Medianstop
  classArgs:
    start_step: 3
trial:
  command: python train.py
  codeDir: code
  gpuNum: 0
localConfig:
  gpuIndices: "0,1"
"""
REMOTE = FIRST.replace("Platform: local", "Platform: remote").replace(
    'localConfig:\n  gpuIndices: "0,1"\n',
    "machineList:\n  - ip: 10.1.1.1\n    port: 22\n    username: bob\n    passwd: secret\n",
)
ANNOTATED = FIRST.replace("searchSpacePath: search_space.json\n", "").replace(
    "useAnnotation: false", "useAnnotation: true"
)
CODE = '''\
"""@nni.variable(nni.loguniform(0.0001, 0.1), name=lr)"""
lr = 0.01
"""@nni.variable(nni.choice(64, 128), name=units)"""
units = 64
"""@nni.report_final_result(units * lr)"""
'''
FORMS = {"first": FIRST, "second": SECOND, "remote": REMOTE}
SPACE = '{"lr": {"_type": "uniform", "_value": [0, 1]}}'
WRONG_SPACE = '{\n "lr": {"_type": "uniform", "_value": [1, 0]},\n "n": {"_type": "choise", "_value": [1]}\n}'
CORPUS = yaml.safe_load(Path(__file__).with_name("wrong_configurations.yml").read_text())
WRONG_CODE = [
    (
        "variable(nni.log",
        "variabel(nni.log",
        "1:5 annotation: no annotation 'variabel', ...'variable'?...",
    ),
    ("nni.choice", "nni.chioce", "3:18 annotation: no type 'chioce', did you mean 'choice'?..."),
    ("(64, 128)", "()", "3:18 annotation: choice has no options..."),
    ("(64, 128)", "(64, 64)", "3:33 annotation: option 64 occurs twice..."),
    (
        "name=units",
        "name='units'",
        "3:44 annotation: name is a string; it is code: ...",
    ),
    (", name=units", "", "3:5 annotation: name= is missing..."),
    ("name=lr", "name=rate", "1:1 annotation: name=rate is not what line 2 assigns to..."),
    ("0.0001, 0.1", "0.1, 0.0001", "1:1 annotation: ...low 0.1 must be less than high 0.0001"),
    ("0.0001, 0.1", "low, 0.1", "1:33 annotation: low is no number: loguniform(low, high)..."),
    ("units = 64\n", "", "3:1 annotation: ...is followed by another annotation..."),
    (
        "report_final_result(units * lr)",
        "report_final(lr)",
        "5:5 annotation: ...'report_final_result'?...",
    ),
    ("units * lr)", "units * lr", "5:28 annotation: is no Python expression: '(' was never closed..."),
    ("lr = 0.01", "lr = = 0.01", "2:6 is no Python: invalid syntax"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(CODE)
    (tmp_path / "search_space.json").write_text(SPACE)
    (tmp_path / "wrong.json").write_text(WRONG_SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answers(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `tune validate exp.yml` finds wrong, a line each; it is in what a person reads as well."""
    times = [time.process_time()]
    assert main(["validate", "exp.yml"]) == 2
    times.append(time.process_time())
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert main(["validate", "exp.yml", "--json"]) == 2
    times.append(time.process_time())
    assert min(times[1] - times[0], times[2] - times[1]) < 1  # the first imports what is needed
    problems: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["problems"]
    assert all(line.strip() in said for each in problems for line in each["message"].splitlines())
    return [line_of(each) for each in problems]


def line_of(problem: dict[str, Any]) -> str:
    place = problem["file"] if problem["file"] not in (None, "exp.yml") else ""
    if problem["line"]:
        place += f"{':' if place else ''}{problem['line']}:{problem['column']}"
    before = " ".join(part for part in (place, problem["key"]) if part)
    between = "" if not before else ": " if problem["key"] or not problem["line"] else " "
    return before + between + re.sub(r"\n\s*", " | ", problem["message"])


def pattern(expected: str) -> str:
    return ".*".join(re.escape(part) for part in expected.split("..."))


def assert_told(told: list[str], expected: list[str]) -> None:
    assert len(told) == len(expected), told
    for line, wanted in zip(told, expected, strict=True):
        assert re.fullmatch(pattern(wanted), line.replace(os.getcwd(), "...")), line  # noqa: PTH109 (as text)


@pytest.mark.parametrize(("form", "right", "wrong", "expected"), [(*row[:3], row[3:]) for row in CORPUS])
def test_wrong_configuration_is_answered(
    folder: Path, capsys: pytest.CaptureFixture[str], form: str, right: str, wrong: str, expected: list[str]
) -> None:
    assert FORMS[form].count(right) >= 1
    (folder / "exp.yml").write_text(FORMS[form].replace(right, wrong, 1))
    assert_told(answers(capsys), expected)


@pytest.mark.parametrize(("right", "wrong", "expected"), WRONG_CODE)
def test_wrong_annotation_is_answered(
    folder: Path, capsys: pytest.CaptureFixture[str], right: str, wrong: str, expected: str
) -> None:
    assert CODE.count(right) == 1
    (folder / "exp.yml").write_text(ANNOTATED)
    (folder / "code" / "train.py").write_text(CODE.replace(right, wrong))
    assert_told(answers(capsys), ["code/train.py:" + expected])


@pytest.mark.parametrize("text", [*FORMS.values(), ANNOTATED])
def test_what_the_corpus_begins_with_is_right(folder: Path, text: str) -> None:
    (folder / "exp.yml").write_text(text)
    assert main(["validate", "exp.yml"]) == 0


def test_corpus_is_as_large_as_people_are_inventive() -> None:
    assert len(CORPUS) + len(WRONG_CODE) >= 90
    assert len({json.dumps(row) for row in CORPUS}) == len(CORPUS)


def test_everything_wrong_is_told_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ANNOTATED
    for right, wrong in [
        ("trialConcurrency: 2", "trialConcurency: 2"),
        ("1h", "1 hour"),
        ("maxTrialNum: 10", "maxTrialNum: ten"),
        ("TPE", "TEP"),
        ("start_step", "strat_step"),
        ("command", "comand"),
        ("gpuNum: 0", "gpuNum: -1"),
        ('"0,1"', "all"),
    ]:
        text = text.replace(right, wrong)
    (folder / "exp.yml").write_text(text)
    (folder / "code" / "train.py").write_text(CODE.replace("choice", "chioce"))
    expected = [
        "code/train.py:3:18 annotation: no type 'chioce', did you mean 'choice'?...",
        "3:1 trialConcurency: no such key in version 1, did you mean 'trialConcurrency'?",
        "4:1 maxExecDuration: '1 hour' is not a duration: ...",
        "5:1 maxTrialNum: 'ten' is not a whole number",
        "9:3 tuner.builtinTunerName: no tuner called 'TEP', did you mean 'TPE'?...",
        "15:5 assessor.classArgs.strat_step: no such argument of Medianstop, did you mean 'start_step'?",
        "17:3 trial.comand: no such key in version 1, did you mean 'command'?",
        "19:3 trial.gpuNum: -1 is not at least 0",
        "21:3 localConfig.gpuIndices: 'all' is not a list of GPU numbers, ...",
    ]
    assert_told(answers(capsys), expected)
