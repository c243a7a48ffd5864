"""The life of trials in the loop: their number, their ends, retries, and when it stops."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest
from experiment_lab import Draws, Lab, Threshold, square, until

from tune_core.algorithms.base import Assessor
from tune_core.experiment.settings import Limits
from tune_core.services.function import FunctionService, FunctionTrial
from tune_core.store.commands import request
from tune_core.trial import Attempt, AttemptKey, Ending, Parameters, TrialState


def test_experiment_ends_when_its_trials_are_used_up(lab: Lab) -> None:
    assert lab.run(square) == "DONE"
    trials = lab.trials()
    assert [trial.sequence for trial in trials] == list(range(10))
    assert all(trial.state is TrialState.SUCCEEDED for trial in trials)
    assert all(trial.value == pytest.approx(trial.parameters["x"] ** 2) for trial in trials)
    assert lab.state("reason") == "maxTrialNumber: 10 trials were submitted"
    assert len({trial.id for trial in trials}) == 10
    assert all(len(trial.id) == 5 for trial in trials)


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

    service = Flaky(trial)
    assert lab.run(trial, service=service, limits=Limits(1, 1), trial_duration_s=0.2) == "DONE"
    assert len(asked) == 3
    assert lab.trials()[0].state is TrialState.EARLY_STOPPED


def test_failure_names_the_platform_not_its_class(lab: Lab) -> None:
    class Broken(FunctionService):
        async def submit(self, attempt: Attempt) -> None:
            raise KeyError("queue")

    assert lab.run(square, service=Broken(square), limits=Limits(1, 1), platform="slurm") == "ERROR"
    assert lab.state("reason") == "the slurm platform failed: KeyError: 'queue'"
    assert lab.trials()[0].reason == "the slurm platform failed: KeyError: 'queue'"


def test_trials_without_results_pull_the_brake(lab: Lab) -> None:
    class Silent(FunctionService):
        def _run(self, attempt: Attempt, trial: FunctionTrial) -> None:
            self._loop.call_soon_threadsafe(self._ended, attempt.key, Ending(0))

    brake = {"brake_trials": 4, "brake_within_s": 60}
    assert lab.run(square, service=Silent(square), limits=Limits(1, 50), **brake) == "ERROR"
    assert len(lab.trials()) == 4
    assert "the last 4 trials ended without a result" in lab.state("reason")
