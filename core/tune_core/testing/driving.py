"""Driving an algorithm the way the engine does, and remembering how, so that it can be repeated."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tune_core.algorithms.base import Advisor
from tune_core.errors import NoMoreTrial
from tune_core.objectives import Score
from tune_core.trial import Parameters, TrialState

__all__ = ["Drive", "assert_plain_json"]

# The calls, as the record of an experiment has them.
_Call = tuple[Any, ...]


class Drive:
    """Runs an advisor with several trials at once, of which some fail.

    Args:
        advisor: Seeded, with its search space.
        loss: Of a configuration; lower is better. A number or a `Score`.
        intermediates: How many intermediate results each trial reports before its end.
    """

    def __init__(
        self,
        advisor: Advisor,
        loss: Callable[[Parameters], float],
        *,
        concurrency: int = 3,
        failing: float = 0.1,
        intermediates: int = 0,
        seed: int = 0,
    ) -> None:
        self.advisor = advisor
        self.calls: list[_Call] = []
        self.proposals: list[Parameters] = []
        self.exhausted = False
        self._loss = loss
        self._concurrency = concurrency
        self._failing = failing
        self._intermediates = intermediates
        self._random = random.Random(seed)  # noqa: S311 (order of events in a test)
        self._running: dict[int, Parameters] = {}
        self._next = 0

    def run(self, trials: int) -> list[Parameters]:
        """Go on until `trials` more were proposed; returns all proposals so far."""
        wanted = len(self.proposals) + trials
        while len(self.proposals) < wanted and not (self.exhausted and not self._running):
            free = len(self._running) < self._concurrency
            if not (free and not self.exhausted and self._propose()):
                if self.exhausted and not self._running:
                    break
                assert self._running, "nothing proposed and nothing running: it would wait for ever"
                self._finish_one()
        return self.proposals

    def replay(self, advisor: Advisor) -> None:
        """Make the same calls again on another advisor, as a resume does."""
        for name, *arguments in self.calls:
            if name == "propose":
                if advisor.replays_proposals:
                    assert advisor.propose(arguments[0]) == arguments[1], "a replayed proposal differs"
                advisor.register_pending(arguments[0], arguments[1])
            elif name == "trial_end":
                number, state, outcome = arguments
                advisor.trial_end(number, state, None if outcome is None else Score.from_json(outcome))
            else:
                getattr(advisor, name)(*arguments)

    def _propose(self) -> bool:
        try:
            parameters = self.advisor.propose(self._next)
        except NoMoreTrial:
            self.exhausted = True
            return False
        if parameters is None:
            return False
        assert_plain_json(parameters)
        kept: Parameters = json.loads(json.dumps(parameters))  # as the record gives it back
        self.advisor.register_pending(self._next, kept)
        self.calls.append(("propose", self._next, kept))
        self.proposals.append(kept)
        self._running[self._next] = kept
        self._next += 1
        return True

    def _finish_one(self) -> None:
        number = self._random.choice(list(self._running))
        parameters = self._running.pop(number)
        loss = Score.of(self._loss(parameters))
        state = TrialState.SUCCEEDED
        for step in range(self._intermediates):
            heard = loss + 1.0 / (step + 1)
            self.calls.append(("report_intermediate", number, heard))
            if not self.advisor.report_intermediate(number, heard):
                state = TrialState.EARLY_STOPPED
                break
        if self._random.random() < self._failing:
            state = TrialState.FAILED
        outcome = loss if state is TrialState.SUCCEEDED else None
        kept = None if outcome is None else json.loads(json.dumps(outcome.to_json()))
        self.calls.append(("trial_end", number, state, kept))
        self.advisor.trial_end(number, state, outcome)


def assert_plain_json(value: Any) -> None:
    """JSON of Python's own types: numpy's would come back from the record as something else."""
    allowed = (bool, int, float, str, type(None))
    if isinstance(value, dict):
        for key, each in value.items():
            assert type(key) is str, f"key {key!r} is a {type(key).__name__}"
            assert_plain_json(each)
    elif isinstance(value, list):
        for each in value:
            assert_plain_json(each)
    else:
        assert type(value) in allowed, f"{value!r} is a {type(value).__name__}, which is not JSON"
