"""`MsgDispatcherBase`: what custom advisors of NNI derive from."""

from __future__ import annotations

import logging
from typing import Any

from nni.runtime.protocol import CommandType, send

__all__ = ["MsgDispatcherBase"]

_log = logging.getLogger(__name__)


class MsgDispatcherBase:
    """A whole algorithm: is asked for trials and told of everything, and answers with `send`.

    Derive from it, and name the class under `advisor` with `className` and `codeDirectory`.
    """

    def __init__(self, command_channel_url: str | None = None) -> None:
        """There is no channel: `command_channel_url` is taken and not used."""

    def send(self, command: CommandType, data: Any) -> None:
        """Tell the experiment something; see `nni.runtime.protocol.send`."""
        send(command, data)

    def handle_initialize(self, data: dict[str, Any]) -> None:
        """The search space; answer with `Initialized`."""
        raise NotImplementedError("handle_initialize not implemented")

    def handle_request_trial_jobs(self, data: int) -> None:
        """So many trials are wanted; answer with a `NewTrialJob` each, now or later."""
        raise NotImplementedError("handle_request_trial_jobs not implemented")

    def handle_update_search_space(self, data: dict[str, Any]) -> None:
        """Another search space from now on."""
        raise NotImplementedError("handle_update_search_space not implemented")

    def handle_import_data(self, data: list[dict[str, Any]]) -> None:
        """Results from elsewhere: `parameter` and `value`, a number, of each."""
        _log.warning("%s does not use imported data", type(self).__name__)

    def handle_report_metric_data(self, data: dict[str, Any]) -> None:
        """A result: parameter_id, trial_job_id, type, sequence, and `value` as JSON text."""
        raise NotImplementedError("handle_report_metric_data not implemented")

    def handle_trial_end(self, data: dict[str, Any]) -> None:
        """A trial is over: trial_job_id, event, and `hyper_params` as JSON text."""
        raise NotImplementedError("handle_trial_end not implemented")

    @classmethod
    def tune_algorithm(cls) -> type:
        """The kernel's class that runs this one."""
        from tune_nni.advisors import AdvisorAdapter  # only where experiments are managed

        return AdvisorAdapter.of(cls)
