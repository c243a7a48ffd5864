"""Experiments from Python, as in NNI 2 and 3. Needs tune-core, so Python 3.11."""

from nni.runtime.sdk import take_over

take_over()

from tune_nni.experiment import (  # noqa: E402
    Experiment,
    RunMode,
    TrialHyperParameters,
    TrialJob,
    TrialMetricData,
    TrialResult,
)

from nni.experiment.config import (  # noqa: E402
    AlgorithmConfig,
    CustomAlgorithmConfig,
    ExperimentConfig,
    LocalConfig,
    RemoteConfig,
    RemoteMachineConfig,
)

__all__ = [
    "AlgorithmConfig",
    "CustomAlgorithmConfig",
    "Experiment",
    "ExperimentConfig",
    "LocalConfig",
    "RemoteConfig",
    "RemoteMachineConfig",
    "RunMode",
    "TrialHyperParameters",
    "TrialJob",
    "TrialMetricData",
    "TrialResult",
]
