"""Experiments whose trials are functions, run by the engine itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tune_core.algorithms.base import Advisor, Assessor, Tuner
from tune_core.algorithms.compose import TunerAdvisor
from tune_core.experiment.engine import Engine
from tune_core.experiment.manager import Parts, create_record, manage
from tune_core.experiment.settings import Limits, Settings
from tune_core.objectives import Objectives
from tune_core.services.base import TrainingService
from tune_core.services.function import FunctionService
from tune_core.space import SearchSpace
from tune_core.store.directory import create_experiment
from tune_core.store.reader import Record
from tune_core.trial import Parameters

__all__ = ["FINITE", "Draws", "Lab", "Threshold", "square", "until"]

_SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}, "c": {"_type": "choice", "_value": ["a", "b"]}}
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
        service: TrainingService | None = None,
        notify: Callable[..., None] | None = None,
        **settings: Any,
    ) -> Parts:
        """What an experiment consists of; ten trials of `function`, two at once, unless told otherwise."""
        algorithm = tuner or Draws()
        return Parts(
            settings=Settings(
                "", Objectives.of(mode, constraints), 1, "", Path(), limits or Limits(2, 10), **settings
            ),
            search_space=SearchSpace.parse(space or _SPACE),
            advisor=algorithm if isinstance(algorithm, Advisor) else TunerAdvisor(algorithm, assessor),
            service=service or FunctionService(function),
            notify=notify,
        )

    def run(self, function: Callable[..., Any], **options: Any) -> str:
        """Run the experiment, or go on with it, to its end; returns its status. See `parts`."""
        parts = self.parts(function, **options)
        if not self.directory.record.exists():
            create_record(self.directory, parts, None)
        return asyncio.run(asyncio.wait_for(manage(self.directory, parts, self._note), 100))

    def _note(self, engine: Engine) -> None:
        self.engine = engine

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


def square(parameters: Parameters) -> float:
    return float(parameters["x"] ** 2)
