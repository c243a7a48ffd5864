"""Train a convolutional network on MNIST for an epoch, from a checkpoint on.

A trial is one epoch of one member of a population. PBT says with which parameters, from which checkpoint, and
where to save the next. Run alone, the script trains an epoch from random weights and saves to ./checkpoint.
"""

import argparse
from pathlib import Path

import torch
from mnist_data import load
from mnist_data.training import accuracies
from torch import nn

import tune

DEFAULTS = {
    "learning_rate": 0.01,
    "momentum": 0.9,
    "batch_size": 64,
    "load_checkpoint_dir": "",
    "save_checkpoint_dir": "checkpoint",
}


def build():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(8 * 6 * 6, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def restore(folder, network, optimizer):
    """Go on where a checkpoint ends: with its weights and velocities, and the parameters of this trial."""
    saved = torch.load(folder / "state.pt", weights_only=True)
    network.load_state_dict(saved["network"])
    for group in saved["optimizer"]["param_groups"]:
        group.update(optimizer.defaults)
    optimizer.load_state_dict(saved["optimizer"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=12000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    params = {**DEFAULTS, **tune.get_next_parameter()}
    torch.manual_seed(tune.get_sequence_id())

    network = build()
    optimizer = torch.optim.SGD(network.parameters(), params["learning_rate"], params["momentum"])
    checkpoint = Path(params["load_checkpoint_dir"])
    if (checkpoint / "state.pt").exists():  # not in a member's first epoch
        restore(checkpoint, network, optimizer)

    for accuracy in accuracies(network, optimizer, load(args.images), args.epochs, params["batch_size"]):
        tune.report_intermediate_result(accuracy)
    folder = Path(params["save_checkpoint_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, folder / "state.pt")
    tune.report_final_result(accuracy)


if __name__ == "__main__":
    main()
