"""The configuration of an experiment: its model, reading it from a file, checking it."""

from __future__ import annotations

from tune_core.config.algorithm import Choice, choose, instantiate
from tune_core.config.checking import ConfigModel, check
from tune_core.config.load import load_config, verify
from tune_core.config.model import AlgorithmConfig, ExperimentConfig, FailureBrake, ServiceConfig, TrialRetry
from tune_core.config.problems import Place, Problem
from tune_core.config.values import Directory, Duration, FilePath, Indices, Secret, Size, expand_references

__all__ = [
    "AlgorithmConfig",
    "Choice",
    "ConfigModel",
    "Directory",
    "Duration",
    "ExperimentConfig",
    "FailureBrake",
    "FilePath",
    "Indices",
    "Place",
    "Problem",
    "Secret",
    "ServiceConfig",
    "Size",
    "TrialRetry",
    "check",
    "choose",
    "expand_references",
    "instantiate",
    "load_config",
    "verify",
]
