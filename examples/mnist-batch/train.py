"""Train a small network on MNIST with one of several optimizers.

Run alone it takes the defaults below; in an experiment `tune.get_next_parameter` gives one of the
configurations that `search_space.json` lists.
"""

import argparse

import torch
from mnist_data import load
from mnist_data.training import accuracies
from torch import nn

import tune

DEFAULTS = {"optimizer": "Adam", "learning_rate": 0.001}


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=12000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    params = tune.get_next_parameter() or DEFAULTS
    torch.manual_seed(0)
    network = build()
    options = {"momentum": params["momentum"]} if "momentum" in params else {}
    optimizer = getattr(torch.optim, params["optimizer"])(
        network.parameters(), lr=params["learning_rate"], **options
    )
    for accuracy in accuracies(network, optimizer, load(args.images), args.epochs):
        tune.report_intermediate_result(accuracy)
    tune.report_final_result(accuracy)


if __name__ == "__main__":
    main()
