"""The options of the local service."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tune_core.config.checking import ConfigModel
from tune_core.config.values import Indices

__all__ = ["LocalConfig"]


class LocalConfig(ConfigModel):
    """`trainingService` with `platform: local`."""

    platform: str = Field("local", description="`local`.")
    use_active_gpu: bool | None = Field(
        None, description="Also take GPUs that other programs compute on; false when unset."
    )
    max_trial_number_per_gpu: Annotated[int, Field(ge=1)] = Field(
        1, description="The most trials of this experiment that share one GPU."
    )
    gpu_indices: Indices | None = Field(
        None, description='The GPUs that trials may use: `0`, `[0, 1]` or `"0,1"`; all when unset.'
    )
    reuse_mode: bool | None = Field(None, description="NNI's; has no effect here. See `warm`.")
    warm: bool = Field(
        False, description="Fork Python trials from a process that has imported what they import."
    )
    kill_grace: Annotated[float, Field(ge=0)] = Field(
        10, description="Seconds between SIGTERM and SIGKILL when a trial is ended."
    )
    output_limit: Annotated[int, Field(ge=1)] = Field(
        50, description="MiB kept of a trial's standard output, and of its standard error: head and tail."
    )
