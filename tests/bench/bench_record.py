"""Time and memory to open, list and export 100,000 trials with 1,000,000 intermediate metrics."""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from tune_core import Record
from tune_core.store.events import Event, MetricRow, Row, TrialNote, write_rows
from tune_core.store.schema import open_writer

TRIALS, STEPS = 100_000, 10
PAGE = 100


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "experiment.sqlite"
        started = time.monotonic()
        write(path)
        size = path.stat().st_size / 2**20
        print(f"written in {time.monotonic() - started:.0f} s, {size:.0f} MiB\n")
        print(f"{'':<28} {'ms':>9} {'peak MiB':>9}")
        for name, task in TASKS.items():
            took, peak = in_process(task, path)
            print(f"{name:<28} {1000 * took:>9.1f} {peak:>9.0f}", flush=True)


def write(path: Path) -> None:
    """The record of TRIALS trials that each reported STEPS times and then ended."""
    connection = open_writer(path)
    number = 1
    first: list[Row] = [Event("created", {"mode": "minimize", "seed": 0}, time=0.0, id=number)]
    for begin in range(0, TRIALS, 5_000):
        rows = first if begin == 0 else []
        for trial in range(begin, min(begin + 5_000, TRIALS)):
            number = add_trial(rows, trial, number)
        connection.execute("BEGIN IMMEDIATE")
        write_rows(connection, rows)
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def add_trial(rows: list[Row], trial: int, number: int) -> int:
    """Append what one trial leaves in a record, numbered after `number`; returns the last number."""
    parameters = {f"p{index}": trial / (index + 1) for index in range(10)}
    proposed = {"id": f"t{trial}", "parameters": parameters, "source": "algorithm", "after": number}
    rows.append(Event("proposed", proposed, trial, float(trial), number + 1))
    rows.append(Event("started", {"attempt": 0, "identity": {"pid": 1}}, trial, float(trial), number + 2))
    number += 2
    for step in range(STEPS):
        number += 1
        rows.append(MetricRow(number, float(trial), trial, 0, step, 0, 1.0 / (step + 1), None))
    rows.append(TrialNote(trial, "progress", (STEPS, 1.0 / STEPS)))
    value = (trial * 7919 % TRIALS) / TRIALS
    ended = {"state": "SUCCEEDED", "value": value, "metric": value, "reason": "", "advised": value}
    rows.append(Event("ended", ended, trial, trial + 1.0, number + 1))
    return number + 1


def open_it(path: Path) -> None:
    with Record(path) as record:
        assert sum(record.counts().values()) == TRIALS


def first_page(path: Path) -> None:
    with Record(path) as record:
        assert len(list(record.trials(limit=PAGE))) == PAGE


def last_page(path: Path) -> None:
    with Record(path) as record:
        assert len(list(record.trials(newest_first=True, limit=PAGE))) == PAGE


def middle_page(path: Path) -> None:
    with Record(path) as record:
        assert len(list(record.trials(after=TRIALS // 2, limit=PAGE))) == PAGE


def best_ten(path: Path) -> None:
    with Record(path) as record:
        assert record.best(10)[0].value == 0.0


def metrics_of_one(path: Path) -> None:
    with Record(path) as record:
        assert len(list(record.metrics(TRIALS // 2))) == STEPS


def export_all(path: Path) -> None:
    """Every trial with its metrics, a line of JSON each."""
    with Record(path) as record, path.with_suffix(".jsonl").open("w") as file:
        for trial in record.trials():
            values = [metric.value for metric in record.metrics(trial.sequence)]
            line = {"parameters": trial.parameters, "value": trial.value, "intermediate": values}
            file.write(json.dumps(line) + "\n")


TASKS: dict[str, Callable[[Path], None]] = {
    "open and count": open_it,
    f"first page of {PAGE}": first_page,
    "page in the middle": middle_page,
    "newest page": last_page,
    "best ten": best_ten,
    "metrics of one trial": metrics_of_one,
    "export everything": export_all,
}


def in_process(task: Callable[[Path], None], path: Path) -> tuple[float, float]:
    """Seconds that `task` takes, and the peak memory in MiB of a process that does nothing else."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=measure, args=(task, path, there))
    process.start()
    took, peak = here.recv()
    process.join()
    return took, peak


def measure(task: Callable[[Path], None], path: Path, answer: Connection) -> None:
    started = time.monotonic()
    task(path)
    took = time.monotonic() - started
    unit = 2**20 if sys.platform == "darwin" else 2**10
    answer.send((took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit))


if __name__ == "__main__":
    main()
