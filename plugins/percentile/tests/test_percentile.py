"""Percentile stopping by hand-worked cases. Values are oriented: lower is better."""

import random
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tune_percentile.assessor import PercentileAssessor, percentile_of


def run(assessor: PercentileAssessor, name: str, values: list[float]) -> list[bool]:
    return [assessor.assess_trial(name, values[: n + 1]) for n in range(len(values))]


def after(curves: list[list[float]], **options: Any) -> PercentileAssessor:
    """An assessor that has seen these trials succeed."""
    assessor = PercentileAssessor(**{"min_trials": 1, **options})
    for number, values in enumerate(curves):
        run(assessor, f"done-{number}", values)
        assessor.trial_end(f"done-{number}", success=True)
    return assessor


def test_percentile_agrees_with_numpy() -> None:
    rng = random.Random(3)
    for size in range(1, 30):
        values = sorted(rng.gauss(0, 1) for _ in range(size))
        for percentile in (0, 10, 25, 50, 99.5, 100):
            assert percentile_of(values, percentile) == pytest.approx(np.percentile(values, percentile))
    assert percentile_of([-1.7e308, 1.7e308], 50) == 0


def test_the_best_part_goes_on() -> None:
    assessor = after([[1.0], [2.0], [3.0], [4.0], [5.0]], percentile=25)  # a quarter: 2.0
    assert run(assessor, "a", [2.0]) == [True]
    assert run(assessor, "b", [2.1]) == [False]
    assert run(after([[1.0], [2.0], [3.0]], percentile=0), "c", [1.5]) == [False]
    assert run(after([[1.0], [2.0], [3.0]], percentile=100), "d", [3.0]) == [True]


def test_the_best_so_far_is_compared_with_results_of_the_same_step() -> None:
    assessor = after([[9.0, 5.0], [9.0, 4.0], [9.0, 3.0]], percentile=50)
    assert run(assessor, "a", [4.0, 8.0]) == [True, True]
    assert run(assessor, "b", [9.0, 4.5]) == [True, False]
    assert run(assessor, "c", [9.0, 4.0, 99.0]) == [True, True, True]  # nobody came as far


def test_too_few_trials_that_came_as_far_stop_nobody() -> None:
    assessor = after([[1.0, 1.0], [1.0, 1.0], [1.0]], min_trials=3)
    assert run(assessor, "a", [2.0]) == [False]
    assert run(assessor, "b", [1.0, 9.0]) == [True, True]
    assert assessor.assess_trial("c", [5.0, 5.0])  # adopted late: the first call brings two results


def test_failed_and_stopped_trials_do_not_count() -> None:
    assessor = PercentileAssessor(min_trials=1)
    run(assessor, "a", [1.0])
    assessor.trial_end("a", success=False)
    assert run(assessor, "b", [2.0]) == [True]
    assessor.trial_end("never seen", success=True)


def test_start_step_and_interval_say_when_to_judge() -> None:
    assessor = after([[1.0] * 8], start_step=3, interval=2)
    assert run(assessor, "a", [5.0] * 8) == [True, True, False, True, False, True, False, True]


def test_a_trial_started_again_is_judged_by_its_new_results() -> None:
    assessor = after([[2.0, 2.0]])
    assert run(assessor, "a", [1.0, 5.0]) == [True, True]
    assert run(assessor, "a", [3.0]) == [False]


@pytest.mark.parametrize("bad", [{"percentile": 101}, {"min_trials": 0}, {"interval": 0}, {"n_trials": 3}])
def test_arguments_refuse_what_has_no_meaning(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PercentileAssessor.Arguments.model_validate(bad)
