"""The algorithm hears live exactly what a replay of the record makes it hear, in the same order."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_core.algorithms.base import Advisor
from tune_core.errors import TuneError
from tune_core.experiment.engine import Engine
from tune_core.experiment.manager import Parts, create_record, manage
from tune_core.experiment.replay import replay, restore
from tune_core.experiment.settings import Limits, Settings
from tune_core.objectives import Objectives
from tune_core.services.function import FunctionService, FunctionTrial
from tune_core.space import SearchSpace
from tune_core.store.commands import request
from tune_core.store.directory import ExperimentDirectory, create_experiment
from tune_core.store.reader import Record
from tune_core.store.schema import open_reader
from tune_core.trial import Parameters, TrialState

REQUESTS, CALLS = 25, 250
FIRST = {"x": {"_type": "uniform", "_value": [0, 1]}}


class Logs(Advisor):
    """Writes down every call, takes its time over some, and stops some trials."""

    def __init__(self, nap_s: float = 0.0, seed: int = 0) -> None:
        self.log: list[tuple[Any, ...]] = []
        self._nap_s = nap_s
        self._random = random.Random(seed)
        self._reports: dict[int, int] = {}

    def _nap(self) -> None:
        time.sleep(self._random.random() * self._nap_s)

    def update_search_space(self, search_space: SearchSpace) -> None:
        self._nap()
        self.log.append(("space", search_space.names))
        self._space = search_space

    def propose(self, parameter_id: int) -> Parameters | None:
        self._nap()
        self.log.append(("propose", parameter_id))
        return self._space.sample(self.rng(parameter_id))

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        self.log.append(("pending", parameter_id, json.dumps(parameters)))

    def report_intermediate(self, parameter_id: int, value: float) -> bool:
        self.log.append(("metric", parameter_id, value))
        self._reports[parameter_id] = self._reports.get(parameter_id, 0) + 1
        return (parameter_id * 7 + self._reports[parameter_id]) % 11 != 0

    def trial_restart(self, parameter_id: int) -> None:
        self.log.append(("restart", parameter_id))
        self._reports.pop(parameter_id, None)

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        self.log.append(("end", parameter_id, state, value))

    def import_data(self, data: Any) -> None:
        self._nap()
        self.log.append(("import", [item.value for item in data]))


def moody(_parameters: Parameters, trial: FunctionTrial) -> float:
    """Reports a few times, fails now and then, and is sometimes slow."""
    mood = random.Random()
    for _ in range(mood.randrange(12)):
        trial.report(mood.choice([mood.random(), float("nan"), {"default": mood.random(), "other": 1}]))
        if mood.random() < 0.3:
            time.sleep(mood.random() * 0.01)
    if mood.random() < 0.2:
        raise RuntimeError("a bad mood")
    return mood.choice([mood.random(), mood.random(), float("nan")])


def make_parts(advisor: Advisor, seed: int) -> Parts:
    settings = Settings(
        "",
        Objectives.of("minimize"),
        1,
        "",
        Path(),
        Limits(4),
        failed_retries=1,
        brake_trials=0,
        intermediate_counts=bool(seed % 2),
        trial_duration_s=0.08 if seed % 3 == 0 else None,
    )
    return Parts(settings, SearchSpace.parse(FIRST), advisor, FunctionService(moody))


def disturb(directory: ExperimentDirectory, chance: random.Random, advisor: Logs) -> None:
    """Ask for one thing after another, sensible or not, until enough has happened."""
    deadline = time.monotonic() + 50
    for number in itertools.count():
        if number >= REQUESTS and len(advisor.log) >= CALLS:
            return
        assert time.monotonic() < deadline, f"{len(advisor.log)} calls after {number} requests"
        with Record(directory) as record:
            space = record.state()["search_space"]
            newest = max((trial.sequence for trial in record.trials(newest_first=True, limit=1)), default=0)
        parameters = SearchSpace.parse(space).sample(np.random.default_rng(number))
        wishes: list[tuple[str, dict[str, Any]]] = [
            ("kill", {"trial": str(max(0, newest - chance.randrange(5)))}),
            ("add", {"parameters": parameters}),
            ("import", {"observations": [{"parameter": parameters, "value": chance.random()}]}),
            ("space", {"search_space": {f"p{chance.randrange(9)}": {"_type": "uniform", "_value": [0, 1]}}}),
            ("update", {"concurrency": chance.randrange(1, 7)}),
        ]
        verb, arguments = chance.choice(wishes)
        try:
            request(directory, verb, **arguments)
        except TuneError:
            continue  # a trial that has ended, parameters of a space that was replaced


def replayed(directory: ExperimentDirectory) -> list[tuple[Any, ...]]:
    connection = open_reader(directory.record)
    try:
        restored = restore(connection)
        advisor = Logs()
        advisor.set_seed(1)
        advisor.update_search_space(SearchSpace.parse(restored.state["first_search_space"]))
        replay(connection, advisor, restored)
    finally:
        connection.close()
    return advisor.log


@pytest.mark.parametrize("seed", range(3))
def test_live_calls_are_the_replayed_ones(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_HOME", str(tmp_path))
    directory = create_experiment()
    create_record(directory, make_parts(Logs(), seed), None)
    chance = random.Random(seed)
    for turn in range(2):
        advisor = Logs(0.01, seed + turn)
        others = set(threading.enumerate())
        ready = threading.Event()

        def run(advisor: Logs = advisor, ready: threading.Event = ready) -> None:
            def on_engine(_: Engine) -> None:
                ready.set()

            asyncio.run(manage(directory, make_parts(advisor, seed), on_engine))

        thread = threading.Thread(target=run)
        thread.start()
        assert ready.wait(60)
        disturb(directory, chance, advisor)
        request(directory, "stop")
        thread.join(60)
        assert not thread.is_alive()
        for each in set(threading.enumerate()) - others:
            if each.name == "tune-algorithm":
                each.join(60)  # where hearing the last took longer than the manager waits
        again = replayed(directory)
        # A proposal that the stop called off is in no record.
        kept = {call[1] for call in again if call[0] == "pending"}
        live = [call for call in advisor.log if call[0] not in ("propose", "pending") or call[1] in kept]
        assert live == again
