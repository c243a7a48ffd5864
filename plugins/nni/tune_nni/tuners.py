"""Custom tuners of NNI as tuners of the kernel."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from typing import Any

from nni.common.exception import NoMoreTrialError

from tune_core import NoMoreTrial, Observation, Parameters, SearchSpace, Tuner
from tune_nni.adapter import Adapter, plain

__all__ = ["TunerAdapter"]


class TunerAdapter(Adapter, Tuner):
    """Runs a class that derives from `nni.tuner.Tuner`.

    NNI's tuners raise `NoMoreTrialError` also when they wait for results, and then owe a trial that they
    may send later, through `st_callback`. So while trials run it means "not now". Each time it is asked
    the tuner is given another id, as by NNI; these are not the numbers of trials once it was asked in vain.
    """

    deduplicates = True  # it gets what it proposes, as with NNI

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._next_id = 0
        self._ready: deque[tuple[int, Any]] = deque()  # proposals, by the tuner's ids
        self._proposed: int | None = None
        self._running: dict[int, tuple[int, bool]] = {}  # the tuner's id, and whether it is the user's trial

    def update_search_space(self, search_space: SearchSpace) -> None:
        self.call("update_search_space", copy.deepcopy(dict(search_space.raw)))

    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        if not self._ready:
            self._ask()
        if self._ready:
            self._proposed, parameters = self._ready.popleft()
            found: Parameters = plain(parameters)
            return found
        if self._running:
            return None
        raise NoMoreTrial(f"{type(self).__name__} has no more configurations to try")

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        is_users = self._proposed is None
        own = self._new_id() if self._proposed is None else self._proposed
        self._proposed = None
        self._running[parameter_id] = own, is_users

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        own, is_users = self._running[parameter_id]
        if self._hears(is_users):
            job = str(parameter_id)
            reported = self.as_reported(value)
            given = copy.deepcopy(parameters)
            self.call("receive_trial_result", own, given, reported, customized=is_users, trial_job_id=job)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        own, is_users = self._running.pop(parameter_id)
        if self._hears(is_users):
            self.call("trial_end", own, success, trial_job_id=str(parameter_id))

    def import_data(self, data: Sequence[Observation]) -> None:
        results = [
            {"parameter": copy.deepcopy(each.parameters), "value": self.as_reported(float(each.value))}
            for each in data
        ]
        self.call("import_data", results)

    def _ask(self) -> None:
        own = self._new_id()
        try:
            found = self.call("generate_multiple_parameters", [own], st_callback=self._send)
        except NoMoreTrialError:
            return
        self._ready.extend((own, parameters) for parameters in found or ())

    def _send(self, parameter_id: int, parameters: Any) -> None:
        """For the tuner to pay what it owes, at any time."""
        self._ready.append((parameter_id, parameters))

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _hears(self, is_users: bool) -> bool:
        return not is_users or self.inner._accepts_customized
