"""Experiments in the words of NNI, for programs that read what it printed."""

from __future__ import annotations

import json
import time
from typing import Any

from tune_core.json import dump_json
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.reader import Record, TrialRecord

__all__ = ["dated", "line_of", "trial_job"]


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


def line_of(directory: ExperimentDirectory, row: dict[str, Any]) -> str:
    """An experiment in `nnictl experiment list`; `row` is its `summary`."""
    platform = "N/A"
    if row["status"] != "UNREADABLE":
        with Record(directory) as record:
            config = record.state().get("config") or {}
            platform = config.get("trainingService", {}).get("platform", platform)
    content = {
        "Id": row["id"],
        "Name": row["name"] or "N/A",
        "Status": row["status"],
        "Port": "N/A",
        "Platform": platform,
        "StartTime": _date(row["created"]),
        "EndTime": _date(row["ended"]),
    }
    return "    ".join(f"{key}: {value}" for key, value in content.items())


def _date(moment: float | None) -> str:
    """Seconds since the epoch as NNI wrote local time."""
    return "N/A" if moment is None else time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(moment))


def dated(content: dict[str, Any]) -> dict[str, Any]:
    """What `nnictl` shows of a trial or an experiment: dates in place of milliseconds."""
    moments = {key: content[key] for key in ("startTime", "endTime") if content.get(key) is not None}
    return content | {key: _date(moment / 1000) for key, moment in moments.items()}
