"""Experiments in the words of NNI, for programs that read what it printed."""

from __future__ import annotations

import json
from typing import Any

from tune_core.json import dump_json
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.reader import TrialRecord

__all__ = ["trial_job"]


def trial_job(directory: ExperimentDirectory, trial: TrialRecord) -> dict[str, Any]:
    """A trial as NNI's REST interface and `nnictl trial ls` gave it; times are milliseconds.

    What NNI had as JSON text inside of JSON is so here.
    """
    given = {
        "parameter_id": trial.sequence,
        "parameter_source": "algorithm" if trial.source == "algorithm" else "customized",
        "parameters": trial.parameters,
        "parameter_index": 0,
    }
    job: dict[str, Any] = {
        "trialJobId": trial.id,
        "id": trial.id,
        "status": trial.state.value,
        "sequenceId": trial.sequence,
        "hyperParameters": [dump_json(given)],
        "logPath": str(directory.attempt(trial.id, trial.attempt)),
    }
    job |= {
        name: round(1000 * moment)
        for name, moment in (("startTime", trial.started), ("endTime", trial.ended))
        if moment is not None
    }
    if trial.metric is not None:
        final = {
            "timestamp": job.get("endTime"),
            "trialJobId": trial.id,
            "parameterId": str(trial.sequence),
            "type": "FINAL",
            "sequence": 0,
            "data": json.dumps(dump_json(trial.metric)),
        }
        job["finalMetricData"] = [final]
    return job
