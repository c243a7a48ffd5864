"""`Tuner`: what custom tuners of NNI derive from."""

from __future__ import annotations

import logging
import os
from typing import Any, Iterable

from nni.common.exception import NoMoreTrialError
from nni.runtime.calling import accepted

__all__ = ["Tuner"]

_log = logging.getLogger(__name__)


class Tuner:
    """Proposes configurations and hears final results, as trials reported them.

    Derive from it, and name the class under `tuner` with `className` and `codeDirectory`.
    """

    _accepts_customized = False
    _checkpoint_path = ""

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        """The search space as the configuration has it; first of all, and when it changes."""
        raise NotImplementedError("Tuner: update_search_space not implemented")

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> Any:
        """A configuration, as a dictionary.

        Raises:
            NoMoreTrialError: There is none, or none before a running trial has ended.
        """
        raise NotImplementedError("Tuner: generate_parameters not implemented")

    def generate_multiple_parameters(self, parameter_id_list: list[int], **kwargs: Any) -> list[Any]:
        """Configurations for several ids; fewer where there are no more."""
        found: list[Any] = []
        extras = accepted(self.generate_parameters, kwargs)
        for parameter_id in parameter_id_list:
            _log.debug("generating parameters for %s", parameter_id)
            try:
                found.append(self.generate_parameters(parameter_id, **extras))
            except NoMoreTrialError:
                break
        return found

    def receive_trial_result(
        self, parameter_id: int, parameters: dict[str, Any], value: Any, **kwargs: Any
    ) -> None:
        """A trial succeeded with `value`: the number or the dictionary that it reported."""
        raise NotImplementedError("Tuner: receive_trial_result not implemented")

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """A trial is over."""

    def import_data(self, data: Iterable[dict[str, Any]]) -> None:
        """Results from elsewhere: `parameter` and `value`, a number, of each."""

    def load_checkpoint(self) -> None:
        """Not called: a resumed experiment calls a new tuner as it called the old one."""

    def save_checkpoint(self) -> None:
        """Not called: see `load_checkpoint`."""

    def get_checkpoint_path(self) -> str | None:
        """A folder of the tuner's own, as long as the experiment lasts; None outside of one."""
        if not self._checkpoint_path:
            return None
        os.makedirs(self._checkpoint_path, mode=0o700, exist_ok=True)
        return self._checkpoint_path

    def _accept_customized_trials(self, accept: bool = True) -> None:
        """Hear of trials, too, that the user added."""
        self._accepts_customized = accept

    @classmethod
    def tune_algorithm(cls) -> type:
        """The kernel's class that runs this one."""
        from tune_nni.tuners import TunerAdapter  # only where experiments are managed

        return TunerAdapter.of(cls)
