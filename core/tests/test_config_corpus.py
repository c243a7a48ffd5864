"""Broken configurations as people write them: each is answered at once, with the key that is wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tune_core.cli import main

pytestmark = pytest.mark.usefixtures("imports", "demo")

GOOD: dict[str, Any] = {
    "searchSpace": {"y": {"_type": "uniform", "_value": [0, 1]}},
    "trialCommand": "echo hello",
    "trialConcurrency": 2,
    "maxTrialNumber": 9,
    "tuner": {"name": "echo", "classArgs": {"optimize_mode": "maximize"}},
    "trainingService": {"platform": "here"},
}


@pytest.fixture(scope="module")
def imports() -> None:
    """What is imported for the first configuration of a process is not what the next one costs."""
    assert main(["validate", "no.yml"]) == 2


# Where (`a.b`), what is put there, and the keys that the answer names; the same one if none is given.
WRONG_VALUES: list[tuple[str, Any, set[str]]] = [
    ("searchSpace", None, set()),
    ("searchSpace", [], set()),
    ("searchSpace", "space.json", set()),
    ("searchSpace", {}, set()),
    ("searchSpace.y", 3, set()),
    ("searchSpace.y", {"_type": "uniform"}, set()),
    ("searchSpace.y", {"_value": [0, 1]}, set()),
    ("searchSpace.y._type", "unifrom", set()),
    ("searchSpace.y._type", None, set()),
    ("searchSpace.y._type", ["uniform"], set()),
    ("searchSpace.y._value", 1, set()),
    ("searchSpace.y._value", [1], set()),
    ("searchSpace.y._value", [0, 1, 2], set()),
    ("searchSpace.y._value", ["0", "1"], set()),
    ("searchSpace.y._value", [1, 0], set()),
    ("searchSpace.y._value", [True, False], set()),
    ("searchSpace.y", {"_type": "loguniform", "_value": [0, 1]}, {"searchSpace.y._value"}),
    ("searchSpace.y", {"_type": "loguniform", "_value": [-1, 1]}, {"searchSpace.y._value"}),
    ("searchSpace.y", {"_type": "quniform", "_value": [0, 1, 0]}, {"searchSpace.y._value"}),
    ("searchSpace.y", {"_type": "randint", "_value": [0, 1.5]}, {"searchSpace.y._value"}),
    ("searchSpace.y", {"_type": "randint", "_value": [3, 3]}, {"searchSpace.y._value"}),
    ("searchSpace.y", {"_type": "normal", "_value": [0, -1]}, {"searchSpace.y._value"}),
    ("searchSpace.y", {"_type": "choice", "_value": []}, {"searchSpace.y._value"}),
    ("searchSpace.y", {"_type": "choice", "_value": "ab"}, {"searchSpace.y._value"}),
    ("searchSpaceFile", "space.json", set()),
    ("trialCommand", None, set()),
    ("trialCommand", "", set()),
    ("trialCommand", ["python", "train.py"], set()),
    ("trialCommand", True, set()),
    ("trialConcurrency", None, set()),
    ("trialConcurrency", -1, set()),
    ("trialConcurrency", "two", set()),
    ("trialConcurrency", [2], set()),
    ("trialConcurrency", {"max": 2}, set()),
    ("trialConcurrency", 1e300, set()),
    ("maxTrialNumber", 0, set()),
    ("maxTrialNumber", "ten", set()),
    ("maxTrialNumber", 9.5, set()),
    ("maxExperimentDuration", "1 fortnight", set()),
    ("maxExperimentDuration", "h", set()),
    ("maxExperimentDuration", "1h30m", set()),
    ("maxExperimentDuration", 0, set()),
    ("maxExperimentDuration", True, set()),
    ("maxTrialDuration", "0s", set()),
    ("maxTrialDuration", [], set()),
    ("trialGpuNumber", -1, set()),
    ("trialGpuNumber", "all", set()),
    ("trialCodeDirectory", "no/such/folder", set()),
    ("trialCodeDirectory", 3, set()),
    ("trialCodeDirectory", "~no-such-user/x", set()),
    ("trialEnvironment", ["A=1"], set()),
    ("trialEnvironment", {"A": 1}, {"trialEnvironment.A"}),
    ("trialEnvironment", {"A B": "1"}, {"trialEnvironment.A B"}),
    ("trialRetry", 3, set()),
    ("trialRetry", {"lost": -1}, {"trialRetry.lost"}),
    ("trialRetry", {"times": 1}, {"trialRetry.times"}),
    ("failureBrake", 5, set()),
    ("failureBrake", {"within": "soon"}, {"failureBrake.within"}),
    ("seed", 2**63, set()),
    ("seed", "today", set()),
    ("debug", "maybe", set()),
    ("logLevel", "loud", set()),
    ("experimentName", ["a"], set()),
    ("experimentType", "nas2", set()),
    ("tuner", "TPE", set()),
    ("tuner", [{"name": "echo"}], set()),
    ("tuner.name", 3, set()),
    ("tuner.name", "", set()),
    ("tuner.name", "tune-none:Echo", set()),
    ("tuner.classArgs", [1], set()),
    ("tuner.classArgs", "gain=1", set()),
    ("tuner.classArgs.gain", "high", set()),
    ("tuner.classArgs.gian", 1, set()),
    ("tuner.classArgs.optimize_mode", "up", set()),
    ("tuner.classArgs.seed", -1, set()),
    ("tuner.arguments", {}, set()),
    ("tuner", {"className": "gone.Tuner"}, {"tuner.className"}),
    ("tuner", {"className": "a/b.Tuner"}, {"tuner.className"}),
    ("tuner", {"className": "x.T", "codeDirectory": "nowhere"}, {"tuner.codeDirectory"}),
    ("assessor", {"name": "echo"}, {"assessor.name"}),
    ("assessor", {"name": "Strict", "classArgs": {"patience": "long"}}, {"assessor.classArgs.patience"}),
    ("advisor", {"name": "Both"}, {"tuner"}),
    ("trainingService", None, set()),
    ("trainingService", "here", set()),
    ("trainingService", {}, {"trainingService.platform"}),
    ("trainingService.platform", "moon", set()),
    ("trainingService.platform", 3, set()),
    ("trainingService.memory", "much", set()),
    ("trainingService.colour", "red", set()),
    ("useAnnotation", "yes", set()),
    ("sharedStorage", {"storageType": "NFS"}, set()),
    ("tunerGpuIndices", "a", set()),
    ("tunerGpuIndices", -1, set()),
    ("maxTrials", 3, set()),
    ("experimentWorkingDirectory", 3, set()),
]

# Each line stands for ten of the line before.
BOMB = b"a: &x0 [1]\n" + b"".join(
    b"k%d: &x%d [%s]\n" % (n, n, b",".join([b"*x%d" % (n - 1)] * 10)) for n in range(1, 9)
)

BROKEN_FILES: list[tuple[bytes, str]] = [
    (b"", "is empty"),
    (b"\n# nothing\n", "is empty"),
    (b"- a\n", "is a list"),
    (b"hello", "is a single value"),
    (b"a: [1, 2", "is not YAML"),
    (b"a: b: c", "is not YAML"),
    (b"\ta: 1", "is not YAML"),
    (b"a: 'x", "is not YAML"),
    (b"{", "is not YAML"),
    (b"a: *x", "no anchor"),
    (b"a: !!python/object:os.system x", "is not allowed"),
    (b"a: 1\na: 2", "twice"),
    (b"a: .nan", "is not a finite number"),
    (b"\xff\xfe", "is not UTF-8"),
    (b"trialCommand: \xe9", "is not UTF-8"),
    (b"a: 1\n---\nb: 2", "several documents"),
    (b"? [a]\n: b", "keys are plain text"),
    (b"[" * 1000, "deeper than"),
    (b"x: 1" + b"0" * 2_000_000, "bytes long"),
    (BOMB, "more than"),
]


def answer(path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The problems that `tune validate` tells of a wrong configuration; in text they are the same."""
    start = time.thread_time()
    assert main(["validate", str(path), "--json"]) == 2
    assert time.thread_time() - start < 1  # less than 0.1 s; a hang would be more than any machine is slow
    problems: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["problems"]
    assert main(["validate", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert all(each["message"].splitlines()[0] in captured.err for each in problems)
    return problems


def broken(where: str, value: Any) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(json.dumps(GOOD))
    *sections, key = where.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[key] = value
    return config


@pytest.mark.parametrize(("where", "value", "keys"), WRONG_VALUES, ids=lambda each: str(each)[:40])
def test_wrong_value_is_answered_with_its_key(
    where: str, value: Any, keys: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "exp.yml"
    path.write_text(json.dumps(broken(where, value), indent=1))
    problems = answer(path, capsys)
    named = {each["key"] for each in problems}
    assert named == (keys or {where})
    assert all(each["line"] for each in problems if each["key"])


@pytest.mark.parametrize(
    "key", ["trialCommand", "trialConcurrency", "trainingService", "searchSpace", "tuner"]
)
def test_missing_key_is_named(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "exp.yml"
    path.write_text(json.dumps({name: value for name, value in GOOD.items() if name != key}))
    (problem,) = answer(path, capsys)
    assert key in problem["key"] or key in problem["message"]


@pytest.mark.parametrize(("content", "words"), BROKEN_FILES, ids=lambda each: str(each[:20]))
def test_broken_file_is_answered(
    content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "exp.yml"
    path.write_bytes(content)
    assert any(words in each["message"] for each in answer(path, capsys))
