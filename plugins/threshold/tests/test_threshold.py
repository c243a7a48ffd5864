"""Threshold: bounds in the user's own numbers, whichever way round they are."""

from typing import Any

import pytest
from tune_threshold.assessor import ThresholdAssessor

from tune_core import AskTell, ConfigError
from tune_core.config.algorithm import choose
from tune_core.config.model import AlgorithmConfig

SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}


def said(mode: Any, values: list[float], **bounds: float) -> list[bool]:
    """What a trial that reports `values`, in the user's numbers, is told each time."""
    config = AlgorithmConfig(name="Threshold", class_args={**bounds, "optimize_mode": mode})
    search = AskTell("Random", SPACE, mode=mode, assessor=choose("assessor", config).make())
    asked = search.ask()
    assert asked is not None
    return [search.report(asked, value) for value in values]


@pytest.mark.parametrize("mode", ["minimize", "maximize"])
def test_values_beyond_a_bound_are_stopped_in_either_direction(mode: str) -> None:
    values = [2.0, 5.0, 5.1, 1.9, -3.0]
    assert said(mode, values, upper=5) == [True, True, False, True, True]
    assert said(mode, values, lower=2) == [True, True, True, False, False]
    assert said(mode, values, lower=2, upper=5) == [True, True, False, False, False]


def test_nobody_is_stopped_before_start_step() -> None:
    assert said("minimize", [9.0, 9.0, 9.0], upper=5, start_step=2) == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimize_mode": "minimize"}, "needs a bound"),
        ({"optimize_mode": "minimize", "lower": 2, "upper": 1}, "lower 2.0 is greater than upper 1.0"),
        ({"upper": 1}, "optimize_mode is missing"),
        ({"optimize_mode": "minimize", "upper": "a"}, "upper"),
    ],
)
def test_a_configuration_without_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose("assessor", AlgorithmConfig(name="Threshold", class_args=arguments))


def test_bounds_are_checked_without_a_configuration_too() -> None:
    with pytest.raises(ConfigError, match="needs a bound"):
        ThresholdAssessor("minimize")
