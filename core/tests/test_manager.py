"""A manager from its first event to its last: requests, stopping, resuming, and what it cannot begin."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from experiment_lab import Draws, Lab, Threshold, square, until

from tune_core.cli import main
from tune_core.cli.log import _Printing
from tune_core.errors import AlgorithmError, NoMoreTrial, TrainingServiceError, TuneError
from tune_core.experiment.manager import create_record
from tune_core.experiment.offline import change_limits
from tune_core.experiment.settings import Limits
from tune_core.services.base import ServiceContext
from tune_core.services.function import FunctionService, FunctionTrial
from tune_core.space import SearchSpace
from tune_core.store.commands import request
from tune_core.store.directory import list_experiments
from tune_core.store.events import write_rows
from tune_core.trial import Attempt, AttemptKey, Parameters, TrialState


def test_trial_that_could_not_start_in_time_runs_on_resume(lab: Lab) -> None:
    class Slow(Draws):
        def generate_parameters(self, parameter_id: int) -> Parameters | None:
            engine = lab.engine
            assert engine is not None
            until(lambda: engine.elapsed_s() > 0.2)
            return super().generate_parameters(parameter_id)

    assert lab.run(square, tuner=Slow(), limits=Limits(1, None, 0.2)) == "DONE"
    (trial,) = lab.trials()
    assert trial.state is TrialState.WAITING
    assert "before it could start; it runs on resume" in trial.reason


def test_stop_keeps_trials_for_a_resume(lab: Lab) -> None:
    hold = threading.Event()

    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        while not hold.is_set() and handle.sequence == 3:
            handle.report(1.0)
            time.sleep(0.01)
        return 0.5

    thread = lab.background(trial, limits=Limits(1, 6))
    until(lambda: len(lab.trials()) == 4 and lab.trials()[3].intermediates > 0)
    request(lab.directory, "stop")
    thread.join(60)
    assert lab.state("status") == "STOPPED"
    assert lab.trials()[3].state is TrialState.WAITING
    assert "it runs again on resume" in lab.trials()[3].reason
    hold.set()
    assert lab.run(trial, limits=Limits(1, 6)) == "DONE"
    trials = lab.trials()
    assert [each.state for each in trials] == [TrialState.SUCCEEDED] * 6
    assert [each.attempt for each in trials] == [0, 0, 0, 1, 0, 0]


def test_requests_are_carried_out_and_answered(lab: Lab) -> None:
    hold = threading.Event()

    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        while not hold.is_set():
            handle.report(0.0)
            time.sleep(0.01)
        return 0.25

    tuner = Draws()
    thread = lab.background(trial, tuner=tuner, limits=Limits(1, 4))
    until(lambda: any(each.state is TrialState.RUNNING for each in lab.trials()))
    request(lab.directory, "update", concurrency=2, trials=5)
    until(lambda: sum(each.state is TrialState.RUNNING for each in lab.trials()) == 2)
    added = request(lab.directory, "add", parameters={"x": 0.5, "c": "b"})
    assert added["sequence"] == 2
    waiting = next(each for each in lab.trials() if each.sequence == 2)
    assert (waiting.source, waiting.parameters) == ("user", {"x": 0.5, "c": "b"})
    until(lambda: "slots of trialConcurrency are taken" in lab.trials()[2].reason)
    killed = request(lab.directory, "kill", trial=lab.trials()[0].id)
    until(lambda: lab.trials()[0].state is TrialState.USER_CANCELED)
    assert killed["trial"] == lab.trials()[0].id
    assert request(lab.directory, "import", observations=[{"parameter": {"x": 0.1, "c": "a"}, "value": 2}])
    hold.set()
    thread.join(60)
    assert lab.state("status") == "DONE"
    assert len(lab.trials()) == 5
    assert ("import", [2.0]) in tuner.told


@pytest.mark.parametrize(
    ("verb", "arguments", "answer"),
    [
        ("kill", {"trial": "nobody"}, "no trial 'nobody' is running or waiting"),
        ("update", {"concurrency": 0}, "concurrency is 0; it must be a positive whole number"),
        ("update", {"trials": 1.5}, "trials is 1.5; it must be a positive whole number"),
        ("update", {"colour": 1}, "there is no limit 'colour'"),
        ("add", {"parameters": {"x": 7, "c": "b"}}, "x"),
        ("import", {"observations": [{"parameter": {"x": 0.1, "c": "a"}}]}, "entry 0: it has no 'value'"),
        ("import", {"observations": {}}, "must be a list"),
        ("space", {"search_space": {"x": {"_type": "uniform", "_value": [3, 1]}}}, "x"),
        ("dance", {}, "does not know such a request"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    lab: Lab, verb: str, arguments: dict[str, Any], answer: str
) -> None:
    hold = threading.Event()
    thread = lab.background(lambda parameters: hold.wait(60) and 0.0, limits=Limits(1, 1))
    try:
        with pytest.raises(TuneError, match=answer):
            request(lab.directory, verb, **arguments)
    finally:
        hold.set()
        thread.join(60)


class Elsewhere(FunctionService):
    """What its trials print comes to their folder only when somebody follows them."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.attempts: dict[AttemptKey, Attempt] = {}
        self.followed: list[AttemptKey] = []

    async def submit(self, attempt: Attempt) -> None:
        self.attempts[attempt.key] = attempt
        await super().submit(attempt)

    async def follow(self, key: AttemptKey) -> None:
        self.followed.append(key)
        directory = self.attempts[key].directory
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "stdout").write_text("from afar\n", encoding="utf-8")


def test_output_is_brought_when_somebody_reads_it(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    hold = threading.Event()
    service = Elsewhere(lambda parameters: hold.wait(60) and 0.0)
    thread = lab.background(square, service=service, limits=Limits(1, 1))
    until(lambda: bool(lab.trials()) and lab.trials()[0].state is TrialState.RUNNING)
    assert main(["log", "trial", "0"]) == 0
    assert capsys.readouterr().out == "from afar\n"
    key = AttemptKey(lab.trials()[0].id, 0)
    assert service.followed == [key]
    request(lab.directory, "follow", trial=key.trial_id, attempt=1)  # there is no such attempt
    request(lab.directory, "follow", trial="nobody", attempt=0)
    hold.set()
    thread.join(60)
    assert main(["log", "trial", "0", "--follow"]) == 0  # without a manager: what is here
    assert capsys.readouterr().out == "from afar\n"
    assert service.followed == [key]


def test_each_manager_is_asked_once_while_a_log_is_followed(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    service = Elsewhere(lambda parameters: hold.wait(60) and 0.0)
    thread = lab.background(square, service=service, limits=Limits(1, 1))
    until(lambda: bool(lab.trials()) and lab.trials()[0].state is TrialState.RUNNING)
    looks, goes_on = itertools.count(), _Printing.goes_on

    def counted(printing: _Printing) -> bool:
        if next(looks) == 10:
            hold.set()
        return goes_on(printing)

    monkeypatch.setattr(_Printing, "goes_on", counted)
    monkeypatch.setattr("tune_core.cli.log._LOOK_S", 0.01)
    assert main(["log", "trial", "0", "--follow"]) == 0
    thread.join(60)
    assert capsys.readouterr().out == "from afar\n"
    assert len(service.followed) == 1


class Climbs(Draws):
    """Depends on everything it hears, so that a wrong replay shows."""

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self.centre, self.step = 0.5, 0

    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        self.step += 1
        x = (self.centre + self.rng(parameter_id).random() / self.step) % 1.0
        return {"x": x, "c": "a" if self.step % 3 else "b"}

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self.centre = (self.centre + value + parameter_id * 0.01) % 1.0

    def import_data(self, data: Any) -> None:
        for item in data:
            self.centre = (self.centre + item.value) % 1.0


def test_interrupted_experiment_proposes_what_an_undisturbed_one_does(lab: Lab) -> None:
    lab.run(square, tuner=Climbs(), limits=Limits(1, 30))
    undisturbed = [each.parameters for each in lab.trials()]
    again = Lab()
    for trials in (7, 8, 20, 30):
        if again.directory.record.exists():
            change_limits(again.directory, {"trials": trials})
        again.run(square, tuner=Climbs(), limits=Limits(1, trials))
    assert [each.parameters for each in again.trials()] == undisturbed


def test_replay_follows_the_order_in_which_the_algorithm_heard(lab: Lab) -> None:
    """With trials of different length at once, imports and early stops between them."""
    gate = threading.Semaphore(0)

    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        if handle.sequence % 3 == 0:
            gate.acquire(timeout=60)
        else:
            gate.release()
        for step in range(4):
            handle.report(parameters["x"] if step == 3 else 0.2)
        return float(parameters["x"])

    first = Climbs()
    lab.run(trial, tuner=first, assessor=Threshold(), limits=Limits(3, 24))
    second = Climbs()
    change_limits(lab.directory, {"trials": 25})
    lab.run(trial, tuner=second, assessor=Threshold(), limits=Limits(3, 24))
    expected = first.generate_parameters(24)
    assert lab.trials()[24].parameters == expected


def test_no_more_trial_is_remembered_on_resume(lab: Lab) -> None:
    class Two(Draws):
        def generate_parameters(self, parameter_id: int) -> Any:
            if parameter_id == 2:
                raise NoMoreTrial("two are enough")
            return super().generate_parameters(parameter_id)

    assert lab.run(square, tuner=Two(), limits=Limits(1)) == "DONE"
    assert lab.run(square, tuner=Two(), limits=Limits(1)) == "DONE"
    assert len(lab.trials()) == 2


def test_functions_lost_with_their_process_run_again(lab: Lab) -> None:
    """A record that says RUNNING, of a process that is gone."""
    lab.run(square, limits=Limits(1, 2))
    with sqlite3.connect(lab.directory.record) as connection:
        connection.execute("DELETE FROM event WHERE kind = 'ended' AND trial = 1")
        connection.execute(
            "UPDATE trial SET state = 'RUNNING', identity = '{}', value = NULL, ended = NULL"
            " WHERE sequence = 1"
        )
    connection.close()
    lab.run(square, limits=Limits(1, 2))
    again = lab.trials()[1]
    assert (again.state, again.attempt) == (TrialState.SUCCEEDED, 1)


def test_platform_that_cannot_be_used_is_in_the_record(lab: Lab) -> None:
    class Closed(FunctionService):
        async def open(self, context: ServiceContext) -> None:
            raise TrainingServiceError("the cluster refuses us")

    others = set(threading.enumerate())
    with pytest.raises(TrainingServiceError, match="the cluster refuses us"):
        lab.run(square, service=Closed(square))
    for each in set(threading.enumerate()) - others:
        each.join(60)
        assert not each.is_alive(), f"{each.name} is left"
    assert (lab.state("status"), lab.state("reason")) == ("ERROR", "the cluster refuses us")
    assert lab.run(square) == "DONE"


def test_algorithm_that_fails_in_replay_is_in_the_record(lab: Lab) -> None:
    lab.run(square, limits=Limits(1, 3))

    class Breaks(Draws):
        def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
            raise ZeroDivisionError("my own bug")

    with pytest.raises(AlgorithmError, match="Breaks failed while its recorded calls were repeated"):
        lab.run(square, tuner=Breaks())
    assert lab.state("status") == "ERROR"
    with lab.record as record:
        (data,) = [data for *_, data in record.events(kinds=("failed",))]
    assert "my own bug" in data["traceback"]


def test_folder_is_removed_when_the_record_cannot_be_begun(lab: Lab) -> None:
    parts = lab.parts(lambda parameters: 0.0)
    with pytest.raises(ValueError, match="JSON"):
        create_record(lab.directory, parts, {"not JSON": float("nan")})
    assert not lab.directory.path.exists()


def test_experiment_is_listed_once_its_record_is_begun(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[int] = []

    def write(connection: sqlite3.Connection, rows: list[Any]) -> None:
        listed.append(len(list(list_experiments())))
        write_rows(connection, rows)

    monkeypatch.setattr("tune_core.experiment.manager.write_rows", write)
    create_record(lab.directory, lab.parts(square), None)
    listed.append(len(list(list_experiments())))
    assert listed == [0, 1]
    assert [path.name for path in lab.directory.path.glob("experiment*")] == ["experiment.sqlite"]
