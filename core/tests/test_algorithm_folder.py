"""The folder of an algorithm: where it is, that it stays the same, and who may rely on trials seeing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_core import Experiment, SearchSpace, minimize
from tune_core.algorithms.base import Tuner
from tune_core.config import load_config
from tune_core.errors import ConfigError
from tune_core.experiment.offline import change_search_space
from tune_core.plugins import plugins
from tune_core.store.directory import find_experiment
from tune_core.trial import Parameters

SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}
FILES = """
from tune_core import Tuner
from tune_core.services.processes import ProcessService
from tune_core.config import ConfigModel

class Hands(Tuner):
    '''Has its trials hand files to one another.'''

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        if folder == "nowhere":
            raise ValueError("nowhere is no folder")
        self.needs_folder = "" if folder else "name one that they do see: folder"

    def update_search_space(self, search_space): self.space = search_space
    def set_directory(self, directory): self.folder = self.folder or str(directory)
    def generate_parameters(self, parameter_id): return self.space.sample(self.rng(parameter_id))
    def receive_trial_result(self, parameter_id, parameters, value): pass

class Near(ProcessService):
    class Config(ConfigModel):
        pass

    def __init__(self, config): super().__init__()
"""
HOOKS = """
@hookimpl
def tune_tuners():
    yield Driver("Hands", "{module}.things:Hands")

@hookimpl
def tune_training_services():
    yield Driver("near", "{module}.things:Near")
"""
CONFIG = """
searchSpace: {x: {_type: uniform, _value: [0, 1]}}
trialCommand: "true"
trialConcurrency: 1
constraints: {size: {max: 1}}
tuner: {name: Hands, classArgs: {}}
trainingService: {platform: here}
"""


class Keeper(Tuner):
    """Notes the order of the first calls and the folder that it is given."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.folder: Path | None = None

    def set_seed(self, seed: int) -> None:
        super().set_seed(seed)
        self.calls.append("seed")

    def set_directory(self, directory: Path) -> None:
        self.calls.append("directory")
        self.folder = directory

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.calls.append("space")
        self._space = search_space

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return self._space.sample(self.rng(parameter_id))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        pass


@pytest.fixture
def load(
    demo: None, install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Any]:
    install("files", HOOKS, FILES)
    monkeypatch.setenv("TUNE_ENABLE_PLUGINS", "demo,files")
    plugins.cache_clear()

    def load(text: str) -> Any:
        (tmp_path / "exp.yml").write_text(text)
        return load_config(tmp_path / "exp.yml")

    return load


def value(parameters: Parameters) -> dict[str, float]:
    return {"default": parameters["x"], "size": 0.5}


def test_algorithm_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "link"))
    first, second = Keeper(), Keeper()
    # With a constraint, so that the calls go through all that may stand between the kernel and a tuner.
    experiment = minimize(value, SPACE, constraints={"size": {"max": 1}}, trials=2, tuner=first)
    expected = tmp_path.resolve() / "real" / experiment.id / "algorithm"
    assert first.folder == expected
    assert first.calls[-3:] == ["seed", "directory", "space"]
    assert not expected.exists()
    resumed = Experiment.resume(experiment.id, value, tuner=second)
    resumed.update(trials=3)
    resumed.run()
    assert second.folder == expected


def test_trials_that_do_not_see_the_folder_are_refused(load: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(CONFIG)
    [problem] = caught.value.problems
    assert problem.path == ("tuner", "classArgs")
    assert problem.message == (
        "Hands needs a folder that all trials see, and those on here do not see this machine's; "
        "name one that they do see: folder"
    )
    load(CONFIG.replace("{}", "{folder: /shared}"))
    load(CONFIG.replace("here", "near"))
    load(CONFIG.replace("Hands", "Echo"))


def test_arguments_that_are_refused_are_told_once(load: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(CONFIG.replace("{}", "{folder: nowhere}"))
    assert [problem.message for problem in caught.value.problems] == [
        "Hands refuses its arguments: nowhere is no folder"
    ]


def test_folder_is_the_same_where_nobody_manages_the_experiment(
    load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    experiment = Experiment(load(CONFIG.replace("here", "near")))
    given: list[Path] = []
    things = plugins().find("tuner", "Hands").load()
    monkeypatch.setattr(things, "set_directory", lambda _, directory: given.append(directory))
    space = SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 2]}})
    change_search_space(find_experiment(experiment.id), space)
    assert given == [tmp_path.resolve() / "home" / experiment.id / "algorithm"]
