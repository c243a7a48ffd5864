"""Patience by hand-worked cases. Values are oriented: lower is better."""

from typing import Any

import pytest
from pydantic import ValidationError
from tune_patience.assessor import PatienceAssessor


def run(assessor: PatienceAssessor, values: list[float], name: str = "a") -> list[bool]:
    return [assessor.assess_trial(name, values[: n + 1]) for n in range(len(values))]


def test_a_trial_is_stopped_by_results_in_a_row_without_improvement() -> None:
    said = run(PatienceAssessor(patience=3), [5.0, 4.0, 4.0, 6.0, 3.0, 3.0, 3.5, 3.0, 2.0])
    assert said == [True, True, True, True, True, True, True, False, True]


def test_an_improvement_must_exceed_min_delta() -> None:
    values = [5.0, 4.75, 4.5, 4.25]  # a quarter each; from 5.0 the half is not exceeded before 4.25
    assert run(PatienceAssessor(patience=2, min_delta=0.5), values) == [True, True, False, True]
    assert run(PatienceAssessor(patience=2), values) == [True] * 4


def test_nobody_is_stopped_before_start_step() -> None:
    assessor = PatienceAssessor(patience=1, start_step=4)
    assert run(assessor, [1.0] * 5) == [True, True, True, False, False]


def test_a_trial_started_again_has_all_its_patience() -> None:
    assessor = PatienceAssessor(patience=2)
    assert run(assessor, [1.0, 2.0, 2.0]) == [True, True, False]
    assert run(assessor, [3.0, 3.0, 2.0]) == [True, True, True]
    assert not assessor.assess_trial("adopted late", [1.0, 2.0, 3.0])


def test_trials_are_judged_by_themselves() -> None:
    assessor = PatienceAssessor(patience=2)
    run(assessor, [1.0, 1.0], "a")
    assert run(assessor, [9.0, 9.0], "b") == [True, True]
    assert not assessor.assess_trial("a", [1.0, 1.0, 1.0])


@pytest.mark.parametrize("bad", [{"patience": 0}, {"min_delta": -1}, {"patients": 3}])
def test_arguments_refuse_what_has_no_meaning(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PatienceAssessor.Arguments.model_validate(bad)
