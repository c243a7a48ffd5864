"""What the engine needs to know, apart from how a configuration file spells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_core.objectives import Objectives
from tune_core.trial import Parameters

__all__ = ["Limits", "Settings"]


@dataclass(frozen=True)
class Limits:
    """What may change while the experiment runs.

    Attributes:
        concurrency: The most trials at once.
        trials: The most trials submitted, of any outcome; None for no limit.
        duration_s: How long trials may be submitted, counted only while a manager runs.
    """

    concurrency: int
    trials: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Settings:
    """What stays as it is for the experiment's life.

    Attributes:
        objectives: What is asked of final results.
        trial_duration_s: An attempt that runs longer is ended as EARLY_STOPPED.
        failed_retries, lost_retries: How often a trial is tried again after it failed by itself,
            and after its machine or process was lost.
        brake_trials, brake_within_s: When this many trials in a row failed within that time of
            their start, the experiment stops submitting. 0 disables.
        platform: What messages call the training service; empty for a trial that is a function.
        intermediate_counts: The last intermediate result of a trial that the assessor stopped
            is given to the algorithm as its final one.
        initial_points: Configurations that are tried before the algorithm is asked for any.
        metrics: What `tune.observe` looks for in the output and files of trials that do not report.
    """

    name: str
    objectives: Objectives
    seed: int
    command: str
    code_directory: Path
    limits: Limits
    gpu_number: int | None = None
    trial_duration_s: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    failed_retries: int = 0
    lost_retries: int = 3
    brake_trials: int = 10
    brake_within_s: float = 5.0
    intermediate_counts: bool = False
    initial_points: tuple[Parameters, ...] = ()
    platform: str = ""
    metrics: Mapping[str, Any] | None = None
