"""The tuner, the assessor and the command of tune-climb."""

import math

import pytest
from tune_climb.assessor import PlateauAssessor
from tune_climb.command import draw
from tune_climb.tuner import ClimbTuner, reflect

from tune_core import Assessor, SearchSpace, Tuner
from tune_core.testing import AssessorContract, TunerContract

SPHERE = {name: {"_type": "uniform", "_value": [-1, 1]} for name in "xyz"}


class TestTunerContract(TunerContract):
    def make_tuner(self) -> Tuner:
        return ClimbTuner()


class TestAssessorContract(AssessorContract):
    def make_assessor(self) -> Assessor:
        return PlateauAssessor()


def test_climb_follows_a_slope_to_its_end() -> None:
    tuner = ClimbTuner()
    tuner.set_seed(3)
    tuner.update_search_space(SearchSpace.parse(SPHERE))
    best = math.inf
    for number in range(300):
        parameters = tuner.generate_parameters(number)
        value = sum(coordinate**2 for coordinate in parameters.values())
        best = min(best, value)
        tuner.receive_trial_result(number, parameters, value)
    assert best < 1e-6  # 300 random points come to about 0.006


def test_climb_starts_anew_when_its_best_leaves_the_space() -> None:
    tuner = ClimbTuner()
    tuner.update_search_space(SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 1]}}))
    tuner.receive_trial_result(0, {"x": 0.5}, 1.0)
    moved = SearchSpace.parse({"x": {"_type": "uniform", "_value": [2, 3]}})
    tuner.update_search_space(moved)
    assert moved.contains(tuner.generate_parameters(1))


def test_climb_refuses_a_radius_beyond_the_cube() -> None:
    with pytest.raises(ValueError, match=r"radius is 0.7; give a number above 0 and up to 0.5"):
        ClimbTuner(radius=0.7)


def test_reflect_folds_into_the_cube() -> None:
    assert reflect([-0.25, 0.5, 1.25, 2.5]).tolist() == [0.25, 0.5, 0.75, 0.5]


@pytest.mark.parametrize(
    ("history", "goes_on"),
    [([5.0, 4.0, 3.0], True), ([5.0, 4.0, 4.0, 4.5], False), ([5.0, 5.0], True), ([3.0, 4.0, 2.9], True)],
)
def test_plateau_waits_for_improvement(history: list[float], goes_on: bool) -> None:
    assert PlateauAssessor(patience=2).assess_trial("a", history) is goes_on


def test_draw_spans_all_bars() -> None:
    assert draw(range(8)) == "▁▂▃▄▅▆▇█"
    assert draw([2.0, 2.0]) == "▁▁"
