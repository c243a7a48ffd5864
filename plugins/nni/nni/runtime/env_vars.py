"""The environment's variables as attributes: `trial_env_vars.NNI_TRIAL_JOB_ID`."""

from __future__ import annotations

import os

__all__ = ["dispatcher_env_vars", "trial_env_vars"]


class _Variables:
    def __init__(self, *names: str) -> None:
        self._names = names

    def __getattr__(self, name: str) -> str | None:
        """What a variable is now; None where it is not set, as in a script that runs alone."""
        if name in self._names:
            return os.environ.get(name)
        raise AttributeError(f"there is no variable {name}, but {', '.join(self._names)}")


trial_env_vars = _Variables(
    *("NNI_PLATFORM", "NNI_EXP_ID", "NNI_TRIAL_JOB_ID", "NNI_TRIAL_SEQ_ID", "NNI_SYS_DIR", "NNI_OUTPUT_DIR"),
    *("NNI_CODE_DIR", "MULTI_PHASE", "REUSE_MODE"),
)
# None of them is set: a tuner is no process of its own.
dispatcher_env_vars = _Variables(
    *("SDK_PROCESS", "NNI_MODE", "NNI_CHECKPOINT_DIRECTORY", "NNI_LOG_DIRECTORY", "NNI_LOG_LEVEL"),
    "NNI_INCLUDE_INTERMEDIATE_RESULTS",
)
