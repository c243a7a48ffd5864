"""The examples of Keras, of population based training and of network morphism, with a small budget."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from example_runs import EXAMPLES, Tune, both_forms, budget, command_of, run_example

SMALL = "--images 900 --epochs 1"


def smaller(name: str, config: str, trials: int) -> dict[str, object]:
    return budget(config, trials, f"{command_of(name, config)} {SMALL}")


def in_order(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert {trial["state"] for trial in trials} == {"SUCCEEDED"}
    return sorted(trials, key=lambda trial: int(trial["sequence"]))


@pytest.mark.usefixtures("quick")
@both_forms("mnist-keras")
def test_network_of_keras_learns(tmp_path: Path, tune: Tune, name: str, config: str, through: str) -> None:
    trials = run_example(name, config, tmp_path, tune, through, **smaller(name, config, 2))
    assert len(in_order(trials)) == 2
    for trial in trials:
        assert trial["intermediates"] == 1
        assert trial["metric"]["default"] == trial["last_value"]
        assert trial["metric"]["test"] == pytest.approx(
            trial["value"], abs=0.15
        )  # of 150 images, and of others


@pytest.mark.usefixtures("quick")
@both_forms("mnist-pbt")
def test_population_goes_on_from_its_checkpoints(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    tuner = yaml.safe_load((EXAMPLES / name / config).read_text(encoding="utf-8"))["tuner"]
    tuner["classArgs"].update(population_size=2, seed=3)
    changes = {**smaller(name, config, 4), "tuner": tuner, "trialConcurrency": 1}
    trials = in_order(run_example(name, config, tmp_path, tune, through, **changes))
    first, second = trials[:2], trials[2:]
    saved = {trial["parameters"]["save_checkpoint_dir"] for trial in first}
    assert {trial["parameters"]["load_checkpoint_dir"] for trial in second} <= saved
    assert max(trial["value"] for trial in second) > max(trial["value"] for trial in first)


def test_checkpoint_keeps_what_was_learnt_but_not_the_parameters(tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLES / "mnist-pbt" / "train.py"))
    torch.manual_seed(0)
    before, after = example["build"](), example["build"]()
    first = torch.optim.SGD(before.parameters(), lr=0.1, momentum=0.5)
    before(torch.randn(4, 1, 28, 28)).square().sum().backward()
    first.step()
    torch.save({"network": before.state_dict(), "optimizer": first.state_dict()}, tmp_path / "state.pt")

    second = torch.optim.SGD(after.parameters(), lr=0.02, momentum=0.9)
    example["restore"](tmp_path, after, second)
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(old, new)
        assert torch.equal(first.state[old]["momentum_buffer"], second.state[new]["momentum_buffer"])
    (group,) = second.param_groups
    assert (group["lr"], group["momentum"]) == (0.02, 0.9)


@pytest.mark.usefixtures("quick")
@both_forms("mnist-networkmorphism")
def test_networks_grow_out_of_those_before(
    tmp_path: Path, tune: Tune, name: str, config: str, through: str
) -> None:
    changes = {**smaller(name, config, 2), "trialConcurrency": 1}
    trials = in_order(run_example(name, config, tmp_path, tune, through, **changes))
    first, second = [tune("log", "trial", trial["id"]).stdout for trial in trials]
    assert first.startswith("conv3-16 pool conv3-16 pool conv3-16 pool mean dense16 dense10, ")
    assert first.endswith(", from random weights\n")
    assert second.startswith(trials[1]["parameters"]["network"])
    assert second.endswith(", from trial 0\n")
