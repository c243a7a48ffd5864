"""Writing out results, in the forms that NNI wrote."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, TextIO

from tune_core.cli.output import writes_unicode
from tune_core.store.reader import Record
from tune_core.trial import TrialState

__all__ = ["rows", "write_csv", "write_json"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_json(record: Record, everything: bool, intermediate: bool, file: TextIO) -> int:
    """A list of {parameter, value, trialJobId}, one trial a line; returns how many.

    Args:
        everything: Also trials without a final result.
    """
    count, escape = 0, not writes_unicode(file)
    file.write("[")
    for row in rows(record, everything, intermediate):
        file.write(",\n" if count else "\n")
        file.write(json.dumps(row, ensure_ascii=escape, allow_nan=False))
        count += 1
    file.write("\n]\n")
    return count


def write_csv(record: Record, everything: bool, intermediate: bool, file: TextIO) -> int:
    """A line for each trial: parameters, `reward` or the keys of the result, trialJobId.

    The columns come from a first pass over all trials, so that memory does not grow with them.
    """
    columns: dict[str, None] = {}
    results: dict[str, None] = {}
    for row in rows(record, everything, intermediate=False):
        columns.update(dict.fromkeys(row["parameter"]))
        results.update(dict.fromkeys(_result(row["value"])))
    titles = [*columns, *(name for name in results if name not in columns), "trialJobId"]
    writer = csv.writer(file)
    writer.writerow([_cell(title) for title in titles + ["intermediate"] * intermediate])
    count = 0
    for row in rows(record, everything, intermediate):
        cells = {**row["parameter"], **_result(row["value"]), "trialJobId": row["trialJobId"]}
        extra = [_cell(row["intermediate"])] if intermediate else []
        writer.writerow([_cell(cells.get(title)) for title in titles] + extra)
        count += 1
    return count


def rows(record: Record, everything: bool, intermediate: bool) -> Iterator[dict[str, Any]]:
    """Each trial as {parameter, value, trialJobId}, and `intermediate` if asked for; see `write_json`."""
    for trial in record.trials(states=() if everything else (TrialState.SUCCEEDED,)):
        if trial.metric is None and not everything:
            continue
        row = {"parameter": trial.parameters, "value": trial.metric, "trialJobId": trial.id}
        if intermediate:
            metrics = record.metrics(trial.sequence, attempt=trial.attempt)
            row["intermediate"] = [each.value for each in metrics if not each.final]
        yield row


def _result(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"reward": value}


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
