"""Configurations: what is accepted, what is refused and how it is said, what is stored."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tune_core.config import (
    AlgorithmConfig,
    ExperimentConfig,
    Secret,
    ServiceConfig,
    check,
    choose,
    expand_references,
    instantiate,
    load_config,
)
from tune_core.config.values import resolve_environment
from tune_core.errors import ConfigError
from tune_core.plugins import plugins

pytestmark = pytest.mark.usefixtures("demo")

GOOD = """
searchSpace:
  y: {_type: uniform, _value: [0, 1]}
trialCommand: echo hello
trialConcurrency: 2
maxTrialNumber: 9
tuner:
  name: echo
  classArgs: {optimize_mode: maximize}
trainingService:
  platform: here
"""


def load(tmp_path: Path, text: str) -> ExperimentConfig:
    (tmp_path / "exp.yml").write_text(textwrap.dedent(text))
    return load_config(tmp_path / "exp.yml")


def refusal(tmp_path: Path, text: str) -> list[str]:
    """Each problem of a wrong configuration, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_initial_points_are_checked_against_the_space(tmp_path: Path) -> None:
    text = GOOD + "initialPoints: [{y: 0.5}, {y: 2, z: 1}, {}]\n"
    assert load(tmp_path, text.replace(", {y: 2, z: 1}, {}", "")).initial_points == [{"y": 0.5}]
    assert refusal(tmp_path, text) == [
        "exp.yml:12:28: initialPoints[1].y: 2 is not between 0 and 1",
        "exp.yml:12:34: initialPoints[1].z: unknown parameter 'z'",
        "exp.yml:12:41: initialPoints[2]: y: missing",
    ]


def test_good_configuration_has_no_remarks(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.remarks == []
    assert (config.trial_concurrency, config.max_trial_number) == (2, 9)
    assert config.trial_code_directory == tmp_path
    assert config.training_service.platform == "here"
    assert config.failure_brake is not None
    assert (config.failure_brake.trials, config.failure_brake.within) == (10, 5)
    assert (config.trial_retry.failed, config.trial_retry.lost) == (0, 3)


def test_keys_forgive_case_and_underscores(tmp_path: Path) -> None:
    spelt = GOOD.replace("trialCommand", "TRIAL_COMMAND").replace("classArgs", "_classargs")
    assert load(tmp_path, spelt).to_json() == load(tmp_path, GOOD).to_json()


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    problems = refusal(
        tmp_path,
        """\
        searchSpace:
          y: {_type: uniform, _value: [1, 0]}
          z: {_type: uniforn, _value: [0, 1]}
        trialCommand: 3
        trialConcurency: 2
        trialConcurrency: yes
        maxTrialDuration: 5 minutes
        logLevel: inf
        failureBrake: {trials: 0, whithin: 3s}
        trialEnvironment: {9x: a}
        useAnnotation: 1
        tuner:
          name: Ehco
        assessor:
          name: Strict
          classArgs: {pateince: 3, optimize_mode: up}
        trainingService:
          platform: here
          memory: 3 pounds
          pasword: x
        """,
    )
    wanted = [
        "exp.yml:2:23: searchSpace.y._value: ",
        "exp.yml:3:7: searchSpace.z._type: ",
        "exp.yml:4:1: trialCommand: 3 is not text",
        "exp.yml:5:1: trialConcurency: no such key, did you mean 'trialConcurrency'?",
        "exp.yml:6:1: trialConcurrency: True is not a whole number",
        "exp.yml:7:1: maxTrialDuration: '5 minutes' is not a duration: ",
        "exp.yml:8:1: logLevel: 'inf' is not one of ",
        "exp.yml:9:16: failureBrake.trials: 0 is not at least 1",
        "exp.yml:9:27: failureBrake.whithin: no such key, did you mean 'within'?",
        "exp.yml:10:20: trialEnvironment.9x: is not a name for an environment variable",
        "exp.yml:11:1: useAnnotation: 1 is not true or false",
        "exp.yml:13:3: tuner.name: no tuner called 'Ehco', did you mean 'Echo'?\n  installed: Both",
        "exp.yml:16:15: assessor.classArgs.pateince: no such argument of Strict, did you mean 'patience'?",
        "exp.yml:16:28: assessor.classArgs.optimize_mode: 'up' is not minimize or maximize",
        "exp.yml:19:3: trainingService.memory: '3 pounds' is not a size",
        "exp.yml:20:3: trainingService.pasword: no such key, did you mean 'password'?",
    ]
    assert [problem[: len(start)] for problem, start in zip(problems, wanted, strict=False)] == wanted
    assert len(problems) == len(wanted)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("trialConcurrency: 2", "trialConcurrency: 0"), "trialConcurrency: 0 is not at least 1"),
        (("trialConcurrency: 2", "trialConcurrency: 1000000000"), "is not at most 99999"),
        (("trialConcurrency: 2", "trialConcurrency: 2.5"), "2.5 is not a whole number"),
        (("trialConcurrency: 2", "trialConcurrency: '2'"), "'2' is not a whole number"),
        (("trialConcurrency: 2", "trialConcurrency:"), "None is not a whole number; leave the key out"),
        (("trialConcurrency: 2", ""), "exp.yml: trialConcurrency: is required"),
        (("trialCommand: echo hello", "trialCommand: ' '"), "is not a command"),
        (("trialCommand: echo hello", 'trialCommand: "a\\0b"'), "is not text (NUL"),
        (("maxTrialNumber: 9", "max_trial_number: 9\nmaxTrialNumber: 8"), "maxTrialNumber a second time"),
        (("maxTrialNumber: 9", "maxExperimentDuration: -1"), "between one second and a hundred years"),
        (("maxTrialNumber: 9", "maxExperimentDuration: 9999999d"), "between one second and a hundred years"),
        (("maxTrialNumber: 9", "maxExperimentDuration: 1.5"), "1.5 is not a duration"),
        (("maxTrialNumber: 9", "trialCodeDirectory: nowhere"), "trialCodeDirectory: no folder"),
        (("maxTrialNumber: 9", "tunerGpuIndices: [0, 0]"), "names a GPU twice"),
        (("maxTrialNumber: 9", "tunerGpuIndices: 0;1"), "is not a list of GPU numbers"),
        (("maxTrialNumber: 9", "seed: -1"), "-1 is not at least 0"),
        (("maxTrialNumber: 9", "seed: true"), "True is not a whole number"),
        (("maxTrialNumber: 9", "searchSpaceFile: x.json"), "searchSpaceFile: excludes searchSpace"),
        (("maxTrialNumber: 9", "advisor: {name: Both}"), "tuner: excludes advisor"),
        (("maxTrialNumber: 9", "sharedStorage: {storageType: NFS}"), "shared storage comes with a later"),
        (("  platform: here", "  platform: hre"), "platform: no training service called 'hre'"),
        (("  platform: here", "  - platform: here"), "(hybrid) is not supported"),
        (("  platform: here", "  memory: 3"), "trainingService.platform: is required"),
        (
            ("trainingService:\n  platform: here", "trainingService: here"),
            "is not a section; write `platform",
        ),
        (("  name: echo", "  name: Strict"), "'Strict' is an assessor"),
        (("  name: echo", "  name: ../../tmp/evil"), "no tuner called '../../tmp/evil'"),
        (("  name: echo", "  className: my.Tuner\n  name: echo"), "className: excludes name"),
        (("  name: echo", "  codeDirectory: .\n  name: echo"), "codeDirectory: goes with className"),
        (("  name: echo", ""), "tuner.name: is required, or className"),
        (("maximize}", "maximise}"), "'maximise' is not minimize or maximize, did you mean 'maximize'?"),
        (("maximize}", "maximize, gain: high}"), "tuner.classArgs.gain: 'high' is not a number"),
        (("maximize}", "maximize, levels: [1, x]}"), "tuner.classArgs.levels[1]: 'x' is not a whole number"),
        (("maximize}", "maximize, how: upp}"), "'upp' is not one of 'up' or 'down', did you mean 'up'?"),
        (("maximize}", "maximize, seed: x}"), "tuner.classArgs.seed: 'x' is not a whole number from 0"),
        (("_type: uniform", "_type: normal"), None),
        (
            ("name: echo", "name: fussy"),
            "tuner: Fussy fails on this search space: ZeroDivisionError: on the way",
        ),
        (("  y: {_type: uniform, _value: [0, 1]}", "  3"), "searchSpace: is not a section of parameters"),
        (("  y: {_type: uniform, _value: [0, 1]}", "  {}"), "searchSpace"),
    ],
)
def test_wrong_value_is_refused_with_its_key(
    tmp_path: Path, change: tuple[str, str], problem: str | None
) -> None:
    assert change[0] in GOOD
    text = GOOD.replace(*change)
    if problem is None:
        assert load(tmp_path, text)
    else:
        assert problem in "\n".join(refusal(tmp_path, text))


def test_tuner_refuses_a_space_when_it_is_validated(tmp_path: Path) -> None:
    flat = GOOD.replace("name: echo", "name: Flat")
    assert load(tmp_path, flat)
    assert refusal(tmp_path, flat.replace("_type: uniform", "_type: normal")) == [
        "exp.yml:7:1: tuner: Flat does not take normal (y); Both, Echo, Fussy do"
    ]
    nested = "{_type: choice, _value: [{_name: a, b: {_type: uniform, _value: [0, 1]}}]}"
    problems = refusal(tmp_path, flat.replace("{_type: uniform, _value: [0, 1]}", nested))
    assert problems == ["exp.yml:7:1: tuner: Flat does not take choice (y); Both, Echo, Fussy do"]
    assert refusal(tmp_path, GOOD.replace("name: echo", "name: Fussy").replace("  y:", "  x:")) == [
        "exp.yml:7:1: tuner: Fussy does not like x"
    ]


def test_assessor_must_not_contradict_the_tuner(tmp_path: Path) -> None:
    text = GOOD + "assessor: {name: Strict, classArgs: {optimize_mode: minimize}}\n"
    (problem,) = refusal(tmp_path, text)
    assert problem.startswith("exp.yml:12:38: assessor.classArgs.optimize_mode: ")
    assert problem.endswith("the assessor is to minimize, but the tuner is to maximize")


def test_advisor_leaves_no_place_for_an_assessor(tmp_path: Path) -> None:
    text = GOOD.replace("  name: echo", "  name: Both") + "assessor: {name: Strict}\n"
    assert refusal(tmp_path, text) == [
        "exp.yml:12:1: assessor: Both is an advisor, which stops trials itself"
    ]


UNNAMED = GOOD.replace("tuner:\n  name: echo\n  classArgs: {optimize_mode: maximize}\n", "")


def test_preferred_tuner_is_picked_when_none_is_named(
    tmp_path: Path, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = "@hookimpl\ndef tune_tuners():\n    yield Driver('{}', 'tune_demo.things:Echo', preference={})\n"
    install("low", hooks.format("Low", 1))
    install("high", hooks.format("High", 2))
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "demo,low,high")
    plugins.cache_clear()
    config = load(tmp_path, UNNAMED)
    assert config.algorithm.name == "tune-high:High"
    assert config.remarks == [
        "no tuner is named: tune-high:High is used, the default of what is installed",
        "tuner.classArgs.optimize_mode is not set: High minimizes",
    ]
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "demo,low")
    plugins.cache_clear()
    again = ExperimentConfig.from_json(config.to_json())
    assert again.algorithm.name == "tune-high:High"  # resume takes no other one
    assert load(tmp_path, UNNAMED).algorithm.name == "tune-low:Low"


def test_missing_tuner_is_told_with_everything_else(tmp_path: Path) -> None:
    first, second = refusal(tmp_path, UNNAMED.replace("echo hello", "3"))
    assert first.startswith("exp.yml: tuner: no tuner is named, and none that is installed offers itself")
    assert second == "exp.yml:4:1: trialCommand: 3 is not text; quote it to make it so"


@pytest.mark.parametrize("name", ["space.json", "space.yml"])
def test_search_space_file_is_read_and_its_errors_have_their_lines(tmp_path: Path, name: str) -> None:
    text = GOOD.replace("searchSpace:\n  y: {_type: uniform, _value: [0, 1]}", f"searchSpaceFile: {name}")
    space = {"y": {"_type": "uniform", "_value": [0, 1]}}
    (tmp_path / name).write_text(json.dumps(space))
    config = load(tmp_path, text)
    assert (config.search_space, config.search_space_file) == (space, None)
    (tmp_path / name).write_text('{"y":\n {"_type": "uniform",\n "_value": [1, 0]}}')
    assert refusal(tmp_path, text)[0].startswith(f"{name}:3:2: y._value: ")
    (tmp_path / name).write_text('{"y": [')
    assert refusal(tmp_path, text)[0].startswith(f"{name}:")
    (tmp_path / name).unlink()
    assert f"exp.yml:2:1: searchSpaceFile: {name}: cannot be read: No such file" in refusal(tmp_path, text)[0]
    device = refusal(tmp_path, text.replace(name, "/dev/zero"))
    assert device == ["exp.yml:2:1: searchSpaceFile: /dev/zero: is a device or a pipe, not a file"]


@pytest.mark.parametrize("text", ["", "[]", "3", "- a\n- b"])
def test_document_that_is_no_section_is_refused(tmp_path: Path, text: str) -> None:
    assert "a configuration has lines of `key: value`" in refusal(tmp_path, text)[0]


def test_annotated_code_says_what_to_install_and_excludes_a_search_space(tmp_path: Path) -> None:
    annotated = GOOD.replace("trialConcurrency:", "useAnnotation: true\ntrialConcurrency:")
    assert any("searchSpace: excludes useAnnotation" in each for each in refusal(tmp_path, annotated))
    lines = [line for line in annotated.splitlines() if "_type" not in line and line != "searchSpace:"]
    [problem] = refusal(tmp_path, "\n".join(lines))
    assert "useAnnotation: no reader of annotated code is installed: pip install tune-annotation" in problem


def test_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    (problem,) = refusal(folder, GOOD)
    assert "trialCodeDirectory: " in problem
    assert "use one of UTF-8: LC_ALL=C.UTF-8 tune" in problem


def test_remarks_name_what_may_be_meant_otherwise(tmp_path: Path) -> None:
    text = GOOD.replace(": {optimize_mode: maximize}", ": {}").replace("echo hello", "python train.py --lr 3")
    text = text.replace("maxTrialNumber: 9", "trialEnvironment: {A: '${env:TUNE_TEST_NOT_SET}'}")
    assert load(tmp_path, text).remarks == [
        "tuner.classArgs.optimize_mode is not set: Echo minimizes",
        f"trialCommand: no file 'train.py' in {tmp_path}",
        "trialEnvironment.A: the environment variable TUNE_TEST_NOT_SET is not set here",
        "neither maxTrialNumber nor maxExperimentDuration is set: it goes on until it is stopped",
    ]
    (tmp_path / "train.py").touch()
    assert len(load(tmp_path, text).remarks) == 3


_TALKS = """
from tune_core import Tuner

class Talks(Tuner):
    def update_search_space(self, search_space): self.dimensions = search_space.dimensions
    def generate_parameters(self, parameter_id): return {"y": 0.5}
    def receive_trial_result(self, parameter_id, parameters, value): pass
    def remark(self, objectives, trials):
        return f"{trials // objectives.are_many} trials of {self.dimensions} for {[*objectives.modes]}"
"""


def test_algorithm_has_a_remark_of_its_own(tmp_path: Path) -> None:
    several = GOOD.replace("name: echo", "className: mine.Talks").replace(
        ": maximize", ": {a: maximize, b: minimize}"
    )
    (tmp_path / "mine.py").write_text(_TALKS.replace("pass", "pass\n    many_objectives = True"))
    assert load(tmp_path, several).remarks == ["Talks: 9 trials of 1 for ['a', 'b']"]
    assert load(tmp_path, several.replace("{a: maximize, b: minimize}", "maximize")).remarks == [
        "Talks: what it would say fails: ZeroDivisionError: integer division or modulo by zero"
    ]


def test_remark_on_a_step_beyond_its_range(tmp_path: Path) -> None:
    text = GOOD.replace("{_type: uniform, _value: [0, 1]}", "{_type: quniform, _value: [0, 1, 5]}")
    said = "searchSpace.y: q 5 is greater than the range from 0 to 1; as a step it leaves 1 value"
    assert said in load(tmp_path, text).remarks
    assert load(tmp_path, text.replace("[0, 1, 5]", "[0, 5, 5]")).remarks == load(tmp_path, GOOD).remarks


@pytest.mark.parametrize(
    ("command", "remark"),
    [
        ("A=1 B=2 python train.py", "no file 'train.py'"),
        ("no-such-program-here --x", "no program 'no-such-program-here' on this machine's PATH"),
        ("./run.sh", "no program './run.sh'"),
        ("echo 'unclosed", "No closing quotation"),
        ("$PYTHON train.py", None),
        ("python -m train", None),
        ("cd src && python train.py", None),
        ("python $SCRIPT", None),
    ],
)
def test_command_that_names_what_is_not_there_is_remarked(
    tmp_path: Path, command: str, remark: str | None
) -> None:
    config = load(tmp_path, GOOD.replace("trialCommand: echo hello", f"trialCommand: {json.dumps(command)}"))
    assert [remark in each for each in config.remarks] == [True] if remark else config.remarks == []


def test_validation_takes_less_than_a_second_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from tune_core import Tuner\nclass Mine(Tuner):\n    pass\n")
    (tmp_path / "exp.yml").write_text(GOOD.replace("name: echo", "className: mine.Mine"))
    before = sorted(tmp_path.rglob("*"))
    start = time.thread_time()
    with pytest.raises(ConfigError, match="Mine does not define generate_parameters"):
        load_config(tmp_path / "exp.yml")
    assert time.thread_time() - start < 1  # 0.02 s
    new = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    # The plugin that stands in for an installed one is compiled by Python, as installers do it.
    assert [path for path in new if "site-packages" not in path.parts] == []


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("0.5h", 1800), ("1D", 86400), ("1.2s", 2), (".5m", 30), (7, 7)]
)
def test_durations_are_rounded_up_to_seconds(tmp_path: Path, written: Any, seconds: int) -> None:
    assert load(tmp_path, GOOD + f"maxTrialDuration: {written}\n").max_trial_duration == seconds


@pytest.mark.parametrize(
    ("written", "mebibytes"), [("1.5gb", 1536), ("1TB", 1 << 20), ("1b", 1), ("3 mb", 3), (5, 5)]
)
def test_sizes_are_rounded_up_to_mebibytes(tmp_path: Path, written: Any, mebibytes: int) -> None:
    config = load(tmp_path, GOOD + f"  memory: {written}\n").training_service.config
    assert config.model_dump()["memory"] == mebibytes


@pytest.mark.parametrize(("written", "numbers"), [("0", (0,)), ("[2, 1]", (2, 1)), ("'0, 3'", (0, 3))])
def test_gpu_indices_are_written_in_three_ways(
    tmp_path: Path, written: str, numbers: tuple[int, ...]
) -> None:
    assert load(tmp_path, GOOD + f"tunerGpuIndices: {written}\n").tuner_gpu_indices == numbers


def test_record_gives_the_same_configuration_back(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        GOOD + "failureBrake:\nmaxTrialDuration: 2m\ntrialRetry: {failed: 1}\ntunerGpuIndices: 0,1\n"
        "assessor: {name: Strict, classArgs: {patience: 4}}\ntrialEnvironment: {TOKEN: '${env:TOKEN}'}\n",
    )
    again = ExperimentConfig.from_json(config.to_json())
    assert again.to_json() == config.to_json()
    assert again.failure_brake is None
    assert again.trial_environment == {"TOKEN": "${env:TOKEN}"}
    assert json.loads(config.to_json())["trialCodeDirectory"] == str(tmp_path)
    assert json.loads(config.to_json())["trainingService"] == {
        "platform": "here",
        "memory": 100,
        "password": None,
    }


def test_secret_is_neither_stored_nor_shown(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD + "  password: hunter2\n")
    assert config.training_service.config.password.reveal() == "hunter2"  # type: ignore[attr-defined]
    for shown in (config.to_json(), repr(config), str(config), repr(config.model_dump())):
        assert "hunter2" not in shown
    again = ExperimentConfig.from_json(config.to_json()).training_service.config
    with pytest.raises(ConfigError, match="write it as"):
        again.password.reveal()  # type: ignore[attr-defined]


def test_secret_is_not_in_an_error_about_its_section(tmp_path: Path) -> None:
    text = GOOD.replace("trialCommand: echo hello", "trialCommand: [hunter2]") + "  password: [hunter2]\n"
    assert "hunter2" not in "\n".join(refusal(tmp_path, text))


def test_secret_reference_is_stored_and_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_TEST_SECRET", "from the environment")
    (tmp_path / "secret").write_text("from the file\n")
    for written, value in [
        ("${env:TUNE_TEST_SECRET}", "from the environment"),
        (f"${{file:{tmp_path}/secret}}", "from the file"),
    ]:
        config = load(tmp_path, GOOD + f"  password: {written!r}\n")
        assert written in config.to_json()
        again = ExperimentConfig.from_json(config.to_json()).training_service.config
        assert again.password.reveal() == value  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="TUNE_TEST_NO_SUCH is not set"):
        Secret("${env:TUNE_TEST_NO_SUCH}").reveal()


def test_environment_references_are_resolved_all_or_named() -> None:
    assert expand_references("a${env:B}c${env:B}", {"B": "-"}) == "a-c-"
    assert resolve_environment({"A": "${env:B}", "C": "$B"}, {"B": "1"}) == {"A": "1", "C": "$B"}
    with pytest.raises(ConfigError, match=r"trialEnvironment.A: X is not set here\ntrialEnvironment.C: Y is"):
        resolve_environment({"A": "${env:X}", "C": "${env:Y}"}, {})


def test_model_is_made_in_python_too(tmp_path: Path) -> None:
    space = {"y": {"_type": "uniform", "_value": [0, 1]}}
    arguments: dict[str, Any] = {"search_space": space, "trial_command": "x", "trial_concurrency": 1}
    service = check(
        ExperimentConfig, {**arguments, "tuner": {"name": "Echo"}, "trainingService": {"platform": "here"}}
    )
    config = ExperimentConfig(
        **arguments, tuner=AlgorithmConfig(name="Echo"), training_service=service.training_service
    )
    assert isinstance(config.training_service, ServiceConfig)
    assert config.trial_code_directory == Path.cwd()
    with pytest.raises(ValidationError, match="no such key, did you mean 'trialCommand'"):
        ExperimentConfig(**arguments, trial_comand="x")


def algorithm(directory: Path, **section: Any) -> AlgorithmConfig:
    return check(AlgorithmConfig, section, context={"directory": directory})


TUNER = """
import neighbour
from tune_core import Tuner

class Mine(Tuner):
    def __init__(self, gain: float, **rest): self.gain, self.rest = gain, rest
    def update_search_space(self, search_space): pass
    def generate_parameters(self, parameter_id): return {"gain": neighbour.GAIN}
    def receive_trial_result(self, parameter_id, parameters, value): pass
"""


def test_class_of_ones_own_imports_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text(TUNER)
    (tmp_path / "neighbour.py").write_text("GAIN = 7")
    mine = instantiate(
        "tuner", algorithm(tmp_path, className="random.Mine", classArgs={"gain": 3, "other": [1]})
    )
    assert (mine.gain, mine.rest) == (3.0, {"other": [1]})
    assert mine.generate_parameters(0) == {"gain": 7}
    assert "Mine" not in vars(sys.modules.get("random", sys))
    by_file = algorithm(tmp_path, className="Mine", classFileName="random.py", classArgs={"gain": 1})
    assert isinstance(instantiate("tuner", by_file), type(mine))


def test_two_folders_may_hold_modules_of_one_name(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number) / "pkg"
        folder.mkdir(parents=True)
        (folder / "base.py").write_text(f"NUMBER = {number}")
        (folder / "mine.py").write_text(TUNER.replace("import neighbour", "from .base import NUMBER"))
    made = [
        instantiate("tuner", algorithm(tmp_path / str(n), className="pkg.mine.Mine", classArgs={"gain": 1}))
        for n in (1, 2)
    ]
    assert [sys.modules[type(each).__module__].NUMBER for each in made] == [1, 2]


@pytest.mark.parametrize(
    ("code", "class_name", "problem"),
    [
        ("", "mine.Mine", "className: no class 'Mine' in "),
        ("class Mien: pass", "mine.Mine", "did you mean 'Mien'?"),
        ("Mine = 3", "mine.Mine", "'Mine' in {file} is no class"),
        ("class Mine: pass", "mine.Mine", "Mine is not a subclass of tune_core.Tuner or tune_core.Advisor"),
        ("x = (\n", "mine.Mine", "{file}:1: '(' was never closed"),
        (
            "\n\nimport no_such_module",
            "mine.Mine",
            "{file}:3: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("def f():\n    1 / 0\nf()", "mine.Mine", "{file}:2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "mine.Mine", "{file}:1: SystemExit: 3"),
        ("", "main.Mine", "no file main.py in {folder}, did you mean 'mine'?"),
        ("", "../mine.Mine", "is not a class: write module.Class"),
        ("", "Mine", "'Mine' is not a class: write module.Class"),
    ],
)
def test_fault_in_the_users_code_is_named_with_its_line(
    tmp_path: Path, code: str, class_name: str, problem: str
) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(ConfigError) as caught:
        choose("tuner", algorithm(tmp_path, className=class_name))
    assert problem.format(file=tmp_path / "mine.py", folder=tmp_path) in str(caught.value)


def test_choice_takes_mode_and_seed_out_of_the_arguments() -> None:
    echo = choose("tuner", AlgorithmConfig(name="Echo", class_args={"seed": 4, "gain": 2}))
    assert (echo.arguments, echo.optimize_mode, echo.mode_given, echo.seed) == (
        {"gain": 2.0},
        "minimize",
        False,
        4,
    )
    both = choose("tuner", AlgorithmConfig(name="Both", class_args={"optimize_mode": "maximize"}))
    assert (both.kind, both.optimize_mode, both.mode_given) == ("advisor", "maximize", True)


def test_class_that_asks_for_the_mode_is_told_that_values_are_turned() -> None:
    fussy = choose(
        "tuner", AlgorithmConfig(name="Fussy", class_args={"optimize_mode": "maximize", "seed": 4})
    )
    assert fussy.optimize_mode == "maximize"
    assert vars(fussy.make()) == {"optimize_mode": "minimize", "seed": 4}


def test_class_that_compares_with_numbers_of_the_user_is_told_the_users_mode(tmp_path: Path) -> None:
    (tmp_path / "limits.py").write_text(
        "from tune_core import Assessor\n"
        "class Limit(Assessor):\n"
        "    def __init__(self, user_mode, highest=1.0): self.user_mode = user_mode\n"
        "    def assess_trial(self, trial_id, history): return True\n"
    )
    config = {"class_name": "limits.Limit", "code_directory": tmp_path}
    told = AlgorithmConfig(**config, class_args={"optimize_mode": "maximize", "highest": 2})
    assert vars(choose("assessor", told).make()) == {"user_mode": "maximize"}
    with pytest.raises(ConfigError, match="optimize_mode is missing"):
        choose("assessor", AlgorithmConfig(**config))
    with pytest.raises(ConfigError, match="user_mode"):
        choose("assessor", AlgorithmConfig(**config, class_args={"user_mode": "maximize"}))


def test_list_is_taken_for_a_tuple_and_defaults_come_from_the_model() -> None:
    assert choose("tuner", AlgorithmConfig(name="Echo", class_args={"levels": [1, 2]})).arguments == {
        "levels": (1, 2)
    }
    assert choose("assessor", AlgorithmConfig(name="Strict")).make().patience == 3


def test_constructor_that_refuses_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        TUNER.replace("import neighbour", "").replace(
            "self.gain, self.rest", "float('x'); self.gain, self.rest"
        )
    )
    with pytest.raises(ConfigError, match="classArgs: Mine refuses its arguments: could not convert string"):
        instantiate("tuner", algorithm(tmp_path, className="mine.Mine", classArgs={"gain": 1}))
