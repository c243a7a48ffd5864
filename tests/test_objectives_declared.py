"""What drivers say of their classes, so that nothing need be imported, is what the classes do."""

from __future__ import annotations

import pytest

from tune_core import minimize
from tune_core.plugins import plugins

ALGORITHMS = [found for kind in ("tuner", "advisor") for found in plugins().all(kind)]


@pytest.mark.parametrize("found", ALGORITHMS, ids=lambda found: found.driver.name)
def test_driver_says_what_its_class_takes(found) -> None:
    cls = found.load()
    assert (found.driver.objectives == "many") is cls.many_objectives
    assert found.driver.constraints is cls.handles_constraints
    assert found.driver.needs_space is cls.needs_space


def test_default_for_several_objectives_takes_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path))
    space = {"x": {"_type": "uniform", "_value": [0, 1]}}
    experiment = minimize(lambda p: {"a": p["x"], "b": 1 - p["x"]}, space, objectives=["a", "b"], trials=12)
    assert len(experiment.front) == 12
