"""Ask and tell: any algorithm by hand."""

from __future__ import annotations

import pytest

from tune_core import AskTell, Parameters, SearchSpace, TuneError, Tuner
from tune_core.errors import MetricError

SPACE = {"x": {"_type": "uniform", "_value": [-1, 1]}}


class Halves(Tuner):
    """Halves the distance to the best so far."""

    default_optimize_mode = "minimize"

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.best: tuple[float, float] = (float("inf"), 1.0)
        self.heard: list[float] = []

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return {"x": self.best[1] / 2 ** (parameter_id % 3)}

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self.heard.append(value)
        self.best = min(self.best, (value, parameters["x"]))


def test_asking_and_telling_finds_the_best() -> None:
    study = AskTell(Halves(), SPACE)
    for _ in range(30):
        asked = study.ask()
        assert asked is not None
        study.tell(asked, asked.parameters["x"] ** 2)
    assert study.best is not None
    assert study.best.parameters["x"] < 0.01
    assert study.best.value == study.best.parameters["x"] ** 2


def test_maximize_turns_values_round_for_the_algorithm_only() -> None:
    tuner = Halves()
    study = AskTell(tuner, SPACE, mode="maximize")
    for value in (1.0, 3.0, 2.0):
        asked = study.ask()
        assert asked is not None
        study.tell(asked, value)
    assert tuner.heard == [-1.0, -3.0, -2.0]
    assert study.best is not None
    assert study.best.value == 3.0


def test_failed_trial_teaches_nothing() -> None:
    tuner = Halves()
    study = AskTell(tuner, SPACE)
    asked = study.ask()
    assert asked is not None
    study.tell(asked, None)
    assert tuner.heard == []
    assert study.best is None


def test_telling_twice_is_an_error() -> None:
    study = AskTell(Halves(), SPACE)
    asked = study.ask()
    assert asked is not None
    study.tell(asked, 1.0)
    with pytest.raises(TuneError, match="configuration 0 was told before"):
        study.tell(asked, 1.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "good", True])
def test_what_is_no_finite_number_is_refused_and_may_be_told_again(value: object) -> None:
    study = AskTell(Halves(), SPACE)
    asked = study.ask()
    assert asked is not None
    with pytest.raises(MetricError):
        study.tell(asked, value)  # type: ignore[arg-type]
    study.tell(asked, 1.0)


def test_iteration_ends_with_a_finite_space() -> None:
    class First(Halves):
        def generate_parameters(self, parameter_id: int) -> Parameters:
            return {"x": 0.5}

    study = AskTell(First(), {"x": {"_type": "choice", "_value": [0.5, 1.0, 0.25]}})
    found = []
    for asked in study:
        found.append(asked.parameters["x"])
        study.tell(asked, found[-1])
    assert sorted(found) == [0.25, 0.5, 1.0]


def test_wrong_mode_is_named() -> None:
    with pytest.raises(TuneError, match="mode is 'best'"):
        AskTell(Halves(), SPACE, mode="best")


def test_added_results_are_learnt() -> None:
    tuner = Halves()
    study = AskTell(tuner, SPACE, mode="maximize")
    study.add([({"x": 0.5}, 4.0)])
    assert tuner.heard == [-4.0]
