"""Custom advisors of NNI as advisors of the kernel."""

from __future__ import annotations

import copy
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nni.runtime.protocol import CommandType, receiving
from nni.utils import MetricType

from tune_core import Advisor, NoMoreTrial, Observation, Parameters, SearchSpace, TrialState
from tune_core.errors import AlgorithmError
from tune_core.json import dump_json
from tune_nni.adapter import Adapter, plain

__all__ = ["AdvisorAdapter"]


@dataclass
class _Job:
    """A trial that the advisor sent.

    Attributes:
        parameter_id: The advisor's own name for it, also a text.
        results: How many intermediate results it has reported.
    """

    parameter_id: Any
    parameters: Parameters
    results: int = 0


class AdvisorAdapter(Adapter, Advisor):
    """Runs a class that derives from `nni.runtime.msg_dispatcher_base.MsgDispatcherBase`.

    An advisor answers a request for trials at once or later. It is asked again after a trial has ended,
    as by NNI, and what it sends unasked waits for a slot. Of trials that the user added it does not hear.
    """

    wants_reports = True

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._ready: deque[_Job] = deque()
        self._proposed: _Job | None = None
        self._jobs: dict[int, _Job] = {}
        self._killed: set[str] = set()
        self._has_space = False
        self._is_asked = False
        self._is_over = False

    def update_search_space(self, search_space: SearchSpace) -> None:
        handler = "handle_update_search_space" if self._has_space else "handle_initialize"
        self._tell(handler, copy.deepcopy(dict(search_space.raw)))
        self._has_space = True
        self._is_asked = self._is_over = False

    def propose(self, parameter_id: int) -> Parameters | None:
        if not self._ready and not self._is_asked:
            self._is_asked = True
            self._is_over = False
            self._tell("handle_request_trial_jobs", 1)
        if self._ready:
            self._is_asked = False
            self._proposed = self._ready.popleft()
            return copy.deepcopy(self._proposed.parameters)
        if self._is_over and not self._jobs:
            raise NoMoreTrial(f"{self.algorithm_name} has no more configurations to try")
        return None

    def register_pending(self, parameter_id: int, parameters: Parameters) -> None:
        if self._proposed is not None:
            self._proposed.parameters = parameters
            self._jobs[parameter_id] = self._proposed
            self._proposed = None

    def report_intermediate(self, parameter_id: int, value: float) -> bool:
        job = self._jobs.get(parameter_id)
        if job is None:
            return True
        self._report(parameter_id, job, MetricType.PERIODICAL, job.results, value)
        job.results += 1
        return str(parameter_id) not in self._killed

    def trial_restart(self, parameter_id: int) -> None:
        self._killed.discard(str(parameter_id))
        if parameter_id in self._jobs:
            self._jobs[parameter_id].results = 0

    def trial_end(self, parameter_id: int, state: TrialState, value: float | None) -> None:
        job = self._jobs.get(parameter_id)
        if job is None:
            return
        if value is not None:
            self._report(parameter_id, job, MetricType.FINAL, 0, value)
        del self._jobs[parameter_id]
        self._killed.discard(str(parameter_id))
        self._is_asked = False
        parameters = {"parameter_source": "algorithm", "parameters": job.parameters}
        ended = {"parameter_id": job.parameter_id, **parameters}
        end = {"trial_job_id": str(parameter_id), "event": state.value, "hyper_params": dump_json(ended)}
        self._tell("handle_trial_end", end)

    def import_data(self, data: Sequence[Observation]) -> None:
        results = [
            {"parameter": copy.deepcopy(each.parameters), "value": self.as_reported(float(each.value))}
            for each in data
        ]
        self._is_asked = False
        self._tell("handle_import_data", results)

    def _report(self, parameter_id: int, job: _Job, kind: str, sequence: int, value: float) -> None:
        message = {
            "parameter_id": job.parameter_id,
            "trial_job_id": str(parameter_id),
            "type": kind,
            "sequence": sequence,
            "value": dump_json(self.as_reported(value)),
        }
        self._tell("handle_report_metric_data", message)

    def _tell(self, handler: str, data: Any) -> None:
        with receiving(self._heard):
            self.call(handler, data)

    def _heard(self, command: CommandType, data: Any) -> None:
        if command is CommandType.NewTrialJob:
            self._ready.append(self._job(data))
        elif command is CommandType.KillTrialJob:
            self._killed.add(str(_decoded(data)))
        elif command is CommandType.NoMoreTrialJobs:
            self._is_over = True
        elif command is not CommandType.Initialized:
            raise AlgorithmError(f"{self.algorithm_name} sent {command.name}, which tune has no use for")

    def _job(self, data: Any) -> _Job:
        content = _decoded(data)
        parameters = content.get("parameters") if isinstance(content, dict) else None
        if not isinstance(parameters, dict):
            raise AlgorithmError(
                f"{self.algorithm_name} sent a trial without 'parameters', a dictionary: {data!r}"
            )
        return _Job(content.get("parameter_id"), plain(parameters))


def _decoded(data: Any) -> Any:
    """What a message holds: JSON text, or as it is where it is none, such as the id of a trial."""
    try:
        return json.loads(data) if isinstance(data, str | bytes) else data
    except ValueError:
        return data
