"""Experiments with several objectives and constraints: record, resume, best and front, on every surface."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from effort import builtin_calls, instructions
from rich.console import Console

from tune_core import ConfigError, Experiment, Parameters, SearchSpace, TrialState, Tuner, maximize, minimize
from tune_core.cli import main
from tune_core.cli.live import headline, picture
from tune_core.cli.watch import view_of, view_row
from tune_core.config.load import load_config
from tune_core.experiment.view import ExperimentView
from tune_core.objectives import Objectives, Score
from tune_core.store.directory import create_experiment
from tune_core.store.events import Event, write_rows
from tune_core.store.reader import Record
from tune_core.store.schema import open_writer

SPACE = {"x": {"_type": "randint", "_value": [0, 20]}}
GOALS = {"gain": "maximize", "cost": "minimize"}


class InOrder(Tuner):
    """Proposes 0, 1, 2, ... and keeps what it is told."""

    many_objectives = True
    handles_constraints = True

    def __init__(self) -> None:
        self.heard: list[Score] = []

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.space = search_space

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return {"x": parameter_id}

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        assert isinstance(value, Score)
        self.heard.append(value)


class One(InOrder):
    many_objectives = False
    handles_constraints = False


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path))


def trade(parameters: Parameters) -> dict[str, Any]:
    """More gain costs more, and x from 7 on is dominated by 6."""
    x = parameters["x"]
    return {"gain": min(x, 6), "cost": x * x, "note": "x"}


def run(tuner: Tuner, **options: Any) -> Experiment:
    return maximize(trade, SPACE, objectives=GOALS, trials=10, tuner=tuner, seed=1, **options)


def test_experiment_has_a_front_and_a_best() -> None:
    tuner = InOrder()
    experiment = run(tuner, constraints={"cost": {"max": 20, "min": 1}})
    assert [trial.metric["gain"] for trial in experiment.front] == [4, 3, 2, 1]
    assert experiment.best is not None
    assert (experiment.best.value, experiment.best.metric["cost"]) == (4.0, 16)
    assert [each.values for each in tuner.heard[:3]] == [(0.0, 0.0), (-1.0, 1.0), (-2.0, 4.0)]
    assert tuner.heard[5].violation == pytest.approx(0.25)
    assert experiment.trials()[5].reason == "infeasible: cost 25 is above max 20"
    assert experiment.trials()[5].state is TrialState.SUCCEEDED


def test_resumed_algorithm_hears_exactly_what_it_heard() -> None:
    tuner, again = InOrder(), InOrder()
    experiment = run(tuner, constraints={"cost": {"max": 20}})
    experiment.update(trials=12)
    resumed = Experiment.resume(experiment.id, trade, tuner=again)
    views: list[ExperimentView] = []
    resumed.run(views.append)
    told = [(each.values, each.violation) for each in again.heard]
    assert told[:10] == [(each.values, each.violation) for each in tuner.heard]
    assert len(told) == 12
    with resumed.record() as record:
        assert record.objectives() == Objectives.of(GOALS, {"cost": {"max": 20}})


def test_live_view_of_a_resumed_experiment_has_its_front() -> None:
    experiment = run(InOrder())
    experiment.update(trials=11)
    views: list[ExperimentView] = []

    def slow(parameters: Parameters) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while not views and time.monotonic() < deadline:
            time.sleep(0.01)
        return trade(parameters)

    Experiment.resume(experiment.id, slow, tuner=InOrder()).run(views.append)
    assert [trial.sequence for trial in views[0].front] == [6, 5, 4, 3, 2, 1, 0]
    assert "best gain 6 (trial 6), 7 on the front" in headline(views[0])
    assert "7 on the front" in str(views[0])


def test_final_result_that_lacks_an_objective_fails_its_trial() -> None:
    def forgets(parameters: Parameters) -> dict[str, Any]:
        return {"gain": 1} if parameters["x"] == 3 else trade(parameters)

    experiment = maximize(forgets, SPACE, objectives=GOALS, trials=5, tuner=InOrder())
    failed = experiment.trials(TrialState.FAILED)
    assert [trial.parameters["x"] for trial in failed] == [3]
    assert "the reported dictionary has no key 'cost' (keys: gain)" in failed[0].reason


def test_objective_that_is_not_finite_fails_its_trial() -> None:
    def breaks(parameters: Parameters) -> dict[str, Any]:
        return {"gain": 1.0, "cost": float("nan") if parameters["x"] == 1 else 1.0}

    experiment = maximize(breaks, SPACE, objectives=GOALS, trials=3, tuner=InOrder())
    [failed] = experiment.trials(TrialState.FAILED)
    assert failed.reason == "its final result is gain 1.0, cost nan, which is no finite number"


def test_function_says_what_is_minimised() -> None:
    experiment = minimize(
        lambda p: {"a": p["x"], "b": -p["x"]}, SPACE, objectives=["a", "b"], trials=4, tuner=InOrder()
    )
    with experiment.record() as record:
        assert record.objectives().modes == {"a": "minimize", "b": "minimize"}
    assert [trial.value for trial in experiment.front] == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(TypeError, match="objectives is 'a'"):
        minimize(trade, SPACE, objectives="a", tuner=InOrder())


def test_one_objective_with_a_constraint_hides_it_from_who_does_not_know() -> None:
    tuner = One()
    experiment = maximize(
        trade, SPACE, objectives=["gain"], constraints={"cost": {"max": 20}}, trials=10, tuner=tuner
    )
    assert experiment.best is not None
    assert experiment.best.value == 4.0
    assert max(tuner.heard[:5]) < min(tuner.heard[5:])
    again = One()
    experiment.update(trials=11)
    Experiment.resume(experiment.id, trade, tuner=again).run()
    assert [each.values for each in again.heard[:10]] == [each.values for each in tuner.heard]


def test_algorithm_for_one_objective_is_refused_several() -> None:
    with pytest.raises(ConfigError, match=r"One does not take several objectives \(gain, cost\)"):
        run(One())


def test_nothing_is_best_while_nothing_is_feasible(capsys: pytest.CaptureFixture[str]) -> None:
    experiment = run(InOrder(), constraints={"gain": {"min": 8}})
    assert experiment.best is None
    assert experiment.front == []
    assert main(["best", experiment.id]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no result keeps the constraints yet; trial 6 (" in captured.err
    assert "infeasible: gain 6 is below min 8" in captured.err
    assert main(["experiment", "show", experiment.id]) == 0
    assert "front:" not in capsys.readouterr().out
    with experiment.record() as record:
        assert "none keeps the constraints yet" in headline(view_of(record))


def test_best_prints_the_front(capsys: pytest.CaptureFixture[str]) -> None:
    experiment = run(InOrder())
    assert main(["best", experiment.id, "-n", "2"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["TRIAL", "ID", "GAIN", "COST", "PARAMETERS"]
    assert [line[0:1] + line[2:] for line in lines[1:]] == [["6", "6", "36", "x=6"], ["5", "5", "25", "x=5"]]
    assert main(["best", experiment.id, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["metric"]["gain"] for row in rows] == [6, 5, 4, 3, 2, 1, 0]


def test_show_tells_objectives_and_front(capsys: pytest.CaptureFixture[str]) -> None:
    experiment = run(InOrder(), constraints={"cost": {"max": 20}})
    assert main(["experiment", "show", experiment.id]) == 0
    text = capsys.readouterr().out
    assert "  objectives: maximize gain, minimize cost; cost at most 20\n" in text
    assert "  best: gain 4 in trial 4\n" in text
    assert f"  front: 5 trials: tune best {experiment.id}\n" in text
    assert main(["experiment", "show", experiment.id, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["mode"], row["objectives"], len(row["front"])) == ("maximize", GOALS, 5)
    with experiment.record() as record:
        assert len(view_row(view_of(record))["front"]) == 5


def test_live_table_shows_the_front() -> None:
    experiment = run(InOrder())
    console = Console(width=60, record=True, file=io.StringIO())
    with experiment.record() as record:
        console.print(picture(view_of(record)))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["front", "gain", "cost", "parameters"] in lines
    assert ["6", "6", "36", "x=6"] in lines
    assert ["and", "1", "more"] in lines


def test_notebook_shows_the_front() -> None:
    text = run(InOrder())._repr_html_()
    assert "<th>gain</th><th>cost</th><th>x</th>" in text
    assert text.count("<tr>") == 8


def test_results_are_carried_from_one_experiment_to_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(InOrder())
    assert main(["experiment", "export", first.id]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert exported[3]["value"] == {"gain": 3, "cost": 9, "note": "x"}
    tuner = InOrder()
    released = time.monotonic() + 60

    def slow(parameters: Parameters) -> dict[str, Any]:
        while len(tuner.heard) < 10 and time.monotonic() < released:
            time.sleep(0.01)
        return trade(parameters)

    second = Experiment.of_function(
        slow, SPACE, mode=GOALS, constraints={"cost": {"max": 20}}, trials=1, tuner=tuner
    )
    second.start()
    assert second.import_data(exported) == 10
    second.wait()
    assert tuner.heard[5].violation == pytest.approx(0.25)
    again = InOrder()
    second.update(trials=2)
    Experiment.resume(second.id, trade, tuner=again).run()
    assert [(each.values, each.violation) for each in again.heard[:10]] == [
        (each.values, each.violation) for each in tuner.heard[:10]
    ]


def test_front_of_many_trials_is_quick() -> None:
    count = 20_000
    directory = create_experiment()
    connection = open_writer(directory.record)
    connection.execute("BEGIN")
    state = Objectives.of(GOALS, {"cost": {"max": 1e6}}).to_state()
    write_rows(connection, [Event("created", state, time=0.0, id=1)])
    connection.executemany(
        "INSERT INTO trial (sequence, id, state, source, parameters, created, value, metric)"
        " VALUES (?, ?, 'SUCCEEDED', 'algorithm', '{}', 0, ?, ?)",
        (
            (n, str(n), n * 7919 % 99991, f'{{"gain": {n * 7919 % 99991}, "cost": {n * 104729 % 99991}}}')
            for n in range(count)
        ),
    )
    connection.execute("COMMIT")
    connection.close()
    with Record(directory) as record:
        front = record.front()
        # Next to nothing for each of them: 0.3 s for a hundred thousand.
        assert instructions(record.front) < 30 * count
        assert builtin_calls(record.front)["execute"] < 10 + len(front)
    costs = [trial.metric["cost"] for trial in front]
    assert len(front) > 3
    assert costs == sorted(costs, reverse=True)


# The configuration.

CONFIG = """
searchSpace: {x: {_type: uniform, _value: [0, 1]}}
trialCommand: echo
trialConcurrency: 1
maxTrialNumber: 1
tuner: {name: TUNER, classArgs: {optimize_mode: MODE}}
trainingService: {platform: here}
"""


def config_of(folder: Path, mode: str, more: str = "", tuner: str = "Echo") -> Path:
    file = folder / "exp.yml"
    file.write_text(CONFIG.replace("MODE", mode).replace("TUNER", tuner).strip() + "\n" + more)
    return file


@pytest.mark.usefixtures("demo")
def test_configuration_names_one_objective_and_bounds(tmp_path: Path) -> None:
    config = load_config(
        config_of(tmp_path, "{accuracy: maximize}", "constraints: {latency: {max: 20}, accuracy: {min: 0.5}}")
    )
    assert {key: str(bound) for key, bound in config.bounds.items()} == {
        "latency": "at most 20",
        "accuracy": "at least 0.5",
    }


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    ("mode", "more", "problem"),
    [
        (
            "{a: maximize, b: down}",
            "",
            "exp.yml:5:62: tuner.classArgs.optimize_mode.b: 'down' is not minimize or maximize",
        ),
        ("[a]", "", "['a'] is not minimize or maximize, nor a section with one for each metric"),
        ("{}", "", "{} is not minimize or maximize, nor a section with one for each metric"),
        ("{a: maximize, b: minimize}", "", "Echo does not take several objectives (a, b)"),
        ("maximize", "constraints: {a: {}}", "exp.yml:7:15: constraints.a: needs min, max or both"),
        ("maximize", "constraints: {a: {min: 2, max: 1}}", "constraints.a.min: 2 is above max, 1"),
        ("maximize", "constraints: {a: {max: high}}", "constraints.a.max: 'high' is not a number"),
        ("maximize", "constraints: {a: {most: 1, max: 2}}", "constraints.a.most: no such key"),
        (
            "maximize",
            "constraints: {a: {max: 1}}\nincludeIntermediateResults: true",
            "includeIntermediateResults: excludes constraints",
        ),
        (
            "maximize",
            "assessor: {name: Strict, classArgs: {optimize_mode: {a: maximize}}}",
            "an assessor judges by the first objective alone",
        ),
    ],
)
def test_what_is_wrong_with_objectives_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, more: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    config_of(tmp_path, mode, more)
    with pytest.raises(ConfigError) as caught:
        load_config("exp.yml")
    assert problem in str(caught.value)
