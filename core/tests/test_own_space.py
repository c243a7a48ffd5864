"""Algorithms that bring a space of their own: no search space is asked for, and theirs is asked what fits."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tune_core import AskTell, Experiment, minimize
from tune_core.algorithms.base import Advisor, Observation, Tuner
from tune_core.config import load_config
from tune_core.errors import ConfigError, SearchSpaceError, SpaceProblem
from tune_core.experiment.assemble import assemble
from tune_core.experiment.requests import read_observations
from tune_core.objectives import Bound, Objectives
from tune_core.space import SearchSpace
from tune_core.testing import TunerContract
from tune_core.trial import Parameters

GROWS = """
from tune_core.errors import SearchSpaceError, SpaceProblem
from tune_core.algorithms.base import Tuner

class Grows(Tuner):
    '''Proposes words, one letter longer each time.'''

    needs_space = False

    def __init__(self, letter: str = "a") -> None:
        self.letter, self.tried = letter, set()

    def update_search_space(self, search_space):
        if len(search_space):
            raise SearchSpaceError("words are all that there is")

    def takes(self, parameters):
        word = parameters.get("word")
        if isinstance(word, str) and set(word) - {self.letter}:
            raise SearchSpaceError("no", [SpaceProblem("word", f"{word!r} is not of {self.letter!r} alone")])
        return set(parameters) == {"word"} and isinstance(word, str)

    def generate_parameters(self, parameter_id):
        return {"word": self.letter * (1 + max(self.tried, default=0))}

    def register_pending(self, parameter_id, parameters):
        self.tried.add(len(parameters["word"]))

    def receive_trial_result(self, parameter_id, parameters, value):
        pass
"""

HOOKS = """
@hookimpl
def tune_tuners():
    yield Driver("Grows", "{module}.things:Grows", needs_space=False, accepts=frozenset())
"""

CONFIG = """
trialCommand: echo hello
trialConcurrency: 2
maxTrialNumber: 9
tuner: {name: grows, classArgs: {optimize_mode: maximize}}
trainingService: {platform: here}
"""
SPACE = "searchSpace: {y: {_type: uniform, _value: [0, 1]}}\n"


def _class() -> type[Tuner]:
    scope: dict[str, Any] = {"__name__": __name__}
    exec(textwrap.dedent(GROWS), scope)
    made: type[Tuner] = scope["Grows"]
    return made


Grows = _class()


class TestContract(TunerContract):
    """The kit knows what to make of such a tuner."""

    startup = 3
    spaces: ClassVar[Mapping[str, Any]] = {"its own": {}}
    refused: ClassVar[Mapping[str, Any]] = {"any": {"y": {"_type": "uniform", "_value": [0, 1]}}}

    def make_tuner(self) -> Tuner:
        return Grows()


@pytest.fixture
def configured(
    demo: None, install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Any]:
    install("grows", HOOKS, GROWS)
    from tune_core.plugins import plugins

    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "demo,grows")
    plugins.cache_clear()
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))

    def load(text: str) -> Any:
        (tmp_path / "exp.yml").write_text(text)
        return load_config(tmp_path / "exp.yml")

    return load


def refusal(load: Callable[[str], Any], text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return [str(problem).rpartition("/")[2] for problem in caught.value.problems]


@pytest.mark.parametrize("space", ["", "searchSpace: {}\n"])
def test_no_search_space_is_asked_for(configured: Callable[[str], Any], space: str) -> None:
    config = configured(CONFIG + space)
    assert config.search_space == {}
    assert assemble(config).search_space.raw == {}


def test_search_space_is_refused_where_it_would_not_be_searched(configured: Callable[[str], Any]) -> None:
    [problem] = refusal(configured, CONFIG + SPACE)
    said = "Grows brings a space of its own: leave searchSpace out, or name another tuner"
    assert problem == f"exp.yml:7:1: searchSpace: {said}"


def test_search_space_cannot_be_given_later(configured: Callable[[str], Any]) -> None:
    with pytest.raises(SearchSpaceError, match="Grows brings a space of its own"):
        assemble(configured(CONFIG)).check_space(
            SearchSpace.parse({"y": {"_type": "uniform", "_value": [0, 1]}})
        )


def test_other_algorithms_still_need_a_search_space(configured: Callable[[str], Any]) -> None:
    text = CONFIG.replace("grows", "echo")
    assert refusal(configured, text) == [
        "exp.yml: searchSpace: is required: each parameter, with what it may be"
    ]
    assert refusal(configured, text + "searchSpace: {}\n") == ["exp.yml:7:1: searchSpace: has no parameter"]
    [unknown] = refusal(configured, CONFIG.replace("grows", "gorws"))
    assert "did you mean 'Grows'" in unknown


def test_missing_space_is_told_with_all_else_that_is_wrong(configured: Callable[[str], Any]) -> None:
    wrong = CONFIG.replace("trialConcurrency: 2", "trialConcurrency: 0")
    said = refusal(configured, wrong.replace("grows", "echo"))
    assert any("searchSpace: is required" in each for each in said)
    assert len(said) == 2
    [only] = refusal(configured, wrong)
    assert "trialConcurrency" in only


def test_wrong_arguments_bring_no_call_for_a_space(configured: Callable[[str], Any]) -> None:
    [only] = refusal(configured, CONFIG.replace("optimize_mode: maximize", "lettre: b"))
    assert "lettre" in only


def test_class_of_the_users_own_may_bring_its_space(configured: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GROWS)
    assert configured(CONFIG.replace("name: grows", "className: mine.Grows")).search_space == {}


def test_initial_points_are_what_the_algorithm_takes(configured: Callable[[str], Any]) -> None:
    assert configured(CONFIG + "initialPoints: [{word: aa}]\n").initial_points == [{"word": "aa"}]
    assert refusal(configured, CONFIG + "initialPoints: [{word: aa}, {word: ab}, {x: 1}, {}]\n") == [
        "exp.yml:7:29: initialPoints[1]: word: 'ab' is not of 'a' alone",
        "exp.yml:7:42: initialPoints[2].x: unknown parameter 'x'",
        "exp.yml:7:49: initialPoints[3]: is empty",
    ]


def test_results_are_imported_that_the_algorithm_takes() -> None:
    items = [{"parameter": {"word": word}, "value": 1} for word in ("aa", "b")]
    items += [{"parameter": parameters, "value": 1} for parameters in ({}, {"x": 1})]
    tuner = Grows()
    imported = read_observations(items, SearchSpace({}, ()), Objectives(), AskTell(tuner, {})._advisor)
    assert [each.parameters for each in imported.observations] == [{"word": "aa"}]
    assert set(imported.left_out) == {"word: 'b' is not of 'a' alone", "is empty", "unknown parameter 'x'"}


class Takes(Tuner):
    """Takes one configuration that is in no space."""

    needs_space = False

    def update_search_space(self, search_space: SearchSpace) -> None:
        pass

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return {"n": parameter_id}

    def takes(self, parameters: Parameters) -> bool:
        if parameters != {"n": 7}:
            raise SearchSpaceError("n", [SpaceProblem("n", "is not 7")])
        return True

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        pass


def test_constraints_leave_what_an_algorithm_takes() -> None:
    from tune_core.algorithms.ask_tell import make_advisor

    advisor: Advisor = make_advisor(Takes(), objectives=Objectives(constraints={"latency": Bound(max=1)}))
    assert advisor.takes({"n": 7})
    assert not advisor.needs_space
    advisor.update_search_space(SearchSpace({}, ()))
    advisor.import_data([Observation({"n": 7}, 1.0)])


def test_experiment_without_a_space_runs_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path))
    function = lambda parameters: len(parameters["word"])  # noqa: E731 (one line says it)
    first = minimize(function, {}, tuner=Grows(), trials=3, initial_points=[{"word": "aaaa"}])
    again = Experiment.resume(first.id, function, tuner=Grows())
    again.update(trials=5)
    again.run()
    words = [trial.parameters["word"] for trial in sorted(again.trials(), key=lambda each: each.sequence)]
    assert words == ["a" * length for length in (4, 5, 6, 7, 8)]
    assert json.dumps(words)
