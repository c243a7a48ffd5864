"""The loop: what it records, when it stops, what it does with failures, floods and requests."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_core.algorithms.base import Advisor, Assessor, Tuner
from tune_core.algorithms.compose import TunerAdvisor
from tune_core.cli import main
from tune_core.cli.log import _Printing
from tune_core.errors import AlgorithmError, NoMoreTrial, TrainingServiceError, TuneError
from tune_core.experiment.engine import Engine
from tune_core.experiment.manager import Parts, create_record, manage
from tune_core.experiment.offline import change_limits
from tune_core.experiment.settings import Limits, Settings
from tune_core.objectives import Objectives
from tune_core.services.base import ServiceContext
from tune_core.services.function import FunctionService, FunctionTrial
from tune_core.space import SearchSpace
from tune_core.store.commands import request
from tune_core.store.directory import create_experiment, list_experiments
from tune_core.store.events import write_rows
from tune_core.store.reader import Record
from tune_core.trial import Attempt, AttemptKey, Ending, Parameters, TrialState

SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}, "c": {"_type": "choice", "_value": ["a", "b"]}}
FINITE = {"x": {"_type": "randint", "_value": [0, 4]}}


class Draws(Tuner):
    """Independent draws; remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.space = search_space

    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        return self.space.sample(self.rng(parameter_id))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self.told.append(("result", parameter_id, value))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self.told.append(("end", parameter_id, success))

    def import_data(self, data: Any) -> None:
        self.told.append(("import", [item.value for item in data]))


class Threshold(Assessor):
    """Stops a trial whose newest result is above 0.5."""

    def assess_trial(self, trial_id: str, history: Any) -> bool:
        return bool(history[-1] <= 0.5)


class Lab:
    """Makes and runs experiments whose trial is a function."""

    def __init__(self) -> None:
        self.directory = create_experiment()
        self.engine: Engine | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def parts(
        self,
        function: Callable[..., Any],
        *,
        tuner: Tuner | Advisor | None = None,
        assessor: Assessor | None = None,
        space: dict[str, Any] | None = None,
        limits: Limits | None = None,
        mode: str | dict[str, str] = "minimize",
        constraints: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Parts:
        algorithm = tuner or Draws()
        return Parts(
            settings=Settings(
                "", Objectives.of(mode, constraints), 1, "", Path(), limits or Limits(2, 10), **settings
            ),
            search_space=SearchSpace.parse(space or SPACE),
            advisor=algorithm if isinstance(algorithm, Advisor) else TunerAdvisor(algorithm, assessor),
            service=FunctionService(function),
            notify=settings.get("notify"),
        )

    def run(self, function: Callable[..., Any], **options: Any) -> str:
        notify = options.pop("notify", None)
        parts = self.parts(function, **options)
        parts.notify = notify
        if not self.directory.record.exists():
            create_record(self.directory, parts, None)
        return asyncio.run(asyncio.wait_for(manage(self.directory, parts, self._note), 100))

    def _note(self, engine: Engine) -> None:
        self.engine, self.loop = engine, asyncio.get_running_loop()

    def background(self, function: Callable[..., Any], **options: Any) -> threading.Thread:
        """Run in a thread, and return once it manages."""
        self.engine = None
        thread = threading.Thread(target=self.run, args=(function,), kwargs=options)
        thread.start()
        until(lambda: self.engine is not None)
        return thread

    @property
    def record(self) -> Record:
        return Record(self.directory)

    def state(self, key: str) -> Any:
        with self.record as record:
            return record.state()[key]

    def trials(self) -> list[Any]:
        with self.record as record:
            return list(record.trials())


def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path / "home"))
    return Lab()


def square(parameters: Parameters) -> float:
    return float(parameters["x"] ** 2)


def test_experiment_ends_when_its_trials_are_used_up(lab: Lab) -> None:
    assert lab.run(square) == "DONE"
    trials = lab.trials()
    assert [trial.sequence for trial in trials] == list(range(10))
    assert all(trial.state is TrialState.SUCCEEDED for trial in trials)
    assert all(trial.value == pytest.approx(trial.parameters["x"] ** 2) for trial in trials)
    assert lab.state("reason") == "maxTrialNumber: 10 trials were submitted"
    assert len({trial.id for trial in trials}) == 10
    assert all(len(trial.id) == 5 for trial in trials)


def test_initial_points_come_first_and_teach(lab: Lab) -> None:
    tuner = Draws()
    points = ({"x": 0.25, "c": "b"}, {"x": 0.75, "c": "a"}, {"x": 0.5, "c": "a"})
    lab.run(square, tuner=tuner, limits=Limits(2, 5), initial_points=points)
    trials = lab.trials()
    assert tuple(trial.parameters for trial in trials[:3]) == points
    assert [trial.source for trial in trials] == ["initial"] * 3 + ["algorithm"] * 2
    assert ("result", 1, 0.75**2) in tuner.told


def test_initial_points_go_on_where_they_were(lab: Lab) -> None:
    points = tuple({"x": number / 10, "c": "a"} for number in range(6))
    for trials in (2, 4, 9):
        if lab.directory.record.exists():
            change_limits(lab.directory, {"trials": trials})
        lab.run(square, limits=Limits(1, trials), initial_points=points)
    found = lab.trials()
    assert tuple(trial.parameters for trial in found[:6]) == points
    assert [trial.source for trial in found[6:]] == ["algorithm"] * 3


def test_finite_space_ends_the_experiment(lab: Lab) -> None:
    assert lab.run(square, space=FINITE, limits=Limits(2)) == "DONE"
    assert sorted(trial.parameters["x"] for trial in lab.trials()) == [0, 1, 2, 3]
    assert "no more configurations" in lab.state("reason")


def test_algorithm_hears_losses_whatever_the_mode(lab: Lab) -> None:
    tuner = Draws()
    lab.run(lambda parameters: {"default": 3.0, "time": 1}, tuner=tuner, mode="maximize", limits=Limits(1, 1))
    assert tuner.told == [("result", 0, -3.0), ("end", 0, True)]
    assert lab.trials()[0].value == 3.0
    assert lab.trials()[0].metric == {"default": 3.0, "time": 1}


def test_never_more_trials_at_once_than_allowed(lab: Lab) -> None:
    running, peak, guard, full = 0, 0, threading.Lock(), threading.Event()

    def trial(parameters: Parameters) -> float:
        nonlocal running, peak
        with guard:
            running += 1
            peak = max(peak, running)
        if peak == 3:
            full.set()
        full.wait(60)  # the first ones
        time.sleep(0.01)
        with guard:
            running -= 1
        return 0.0

    lab.run(trial, limits=Limits(3, 30))
    assert peak == 3


def test_failed_trial_says_what_it_raised_and_where(lab: Lab) -> None:
    def trial(parameters: Parameters) -> float:
        raise KeyError("learning_rate")

    tuner = Draws()
    lab.run(trial, tuner=tuner, limits=Limits(1, 2))
    failed = lab.trials()[0]
    assert failed.state is TrialState.FAILED
    assert failed.reason.startswith("KeyError: 'learning_rate'")
    assert "test_engine.py:" in failed.reason
    assert tuner.told == [("end", 0, False), ("end", 1, False)]


def test_failed_function_leaves_its_traceback_in_stderr(lab: Lab) -> None:
    def trial(parameters: Parameters) -> float:
        try:
            return float({}["\udcff"])
        except KeyError as err:
            raise RuntimeError("no data") from err

    lab.run(trial, limits=Limits(1, 1))
    failed = lab.trials()[0]
    assert "\n" not in failed.reason
    folder = lab.directory.attempt(failed.id, 0)
    lines = (folder / "stderr").read_text().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "test_engine.py" in lines[1]
    assert r"KeyError: '\udcff'" in lines
    assert lines[-1] == "RuntimeError: no data"
    assert not any("services/function.py" in line for line in lines)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "stderr")] == [0o700, 0o600]


def test_traceback_that_cannot_be_written_harms_nothing(lab: Lab) -> None:
    def trial(parameters: Parameters) -> float:
        raise RuntimeError("no data")

    trials = lab.directory.path / "trials"
    trials.rmdir()
    trials.write_text("no folder")
    lab.run(trial, limits=Limits(1, 1))
    assert lab.trials()[0].reason.startswith("RuntimeError: no data")


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (float("nan"), "nan, which is no finite number"),
        (float("inf"), "inf, which is no finite number"),
        ("good", "not str ('good')"),
        (None, "not NoneType"),
        (True, "not bool"),
        ({"accuracy": 1}, "has no key 'default' (keys: accuracy)"),
        ({"accuracy": "high"}, "needs the number to optimize, under the key 'default'"),
        ({"default": "x"}, "the metric's 'default' is a number"),
        ([1, 2], "not list"),
    ],
)
def test_what_is_no_metric_fails_the_trial_with_its_reason(lab: Lab, result: Any, reason: str) -> None:
    tuner = Draws()
    lab.run(lambda parameters: result, tuner=tuner, limits=Limits(1, 1))
    trial = lab.trials()[0]
    assert trial.state is TrialState.FAILED
    assert reason in trial.reason
    assert tuner.told == [("end", 0, False)]


def test_brake_stops_submitting_and_says_why(lab: Lab) -> None:
    def trial(parameters: Parameters) -> float:
        raise RuntimeError("no data")

    assert lab.run(trial, limits=Limits(1, 100), brake_trials=5, brake_within_s=60) == "ERROR"
    assert len(lab.trials()) == 5
    assert "the last 5 trials failed within 60 s" in lab.state("reason")
    assert "RuntimeError: no data" in lab.state("reason")


def test_failed_trial_is_retried_as_often_as_configured(lab: Lab) -> None:
    seen: list[float] = []

    def trial(parameters: Parameters) -> float:
        seen.append(parameters["x"])
        if len(seen) < 3:
            raise RuntimeError("flaky")
        return 1.0

    assert lab.run(trial, limits=Limits(1, 1), failed_retries=2) == "DONE"
    trial_record = lab.trials()[0]
    assert len(set(seen)) == 1
    assert (trial_record.state, trial_record.attempt) == (TrialState.SUCCEEDED, 2)
    with lab.record as record:
        reasons = [data["reason"] for *_, data in record.events(kinds=("attempt_ended",))]
    assert len(reasons) == 2
    assert all("flaky" in reason for reason in reasons)


def test_retried_trial_starts_its_assessment_anew(lab: Lab) -> None:
    histories: list[list[float]] = []

    class Keeps(Assessor):
        def assess_trial(self, trial_id: str, history: Any) -> bool:
            histories.append(list(history))
            return True

    attempts = 0

    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        nonlocal attempts
        attempts += 1
        handle.report(attempts)
        handle.report(attempts)
        if attempts == 1:
            raise RuntimeError("flaky")
        return 1.0

    lab.run(trial, limits=Limits(1, 1), failed_retries=1, assessor=Keeps())
    assert histories == [[1], [1, 1], [2], [2, 2]]


def test_assessor_stops_a_trial_early(lab: Lab) -> None:
    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        for step in itertools.count():
            handle.report(0.1 if step < 3 else 0.9)
        return 0.0

    tuner = Draws()
    lab.run(trial, tuner=tuner, assessor=Threshold(), limits=Limits(1, 2))
    assert [each.state for each in lab.trials()] == [TrialState.EARLY_STOPPED] * 2
    assert lab.trials()[0].reason == "stopped early by the assessor"
    assert tuner.told == [("end", 0, False), ("end", 1, False)]


def test_stopped_trial_counts_with_its_last_result_if_asked(lab: Lab) -> None:
    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        while True:
            handle.report(0.75)

    tuner = Draws()
    lab.run(trial, tuner=tuner, assessor=Threshold(), limits=Limits(1, 1), intermediate_counts=True)
    assert tuner.told == [("result", 0, 0.75), ("end", 0, True)]
    assert lab.trials()[0].value is None  # a final metric is only of SUCCEEDED trials


def test_overlong_trial_is_ended(lab: Lab) -> None:
    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        while True:
            handle.report(0.0)
            time.sleep(0.01)

    lab.run(trial, limits=Limits(1, 1), trial_duration_s=0.1)  # or it would never end
    assert lab.trials()[0].state is TrialState.EARLY_STOPPED
    assert "maxTrialDuration (0.1 s)" in lab.trials()[0].reason


def test_duration_ends_submitting_but_not_trials(lab: Lab) -> None:
    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        if handle.sequence == 1:
            assert lab.engine is not None
            request(lab.directory, "update", duration_s=lab.engine.elapsed_s() + 0.2)
            until(lambda: lab.state("status") == "NO_MORE_TRIAL")
        return 0.0

    tuner = Draws()
    assert lab.run(trial, tuner=tuner, limits=Limits(1, None, 3600.0)) == "DONE"
    assert lab.state("reason") == "maxExperimentDuration is over"
    assert [each.state for each in lab.trials()] == [TrialState.SUCCEEDED] * 2
    assert tuner.told[-1] == ("end", 1, True)


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


def test_exception_in_the_tuner_ends_as_error_with_its_traceback(lab: Lab) -> None:
    class Breaks(Draws):
        def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
            if parameter_id == 2:
                raise ZeroDivisionError("my own bug")

    assert lab.run(square, tuner=Breaks(), limits=Limits(1, 10)) == "ERROR"
    assert lab.state("reason").startswith("Breaks failed: ZeroDivisionError: my own bug (")
    assert "test_engine.py:" in lab.state("reason")
    with lab.record as record:
        (data,) = [data for *_, data in record.events(kinds=("failed",))]
    assert "test_engine.py" in data["traceback"]
    assert [each.state for each in lab.trials()][:3] == [TrialState.SUCCEEDED] * 3


def test_algorithm_has_heard_everything_at_the_end(lab: Lab) -> None:
    class Slow(Draws):
        def trial_end(self, parameter_id: int, success: bool) -> None:
            if parameter_id == 3:  # the last to be proposed
                until(lambda: lab.state("status") == "DONE")
            super().trial_end(parameter_id, success)

    tuner = Slow()
    assert lab.run(square, tuner=tuner, limits=Limits(4, 4)) == "DONE"
    assert {told[1] for told in tuner.told if told[0] == "end"} == {0, 1, 2, 3}


def test_exception_over_what_is_heard_last_is_an_error_too(lab: Lab) -> None:
    class Breaks(Draws):
        def trial_end(self, parameter_id: int, success: bool) -> None:
            until(lambda: lab.state("status") == "DONE")
            raise ZeroDivisionError("my own bug")

    assert lab.run(square, tuner=Breaks(), limits=Limits(1, 1)) == "ERROR"
    assert lab.state("status") == "ERROR"
    assert lab.state("reason").startswith("Breaks failed: ZeroDivisionError: my own bug (")


def test_running_trials_finish_after_the_tuner_failed(lab: Lab) -> None:
    slow_may_end = threading.Event()

    class Breaks(Draws):
        def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
            slow_may_end.set()
            raise ZeroDivisionError

    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        if handle.sequence == 0:
            assert slow_may_end.wait(60)
        return 5.0

    assert lab.run(trial, tuner=Breaks(), limits=Limits(2, 10)) == "ERROR"
    assert lab.trials()[0].value == 5.0


@pytest.mark.parametrize("answer", ["text", {1, 2}, {"x": {1}}, {"x": float("nan")}])
def test_tuner_that_answers_nonsense_is_named(lab: Lab, answer: Any) -> None:
    class Nonsense(Draws):
        def generate_parameters(self, parameter_id: int) -> Any:
            return answer

    assert lab.run(square, tuner=Nonsense()) == "ERROR"
    assert "Nonsense.generate_parameters returned" in lab.state("reason")


def test_tuner_that_would_wait_for_ever_is_an_error(lab: Lab) -> None:
    class Never(Draws):
        def generate_parameters(self, parameter_id: int) -> Any:
            return None

    assert lab.run(square, tuner=Never()) == "ERROR"
    assert "would wait for ever" in lab.state("reason")


def test_not_now_is_asked_again_after_a_result(lab: Lab) -> None:
    class OneByOne(Draws):
        running = 0

        def generate_parameters(self, parameter_id: int) -> Any:
            return None if self.running else super().generate_parameters(parameter_id)

        def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
            self.running += 1

        def trial_end(self, parameter_id: int, success: bool) -> None:
            self.running -= 1

    assert lab.run(square, tuner=OneByOne(), limits=Limits(4, 6)) == "DONE"
    assert len(lab.trials()) == 6


def test_repeats_are_replaced(lab: Lab) -> None:
    class Same(Draws):
        def generate_parameters(self, parameter_id: int) -> Any:
            return {"x": 2}

    assert lab.run(square, tuner=Same(), space=FINITE, limits=Limits(1)) == "DONE"
    assert sorted(each.parameters["x"] for each in lab.trials()) == [0, 1, 2, 3]
    assert lab.trials()[0].parameters == {"x": 2}


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


def test_results_of_another_search_space_teach_what_fits(lab: Lab) -> None:
    tuner, hold = Draws(), threading.Event()
    thread = lab.background(lambda parameters: hold.wait(60) and 0.0, tuner=tuner, limits=Limits(1, 1))
    entries = [
        {"parameter": {"x": 0.1, "c": "a"}, "value": 1},
        {"parameter": {"x": 0.2}, "value": 2},
        {"parameter": {"x": 0.3, "c": "b", "TRIAL_BUDGET": 9}, "value": 3},
        {"parameter": {"x": 7, "c": "a"}, "value": 4},
        {"parameter": {"x": 8, "c": "a"}, "value": None},
        {"parameter": {"x": 0.4, "c": "a"}, "value": "NaN"},
    ]
    strict = request(lab.directory, "import", observations=entries)
    filled = request(lab.directory, "import", observations=entries[1:2], defaults={"c": "b", "x": 0.9})
    with pytest.raises(TuneError, match=r"no entry fits this experiment\n  x: 7 is not between 0 and 1"):
        request(lab.directory, "import", observations=entries[3:4])
    hold.set()
    thread.join(60)
    assert strict == {
        "count": 2,
        "left_out": {"c: missing": 1, "x: 7 is not between 0 and 1": 1, "its value is nan": 1},
    }
    assert filled == {"count": 1, "left_out": {}}
    assert ("import", [1.0, 3.0]) in tuner.told
    assert ("import", [2.0]) in tuner.told


class Lists(Draws):
    """Proposes whole configurations that no search space knows, as Batch does."""

    def takes(self, parameters: Parameters) -> bool:
        return parameters in ({"lr": 1}, {"lr": 2})


def test_algorithm_has_a_say_in_what_is_a_configuration(lab: Lab) -> None:
    tuner, hold = Lists(), threading.Event()
    thread = lab.background(lambda parameters: hold.wait(60) and 0.0, tuner=tuner, limits=Limits(1, 2))
    try:
        done = [{"parameter": {"lr": number}, "value": number} for number in (1, 3)]
        assert request(lab.directory, "import", observations=done)["count"] == 1
        assert request(lab.directory, "add", parameters={"lr": 2})["sequence"] > 0
        with pytest.raises(TuneError, match="lr"):
            request(lab.directory, "add", parameters={"lr": 3})
    finally:
        hold.set()
        thread.join(60)
    assert ("import", [1.0]) in tuner.told


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
    parts = lab.parts(lambda parameters: hold.wait(60) and 0.0, limits=Limits(1, 1))
    parts.service = service = Elsewhere(lambda parameters: hold.wait(60) and 0.0)
    create_record(lab.directory, parts, None)
    thread = threading.Thread(target=lambda: asyncio.run(manage(lab.directory, parts)))
    thread.start()
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
    parts = lab.parts(lambda parameters: hold.wait(60) and 0.0, limits=Limits(1, 1))
    parts.service = service = Elsewhere(lambda parameters: hold.wait(60) and 0.0)
    create_record(lab.directory, parts, None)
    thread = threading.Thread(target=lambda: asyncio.run(manage(lab.directory, parts)))
    thread.start()
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


def test_new_search_space_is_searched_and_survives_a_resume(lab: Lab) -> None:
    hold = threading.Event()
    thread = lab.background(lambda parameters: hold.wait(60) and 0.0, limits=Limits(1, 2))
    moved = {"x": {"_type": "uniform", "_value": [5, 6]}, "c": {"_type": "choice", "_value": ["z"]}}
    request(lab.directory, "space", search_space=moved)
    hold.set()
    thread.join(60)
    assert [each.parameters["c"] for each in lab.trials()][1:] == ["z"]
    change_limits(lab.directory, {"trials": 4})
    lab.run(lambda parameters: 0.0)
    assert [each.parameters["c"] for each in lab.trials()][1:] == ["z", "z", "z"]


def test_observers_hear_each_event_once(lab: Lab) -> None:
    heard: list[tuple[str, Any]] = []

    def notify(hook: str, **arguments: Any) -> None:
        trial = arguments.get("trial")
        heard.append((hook.removeprefix("tune_"), arguments.get("value") or (trial and trial.state.value)))

    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        handle.report(0.5)
        return 0.25

    lab.run(trial, limits=Limits(1, 1), notify=notify)
    assert heard == [
        ("experiment_started", None),
        ("trial_started", "RUNNING"),
        ("metric_reported", 0.5),
        ("metric_reported", 0.25),
        ("trial_ended", "SUCCEEDED"),
        ("experiment_ended", None),
    ]


def test_second_final_result_does_not_count(lab: Lab) -> None:
    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        handle._report(1.0, "final")
        return 2.0

    lab.run(trial, limits=Limits(1, 1))
    assert lab.trials()[0].value == 1.0


def test_slow_tuner_delays_nothing_else(lab: Lab) -> None:
    """Results are recorded while the tuner computes, and the view says what it is waiting for."""
    may_think = threading.Event()

    class Slow(Draws):
        def generate_parameters(self, parameter_id: int) -> Any:
            if parameter_id == 2:
                assert may_think.wait(60)
            return super().generate_parameters(parameter_id)

    thread = lab.background(square, tuner=Slow(), limits=Limits(3, 4))
    until(lambda: sum(each.state is TrialState.SUCCEEDED for each in lab.trials()) == 2)
    until(lambda: lab.engine is not None and "Slow has been computing for" in lab.engine._activity())
    may_think.set()
    thread.join(60)
    assert lab.state("status") == "DONE"


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


def test_interrupted_experiment_proposes_what_an_undisturbed_one_does(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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

    parts = lab.parts(square)
    parts.service = Closed(square)
    create_record(lab.directory, parts, None)
    others = set(threading.enumerate())
    with pytest.raises(TrainingServiceError, match="the cluster refuses us"):
        asyncio.run(manage(lab.directory, parts))
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


def test_odd_text_and_numbers_in_a_metric_harm_nobody(lab: Lab) -> None:
    """Half a surrogate pair, as in a file name that is no UTF-8; a number that JSON lacks, deep inside."""

    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        if handle.sequence == 0:
            handle.report({"default": 1, "file": "caf\udce9.png"})
            raise ValueError("caf\udce9")
        return 1.0

    assert lab.run(trial, limits=Limits(1, 2)) == "DONE"
    failed, other = lab.trials()
    assert (failed.state, failed.intermediates) == (TrialState.FAILED, 1)
    assert other.value == 1.0


def test_stop_does_not_wait_for_a_tuner_that_never_returns(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_core.experiment.engine._THINKING_S", 0.01)
    let_go = threading.Event()

    class Hangs(Draws):
        def generate_parameters(self, parameter_id: int) -> Any:
            if parameter_id == 1:
                let_go.wait(110)
            return super().generate_parameters(parameter_id)

    thread = lab.background(square, tuner=Hangs(), limits=Limits(1, 4))
    try:
        until(lambda: len(lab.trials()) == 1 and lab.trials()[0].state is TrialState.SUCCEEDED)
        request(lab.directory, "stop")
        thread.join(60)
        assert not thread.is_alive()
        assert lab.state("status") == "STOPPED"
    finally:
        let_go.set()


def test_failed_cancel_is_tried_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_core.experiment.dispatch._CANCEL_AGAIN_S", 0.05)
    asked: list[float] = []

    class Flaky(FunctionService):
        async def cancel(self, key: AttemptKey) -> None:
            asked.append(time.monotonic())
            if len(asked) < 3:
                raise ConnectionResetError("ssh: connection reset")
            await super().cancel(key)

    def trial(parameters: Parameters, handle: FunctionTrial) -> float:
        while True:
            handle.report(0.0)
            time.sleep(0.01)

    parts = lab.parts(trial, limits=Limits(1, 1), trial_duration_s=0.2)
    parts.service = Flaky(trial)
    create_record(lab.directory, parts, None)
    assert asyncio.run(asyncio.wait_for(manage(lab.directory, parts), 60)) == "DONE"
    assert len(asked) == 3
    assert lab.trials()[0].state is TrialState.EARLY_STOPPED


def test_failure_names_the_platform_not_its_class(lab: Lab) -> None:
    class Broken(FunctionService):
        async def submit(self, attempt: Attempt) -> None:
            raise KeyError("queue")

    parts = lab.parts(square, limits=Limits(1, 1), platform="slurm")
    parts.service = Broken(square)
    create_record(lab.directory, parts, None)
    assert asyncio.run(manage(lab.directory, parts)) == "ERROR"
    assert lab.state("reason") == "the slurm platform failed: KeyError: 'queue'"
    assert lab.trials()[0].reason == "the slurm platform failed: KeyError: 'queue'"


def test_trials_without_results_pull_the_brake(lab: Lab) -> None:
    class Silent(FunctionService):
        def _run(self, attempt: Attempt, trial: FunctionTrial) -> None:
            self._loop.call_soon_threadsafe(self._ended, attempt.key, Ending(0))

    parts = lab.parts(square, limits=Limits(1, 50), brake_trials=4, brake_within_s=60)
    parts.service = Silent(square)
    create_record(lab.directory, parts, None)
    assert asyncio.run(manage(lab.directory, parts)) == "ERROR"
    assert len(lab.trials()) == 4
    assert "the last 4 trials ended without a result" in lab.state("reason")
