"""Event files as TensorBoard reads them: scalars, and the parameters of each trial for its tab HParams.

The builders of `tensorboard.plugins.hparams.summary` need TensorFlow; what they build does not.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter

from tune_core import TrialState
from tune_core.observing import Destination, Steps, flat_parameters, numbers

__all__ = ["EventFiles"]

STATUS = {
    TrialState.SUCCEEDED: api_pb2.STATUS_SUCCESS,
    TrialState.EARLY_STOPPED: api_pb2.STATUS_SUCCESS,  # it did what it was asked to, as long as it was
    TrialState.FAILED: api_pb2.STATUS_FAILURE,
}


class EventFiles(Destination):
    """The event files of one experiment, a folder for each run.

    Files are opened for each event: there may be more running trials than a process may have open files.

    Args:
        folder: What `tensorboard --logdir` is given. Made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        self._steps = Steps()

    def start(self, run: str, group: str, parameters: Mapping[str, Any], at_s: float) -> None:
        """A trial has started. TensorBoard takes the runs of a `group` as repeats of each other."""
        self._steps.start(run)
        info = SessionStartInfo(group_name=group, start_time_secs=at_s)
        for name, value in flat_parameters(parameters):
            if isinstance(value, bool):
                info.hparams[name].bool_value = value
            elif isinstance(value, (int, float)):
                info.hparams[name].number_value = value
            else:
                info.hparams[name].string_value = value if isinstance(value, str) else json.dumps(value)
        data = HParamsPluginData(session_start_info=info)
        self._write(run, _session(metadata.SESSION_START_INFO_TAG, data), 0, at_s)

    def metric(self, run: str, kind: str, value: Any, intermediates: int, at_s: float) -> None:
        """A metric: a number is the curve `kind`, others of a dictionary are `kind/name`.

        Args:
            intermediates: How many intermediate ones the trial has reported, this one and perhaps a few more.
        """
        step = self._steps.next(run, intermediates) if kind == "intermediate" else 0
        values = [Summary.Value(tag=tag, simple_value=number) for tag, number in numbers(kind, value)]
        self._write(run, Summary(value=values), step, at_s)

    def end(self, run: str, state: TrialState, at_s: float) -> None:
        """A trial has ended."""
        info = SessionEndInfo(status=STATUS.get(state, api_pb2.STATUS_UNKNOWN), end_time_secs=at_s)
        data = HParamsPluginData(session_end_info=info)
        self._write(run, _session(metadata.SESSION_END_INFO_TAG, data), 0, at_s)
        self._files.pop(run, None)
        self._steps.end(run)

    def _write(self, run: str, summary: Summary, step: int, at_s: float) -> None:
        events = [Event(wall_time=at_s, step=step, summary=summary)]
        if run not in self._files:
            self._files[run] = self._new_file(run)
            events.insert(0, Event(wall_time=at_s, file_version="brain.Event:2"))
        try:
            with self._files[run].open("ab") as file:
                for event in events:
                    RecordWriter(file).write(event.SerializeToString())
        except OSError:
            del self._files[run]  # it may end in half a record, behind which nothing would be read
            raise

    def _new_file(self, run: str) -> Path:
        folder = self._folder / run
        folder.mkdir(parents=True, exist_ok=True)
        unique = f"{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
        return folder / f"events.out.tfevents.{unique}"


def _session(tag: str, data: HParamsPluginData) -> Summary:
    made = metadata.create_summary_metadata(data)
    return Summary(value=[Summary.Value(tag=tag, metadata=made, tensor=metadata.NULL_TENSOR)])
