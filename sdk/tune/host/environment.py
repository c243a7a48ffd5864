"""What a trial finds in its environment. The only place that says so, for every platform."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Mapping

__all__ = ["trial_environment"]

# What commands that were written for NNI name. NNI_PLATFORM is not among them: Microsoft's nni would take it
# for a manager of its own, and write its reports where nobody reads them.
NAMES_IN_NNI = {
    "NNI_EXP_ID": "TUNE_EXPERIMENT_ID",
    "NNI_TRIAL_JOB_ID": "TUNE_TRIAL_ID",
    "NNI_TRIAL_SEQ_ID": "TUNE_TRIAL_SEQUENCE",
    "NNI_OUTPUT_DIR": "TUNE_OUTPUT_DIR",
    "NNI_CODE_DIR": "TUNE_CODE_DIR",
}

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # of the package


def trial_environment(
    *,
    platform: str,
    experiment_id: str,
    trial_id: str,
    attempt: int,
    sequence: int,
    channel: str,
    output_dir: str,
    checkpoint_dir: str,
    code_dir: str,
    parameters: Mapping[str, Any] | None = None,
    parameter_file: str | None = None,
    here: bool = False,
) -> dict[str, str]:
    """The variables of one attempt, to be added to those of the platform and of the user.

    `channel` is `file:/path` or `stdout:token`, see `tune.channel`. The parameters are handed over in
    the environment itself, or in a JSON file that the trial can read. `here` says that the trial runs
    where this process does, and may use its Python and its `tune`.
    """
    if (parameters is None) == (parameter_file is None):
        raise ValueError("give either the parameters or a file with them")
    variables = {
        "TUNE_PLATFORM": platform,
        "TUNE_EXPERIMENT_ID": experiment_id,
        "TUNE_TRIAL_ID": trial_id,
        "TUNE_TRIAL_ATTEMPT": str(attempt),
        "TUNE_TRIAL_SEQUENCE": str(sequence),
        "TUNE_CHANNEL": channel,
        "TUNE_OUTPUT_DIR": output_dir,
        "TUNE_CHECKPOINT_DIR": checkpoint_dir,
        "TUNE_CODE_DIR": code_dir,
    }
    variables.update({name: variables[ours] for name, ours in NAMES_IN_NNI.items()})
    if here:
        variables["TUNE_PYTHON"] = sys.executable
        variables["TUNE_SDK"] = HOME
    if channel.startswith("file:"):
        variables["TUNE_CHANNEL_FILE"] = channel[len("file:") :]
    if parameter_file is not None:
        variables["TUNE_PARAMETER_FILE"] = parameter_file
    else:
        variables["TUNE_PARAMETERS"] = json.dumps(parameters)
    return variables
