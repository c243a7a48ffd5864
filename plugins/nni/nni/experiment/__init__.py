"""Experiments from Python, as in NNI 2 and 3. Needs tune-core, so Python 3.11."""

from tune_nni.experiment import (
    Experiment,
    RunMode,
    TrialHyperParameters,
    TrialJob,
    TrialMetricData,
    TrialResult,
)

from nni.experiment.config import (
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
