"""Between the engine and its algorithm: what it is asked for, what it hears, and what it may get wrong."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from experiment_lab import FINITE, Draws, Lab, square, until

from tune_core.errors import TuneError
from tune_core.experiment.offline import change_limits
from tune_core.experiment.settings import Limits
from tune_core.services.function import FunctionTrial
from tune_core.store.commands import request
from tune_core.trial import Parameters, TrialState


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


def test_exception_in_the_tuner_ends_as_error_with_its_traceback(lab: Lab) -> None:
    class Breaks(Draws):
        def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
            if parameter_id == 2:
                raise ZeroDivisionError("my own bug")

    assert lab.run(square, tuner=Breaks(), limits=Limits(1, 10)) == "ERROR"
    assert lab.state("reason").startswith("Breaks failed: ZeroDivisionError: my own bug (")
    assert "test_proposals.py:" in lab.state("reason")
    with lab.record as record:
        (data,) = [data for *_, data in record.events(kinds=("failed",))]
    assert "test_proposals.py" in data["traceback"]
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
