"""Experiments from Python."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import tune
from tune_core import (
    AskTell,
    Experiment,
    Parameters,
    SearchSpace,
    SearchSpaceError,
    TrialState,
    TuneError,
    Tuner,
    maximize,
    minimize,
)
from tune_core.errors import ExperimentBusyError
from tune_core.experiment.view import ExperimentView
from tune_core.plugins import plugins

SPACE = {"x": {"_type": "uniform", "_value": [-1, 1]}}


class Draws(Tuner):
    def update_search_space(self, search_space: SearchSpace) -> None:
        self.space = search_space

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return self.space.sample(self.rng(parameter_id))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        pass


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path))


def test_minimize_and_maximize_find_the_ends() -> None:
    least = minimize(lambda p: p["x"] ** 2, SPACE, trials=40, tuner=Draws(), seed=1)
    most = maximize(lambda p: p["x"] ** 2, SPACE, trials=40, tuner=Draws(), seed=1)
    assert least.best is not None
    assert most.best is not None
    assert least.best.value is not None
    assert most.best.value is not None
    assert least.best.value < 0.01
    assert most.best.value > 0.9
    assert least.status == "DONE"
    assert len(least.trials()) == 40


def test_same_seed_is_the_same_search_as_ask_and_tell() -> None:
    experiment = minimize(lambda p: p["x"], SPACE, trials=5, tuner=Draws(), seed=9)
    study = AskTell(Draws(), SPACE, seed=9)
    by_hand = []
    for _ in range(5):
        asked = study.ask()
        assert asked is not None
        by_hand.append(asked.parameters)
    assert [trial.parameters for trial in experiment] == by_hand


def test_error_of_the_tuner_is_raised() -> None:
    class Breaks(Draws):
        def generate_parameters(self, parameter_id: int) -> Parameters:
            raise ZeroDivisionError("my own bug")

    with pytest.raises(TuneError, match="Breaks failed: ZeroDivisionError: my own bug"):
        minimize(lambda p: 0.0, SPACE, tuner=Breaks())


def test_progress_is_shown_while_it_runs() -> None:
    views: list[ExperimentView] = []
    seen = threading.Event()

    def progress(view: ExperimentView) -> None:
        if view.running:  # it may look before the first trial is proposed
            views.append(view)
            seen.set()

    minimize(lambda p: float(seen.wait(60)), SPACE, trials=2, tuner=Draws(), progress=progress)
    assert views[0].status == "RUNNING"
    assert len(views[0].running) == 1


def test_experiment_is_steered_from_elsewhere() -> None:
    hold = threading.Event()
    experiment = Experiment.of_function(
        lambda p: float(hold.wait(60)), SPACE, mode="minimize", trials=2, tuner=Draws()
    ).start()
    other = Experiment.connect(experiment.id)
    other.update(trials=3)
    assert other.add_trial({"x": 0.25})
    hold.set()
    assert experiment.wait(60) == "DONE"
    assert {trial.source for trial in other} == {"algorithm", "user"}
    assert len(other.trials()) == 3
    assert len(other.trials(TrialState.SUCCEEDED)) == 3
    with pytest.raises(ExperimentBusyError, match="no running manager"):
        other.add_trial({"x": 0.5})
    other.update(trials=4)
    with other.record() as record:
        assert record.state()["limits"]["trials"] == 4


def test_function_is_resumed_with_the_function_again() -> None:
    calls: list[Any] = []

    def trial(parameters: Parameters) -> float:
        calls.append(parameters)
        if len(calls) == 3:
            experiment.stop()
        return 0.0

    experiment = Experiment.of_function(trial, SPACE, mode="minimize", trials=6, tuner=Draws(), seed=2)
    assert experiment.run() == "STOPPED"
    assert Experiment.resume(experiment.id, trial, tuner=Draws()).run() == "DONE"
    assert [t.sequence for t in experiment.trials(TrialState.SUCCEEDED)] == list(range(6))
    with pytest.raises(TuneError, match="runs a Python function"):
        Experiment.resume(experiment.id)


def test_started_experiment_is_not_started_again() -> None:
    experiment = minimize(lambda p: 0.0, SPACE, trials=1, tuner=Draws())
    with pytest.raises(ExperimentBusyError, match="ran before"):
        experiment.run()


def test_notebook_sees_a_table_with_names_escaped() -> None:
    space = {"<x>": {"_type": "choice", "_value": ["<b>", "&"]}}
    experiment = minimize(lambda p: 1.0, space, trials=2, tuner=Draws())
    table = experiment._repr_html_()
    assert "<th>&lt;x&gt;</th>" in table
    assert "&lt;b&gt;" in table
    assert "<b>experiment" in table


def test_search_in_which_every_trial_failed_is_an_error() -> None:
    def fails(parameters: Parameters) -> float:
        raise KeyError("age")

    with pytest.raises(TuneError, match="no trial had a result; the last one: KeyError: 'age'"):
        minimize(fails, SPACE, trials=2, tuner=Draws())


def test_view_is_there_while_it_runs_and_none_afterwards() -> None:
    for _ in range(10):
        experiment = Experiment.of_function(
            lambda p: 0.0, SPACE, mode="minimize", trials=3, tuner=Draws()
        ).start()
        while True:
            try:
                experiment.wait(0.0005)
            except TimeoutError:
                experiment.view()  # may come at any moment of the end, and must neither hang nor raise
            else:
                break
        assert experiment.view() is None


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"concurrency": 0}, {"trials": 1.5}, {"duration_s": -1}])
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TuneError, match="must be a positive"):
        minimize(lambda p: 0.0, SPACE, tuner=Draws(), **wrong)


def test_progress_may_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    lines: list[str] = []
    monkeypatch.setattr("builtins.print", lambda view: (lines.append(str(view)), hold.set()))
    minimize(lambda p: float(hold.wait(60)), SPACE, trials=1, tuner=Draws(), progress=True)
    assert ", 0/1 trials" in lines[0]
    with pytest.raises(TypeError, match="progress is 3"):
        minimize(lambda p: 0.0, SPACE, trials=1, tuner=Draws(), progress=3)  # type: ignore[arg-type]


def test_search_space_is_read_from_the_signature() -> None:
    def train(
        x: Annotated[float, tune.uniform(0, 1)] = 0.5,
        kind: Literal["a", "b"] = "a",
        flag: bool = False,
        layers: int = 3,
    ) -> float:
        assert layers == 3
        return x if kind == "b" and flag else 2.0

    experiment = minimize(train, trials=30, tuner=Draws(), seed=1)
    assert experiment.trials()[0].parameters == {"x": 0.5, "kind": "a", "flag": False}
    assert experiment.best is not None
    assert experiment.best.parameters["kind"] == "b"


def test_function_with_a_signature_is_resumed_and_may_take_its_trial() -> None:
    def train(trial: Any, x: float = tune.uniform(0, 1)) -> float:  # type: ignore[assignment]
        trial.report(x)
        return x

    experiment = Experiment.of_function(train, mode="minimize", trials=2, tuner=Draws(), seed=3)
    experiment.run()
    again = Experiment.resume(experiment.id, train, tuner=Draws())
    again.update(trials=4)
    again.run()
    assert [len(again.metrics(trial)) for trial in again.trials()] == [2] * 4


def test_signature_that_says_too_little_is_refused() -> None:
    def nothing(x: float) -> float:
        return x

    def constant(x: float = 1.0) -> float:
        return x

    with pytest.raises(SearchSpaceError, match=r"nothing: nothing says what x may be\n  write x: Annotated"):
        minimize(nothing, tuner=Draws())
    with pytest.raises(SearchSpaceError, match="constant says nothing of a search space"):
        minimize(constant, tuner=Draws())


def test_observers_hear_of_functions_too(install: Any, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    hook = f"""\
    @hookimpl
    def tune_trial_ended(experiment, trial):
        with open({str(heard)!r}, "a") as file:
            file.write("x")
    """
    install("ears", hook)
    plugins.cache_clear()
    minimize(lambda p: 0.0, SPACE, trials=3, tuner=Draws())
    assert heard.read_text() == "xxx"
