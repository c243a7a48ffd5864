"""Every argument that NNI's algorithms took is taken, under NNI's names and with NNI's defaults."""

from __future__ import annotations

from typing import Any

import pytest

from tune_core.config import AlgorithmConfig, choose
from tune_core.plugins import plugins

# Name as in NNI, and what NNI's validators accepted; version 1 first where the versions differ.
TUNERS: list[tuple[str, dict[str, Any]]] = [
    ("TPE", {"optimize_mode": "maximize"}),
    ("TPE", {"optimize_mode": "minimize", "parallel_optimize": True, "constant_liar_type": "min"}),
    ("TPE", {"parallel_optimize": False, "constant_liar_type": "mean"}),
    (
        "TPE",
        {
            "optimize_mode": "minimize",
            "seed": 12345,
            "tpe_args": {
                "constant_liar_type": "best",
                "n_startup_jobs": 20,
                "n_ei_candidates": 24,
                "linear_forgetting": 25,
                "prior_weight": 1.0,
                "gamma": 0.25,
            },
        },
    ),
    ("TPE", {"tpe_args": {"constant_liar_type": None}}),
    ("Random", {}),
    ("Random", {"seed": 100, "optimize_mode": "maximize"}),
    ("Anneal", {"optimize_mode": "maximize"}),
    ("Anneal", {"optimize_mode": "minimize", "parallel_optimize": True, "constant_liar_type": "max"}),
    ("Evolution", {"optimize_mode": "maximize", "population_size": 100}),
    ("SMAC", {"optimize_mode": "maximize", "config_dedup": False}),
    ("Batch", {}),
    ("BatchTuner", {}),
    ("GridSearch", {}),
    ("GridSearch", {"optimize_mode": "maximize"}),
    (
        "NetworkMorphism",
        {
            "optimize_mode": "maximize",
            "task": "cv",
            "input_width": 32,
            "input_channel": 3,
            "n_output_node": 10,
        },
    ),
    (
        "Metis",
        {
            "optimize_mode": "maximize",
            "no_resampling": True,
            "no_candidates": False,
            "selection_num_starting_points": 600,
            "cold_start_num": 10,
            "exploration_probability": 0.9,
        },
    ),
    ("MetisTuner", {}),
    (
        "GP",
        {
            "optimize_mode": "maximize",
            "utility": "ei",
            "kappa": 5.0,
            "xi": 0.0,
            "nu": 2.5,
            "alpha": 1e-6,
            "cold_start_num": 10,
            "selection_num_warm_up": 100000,
            "selection_num_starting_points": 250,
        },
    ),
    ("GP", {"kappa": 5, "xi": 0}),
    ("GPTuner", {}),
    (
        "PBT",
        {
            "optimize_mode": "maximize",
            "all_checkpoint_dir": "/tmp/checkpoints",
            "population_size": 10,
            "factor": 0.2,
            "resample_probability": 0.25,
            "fraction": 0.2,
        },
    ),
    ("PBT", {"factors": [1.2, 0.8]}),
    ("PBTTuner", {}),
    (
        "PPO",
        {
            "optimize_mode": "maximize",
            "trials_per_update": 20,
            "epochs_per_update": 4,
            "minibatch_size": 4,
            "ent_coef": 0.0,
            "lr": 3e-4,
            "vf_coef": 0.5,
            "max_grad_norm": 0.5,
            "gamma": 0.99,
            "lam": 0.95,
            "cliprange": 0.2,
        },
    ),
    ("PPOTuner", {"optimize_mode": "maximize"}),
    ("RegularizedEvolutionTuner", {"optimize_mode": "maximize", "population_size": 100, "sample_size": 25}),
    (
        "DNGO",
        {
            "optimize_mode": "maximize",
            "sample_size": 1000,
            "trials_per_update": 20,
            "num_epochs_per_training": 500,
        },
    ),
    ("DNGOTuner", {}),
    ("Hyperband", {"optimize_mode": "maximize", "R": 60, "eta": 3}),
    ("Hyperband", {"R": 60, "eta": 3, "exec_mode": "serial"}),
    (
        "BOHB",
        {
            "optimize_mode": "maximize",
            "min_budget": 1,
            "max_budget": 27,
            "eta": 3,
            "min_points_in_model": 7,
            "top_n_percent": 15,
            "num_samples": 64,
            "random_fraction": 0.33,
            "bandwidth_factor": 3.0,
            "min_bandwidth": 0.001,
        },
    ),
    ("BOHB", {"bandwidth_factor": 3}),
]
ASSESSORS: list[tuple[str, dict[str, Any]]] = [
    ("Medianstop", {"optimize_mode": "maximize", "start_step": 5}),
    ("Curvefitting", {"epoch_num": 20, "start_step": 6, "threshold": 0.95, "gap": 1}),
    ("Curvefitting", {"epoch_num": 20, "optimize_mode": "maximize"}),
]


@pytest.mark.parametrize(("name", "arguments"), TUNERS)
def test_arguments_of_a_tuner_are_taken(name: str, arguments: dict[str, Any]) -> None:
    choice = choose("tuner", AlgorithmConfig(name=name, class_args=arguments))
    choice.make()
    if "optimize_mode" in arguments:
        assert choice.optimize_mode == arguments["optimize_mode"]


@pytest.mark.parametrize(("name", "arguments"), ASSESSORS)
def test_arguments_of_an_assessor_are_taken(name: str, arguments: dict[str, Any]) -> None:
    choose("assessor", AlgorithmConfig(name=name, class_args=arguments)).make()


DEFAULTS = {
    "Evolution": {"population_size": 32},
    "Metis": {"no_resampling": True, "no_candidates": False, "selection_num_starting_points": 600},
    "GP": {"utility": "ei", "kappa": 5.0, "xi": 0.0, "nu": 2.5, "alpha": 1e-6},
    "PBT": {"population_size": 10, "factor": 0.2, "resample_probability": 0.25, "fraction": 0.2},
    "PPO": {
        "trials_per_update": 20,
        "epochs_per_update": 4,
        "minibatch_size": 4,
        "cliprange": 0.2,
        "lam": 0.95,
    },
    "RegularizedEvolution": {"population_size": 100, "sample_size": 25},
    "DNGO": {"sample_size": 1000, "trials_per_update": 20, "num_epochs_per_training": 500},
    "Hyperband": {"R": 60, "eta": 3, "exec_mode": "parallelism"},
    "BOHB": {"min_budget": 1, "max_budget": 3, "eta": 3, "top_n_percent": 15, "num_samples": 64},
    "NetworkMorphism": {"task": "cv", "input_width": 32, "input_channel": 3, "n_output_node": 10},
    "SMAC": {"config_dedup": False},
}


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_defaults_are_those_of_nni(name: str) -> None:
    model = plugins().find("tuner", name).load().Arguments
    assert {key: model.model_fields[key].default for key in DEFAULTS[name]} == DEFAULTS[name]
