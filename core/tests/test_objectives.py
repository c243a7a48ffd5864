"""Scores, objectives and constraints: what they mean, what is refused, what an unknowing algorithm sees."""

from __future__ import annotations

import copy
import json
import pickle
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_core import Advisor, AskTell, ConfigError, Observation, Parameters, SearchSpace, Tuner
from tune_core.algorithms.feasible_first import FeasibleFirst
from tune_core.errors import MetricError
from tune_core.json import dump_json
from tune_core.objectives import Bound, Objectives, Score
from tune_core.trial import TrialState

BOTH = Objectives.of({"accuracy": "maximize", "latency": "minimize"}, {"latency": {"max": 20}})
SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}
FINITE = st.floats(-1e6, 1e6)


class Hears(Tuner):
    """Draws at random, and keeps what it hears."""

    default_optimize_mode = "minimize"

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.space = search_space
        self.heard: list[float] = []

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return self.space.sample(self.rng(parameter_id))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self.heard.append(value)


class HearsAll(Hears):
    many_objectives = True
    handles_constraints = True


def test_score_is_the_primary_objective_oriented() -> None:
    score = BOTH.score(BOTH.read_final({"accuracy": 0.9, "latency": 15, "note": "x"}))
    assert score == -0.9
    assert score.values == (-0.9, 15.0)
    assert score.is_feasible


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda score: pickle.loads(pickle.dumps(score))])
def test_score_is_whole_after_copying(again: Any) -> None:
    score = again(Score((0.5, 2.0), 0.25))
    assert (float(score), score.values, score.violation) == (0.5, (0.5, 2.0), 0.25)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4), st.floats(0, 1e308)
)
def test_score_is_exactly_the_same_from_the_record(values: list[float], violation: float) -> None:
    score = Score(values, violation)
    again = Score.from_json(json.loads(dump_json(score.to_json())))
    assert (again.values, again.violation) == (score.values, score.violation)
    assert float(again) == values[0]


def test_score_has_what_was_reported() -> None:
    reported = {"default": 2, "loss": 0.5}
    objectives = Objectives.of("maximize")
    final = objectives.score(objectives.read_final(reported))
    part = objectives.intermediate_score(objectives.read_intermediate(reported))
    again = Score.from_json(final.to_json(), reported)
    for score in (final, part, again, copy.deepcopy(final), pickle.loads(pickle.dumps(part))):
        assert (score, score.reported) == (-2.0, reported)
    assert final.to_json() == -2.0  # the record has the rest already


def test_observation_is_exactly_the_same_from_the_record() -> None:
    for value in (0.1, Score((0.1, 0.2)), Score((0.1,), 0.3)):
        again = Observation.from_json(json.loads(dump_json(Observation({"x": 1}, value).to_json())))
        score = Score.of(value)
        assert (again.parameters, Score.of(again.value).values) == ({"x": 1}, score.values)
        assert Score.of(again.value).violation == score.violation


@pytest.mark.parametrize(
    ("bound", "number", "excess"),
    [
        (Bound(max=20), 20.0, 0.0),
        (Bound(max=20), 25.0, 0.25),
        (Bound(min=0.5), 0.25, 0.5),
        (Bound(min=-2), -3.0, 0.5),
        (Bound(max=0), 3.0, 3.0),
        (Bound(min=1, max=4), 6.0, 0.5),
    ],
)
def test_excess_is_a_share_of_the_limit(bound: Bound, number: float, excess: float) -> None:
    assert bound.excess(number) == pytest.approx(excess)


def test_violation_adds_up_and_stays_finite() -> None:
    objectives = Objectives.of("minimize", {"a": {"max": 1e-300}, "b": {"min": 2}, "default": {"max": 9}})
    metric = objectives.read_final({"default": 1, "a": 0, "b": 1})
    assert objectives.violation(metric) == 0.5
    assert objectives.broken(metric) == ["b 1 is below min 2"]
    dump_json(objectives.violation(objectives.read_final({"default": 1, "a": 1e300, "b": -1e308})))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"accuracy": 1}, r"no key 'latency' \(keys: accuracy\)"),
        ({"default": 1}, "no keys 'accuracy', 'latency'"),
        ({"accuracy": 1, "latency": "slow"}, "the value under 'latency' is 'slow'"),
        ({"accuracy": True, "latency": 1}, "the value under 'accuracy' is True"),
        (0.5, "one number; report a dictionary with the keys accuracy, latency"),
    ],
)
def test_final_result_without_an_objective_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(MetricError, match=reason):
        BOTH.read_final(value)


@pytest.mark.parametrize("value", [0.5, {"accuracy": 0.5}, {"accuracy": 0.5, "latency": "unknown"}])
def test_intermediate_result_needs_the_primary_objective_only(value: Any) -> None:
    assert BOTH.read_intermediate(value).value == 0.5


@pytest.mark.parametrize(
    ("mode", "constraints", "reason"),
    [
        ("up", None, "mode is 'up'"),
        ({"a": "up"}, None, "mode of 'a' is 'up'"),
        ({}, None, "no objective"),
        ("minimize", {"a": 3}, "the constraint on 'a' is 3"),
        ("minimize", {"a": {}}, "the constraint on 'a'"),
        ("minimize", {"a": {"most": 3}}, "the constraint on 'a'"),
        ("minimize", {"a": {"max": "3"}}, "the constraint on 'a'"),
        ("minimize", {"a": {"max": float("inf")}}, "a limit is a finite number"),
        ("minimize", {"a": {"min": 2, "max": 1}}, "min must not be above max"),
    ],
)
def test_what_is_no_objective_is_refused(mode: Any, constraints: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Objectives.of(mode, constraints)


def test_objectives_are_the_same_from_the_record() -> None:
    assert Objectives.of_state(json.loads(dump_json(BOTH.to_state()))) == BOTH
    assert Objectives.of_state({"mode": "minimize"}) == Objectives.of("minimize")  # a record of before


# What an algorithm sees that knows nothing of constraints.


def shown(results: list[tuple[float, float]]) -> list[float]:
    """What a tuner hears of (value, violation) pairs."""
    tuner = Hears()
    study = AskTell(tuner, SPACE, mode={"loss": "minimize"}, constraints={"excess": {"max": 0}})
    for value, violation in results:
        asked = study.ask()
        assert asked is not None
        study.tell(asked, {"loss": value, "excess": violation})
    assert all(isinstance(each, Score) and each.is_feasible for each in tuner.heard)
    return tuner.heard


@settings(deadline=None)
@given(st.lists(st.tuples(FINITE, st.sampled_from([0.0, 0.0, 1e-9, 0.5, 2.0, 1e6])), min_size=1, max_size=30))
def test_infeasible_results_are_shown_behind_feasible_ones(results: list[tuple[float, float]]) -> None:
    pairs = sorted(zip(results, shown(results), strict=True), key=lambda pair: pair[1])
    feasible = [(result, seen) for result, seen in pairs if not result[1]]
    infeasible = [(result, seen) for result, seen in pairs if result[1]]
    if feasible and infeasible:
        assert feasible[-1][1] < infeasible[0][1]
    for (first, a), (second, b) in pairwise(feasible):
        assert first[0] <= second[0] or a == b
    for (first, a), (second, b) in pairwise(infeasible):
        assert first[1] <= second[1] or a == b


def test_numbers_stay_as_they_are_up_to_the_worst_before_the_first_infeasible() -> None:
    assert shown([(1.0, 0), (3.0, 0), (0.0, 1.0), (2.0, 0), (-5.0, 0)])[-2:] == [2.0, -5.0]


def test_numbers_shown_stay_in_the_range_of_the_results() -> None:
    heard = shown([(1.0, 0), (3.0, 0), (0.0, 10.0), (1e9, 0)])
    assert 3.0 < heard[3] < heard[2] < 15.0


@pytest.mark.parametrize("value", [1e300, -1e300, 1.7e308, 0.0])
def test_numbers_shown_are_finite_whatever_was_reported(value: float) -> None:
    heard = shown([(value, 1.0), (-value, 0.0), (value, 0.0), (value, 1e308)])
    assert all(abs(each) < float("inf") for each in heard)
    assert max(heard[1:3]) < min(heard[0], heard[3])


def test_imported_results_are_shown_in_the_same_way() -> None:
    tuner = Hears()
    study = AskTell(tuner, SPACE, mode="minimize", constraints={"size": {"max": 1}})
    study.add([({"x": 0.1}, {"default": 1.0, "size": 3}), ({"x": 0.2}, {"default": 7.0, "size": 1})])
    assert tuner.heard[1] < tuner.heard[0]


def test_algorithm_that_knows_constraints_is_told_of_them() -> None:
    tuner = HearsAll()
    study = AskTell(tuner, SPACE, mode=BOTH.modes, constraints=BOTH.constraints)
    asked = study.ask()
    assert asked is not None
    study.tell(asked, {"accuracy": 0.9, "latency": 30})
    [score] = tuner.heard
    assert isinstance(score, Score)
    assert (score.values, score.violation) == ((-0.9, 30.0), 0.5)


def test_advisor_is_wrapped_and_passed_through() -> None:
    class Both(Advisor):
        listens = False
        ended: tuple[Any, ...] = ()

        def update_search_space(self, search_space: SearchSpace) -> None: ...
        def propose(self, parameter_id: int) -> Parameters:
            return {"x": 0.5}

        def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
            self.ended += ((parameter_id, state, value),)

        def import_data(self, data: Any) -> None: ...

    inner = Both()
    advisor = FeasibleFirst(inner)
    assert (advisor.algorithm_name, advisor.listens) == ("Both", False)
    advisor.trial_end(0, TrialState.FAILED, None)
    advisor.trial_end(1, TrialState.SUCCEEDED, Score((1.0,), 1.0))
    assert inner.ended[0] == (0, TrialState.FAILED, None)
    assert inner.ended[1][2] > 1.0


# Ask and tell.


def test_ask_and_tell_keeps_best_and_front() -> None:
    study = AskTell(HearsAll(), SPACE, mode=BOTH.modes, constraints=BOTH.constraints)
    results = [(0.9, 30), (0.8, 10), (0.7, 5), (0.6, 15), (0.85, 20)]
    for accuracy, latency in results:
        asked = study.ask()
        assert asked is not None
        study.tell(asked, {"accuracy": accuracy, "latency": latency})
    assert study.best is not None
    assert study.best.value == 0.85
    assert [each.metric["latency"] for each in study.front] == [20, 10, 5]
    assert all(each.is_feasible for each in study.front)


def test_algorithm_for_one_objective_is_refused_several() -> None:
    with pytest.raises(ConfigError, match=r"Hears does not take several objectives \(accuracy, latency\)"):
        AskTell(Hears(), SPACE, mode=BOTH.modes)


def test_nothing_is_best_before_something_is_feasible() -> None:
    study = AskTell(Hears(), SPACE, mode="minimize", constraints={"size": {"max": 1}})
    asked = study.ask()
    assert asked is not None
    study.tell(asked, {"default": 1.0, "size": 2})
    assert study.best is None
    assert asked.is_feasible is False
