"""The place of `nni.runtime.env_vars` in NNI before 1.9."""

from nni.runtime.env_vars import dispatcher_env_vars, trial_env_vars

__all__ = ["dispatcher_env_vars", "trial_env_vars"]
