"""NNI's variables, for code that reads them."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from typing import Mapping

__all__ = ["announce", "variables"]


def variables(ours: Mapping[str, str]) -> dict[str, str]:
    """NNI's variables of a trial, from those that tune gave it; none outside of an experiment.

    `NNI_SYS_DIR` is the output folder too: nothing is controlled through files of NNI's.
    """
    if "TUNE_PLATFORM" not in ours:
        return {}
    output = ours.get("TUNE_OUTPUT_DIR", "")
    return {
        "NNI_PLATFORM": ours["TUNE_PLATFORM"],
        "NNI_EXP_ID": ours.get("TUNE_EXPERIMENT_ID", ""),
        "NNI_TRIAL_JOB_ID": ours.get("TUNE_TRIAL_ID", ""),
        "NNI_TRIAL_SEQ_ID": ours.get("TUNE_TRIAL_SEQUENCE", "0"),
        "NNI_OUTPUT_DIR": output,
        "NNI_SYS_DIR": output,
        "NNI_CODE_DIR": ours.get("TUNE_CODE_DIR", ""),
        "MULTI_PHASE": "false",
        "REUSE_MODE": "false",
    }


def announce() -> None:
    """Put them into this process' environment, from where its children have them too."""
    os.environ.update(variables(os.environ))
