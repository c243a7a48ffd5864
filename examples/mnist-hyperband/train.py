"""Train a small network on MNIST for as many epochs as Hyperband grants.

The budget of a trial is among its parameters: `TRIAL_BUDGET`, or `STEPS` as the first NNI called it. Run
alone it takes the defaults below.
"""

import argparse

import torch
from mnist_data import load
from mnist_data.training import accuracies
from torch import nn

import tune

DEFAULTS = {"hidden_size": 64, "dropout_rate": 0.25, "learning_rate": 0.001, "batch_size": 64}


def build(params):
    return nn.Sequential(
        nn.Conv2d(1, 8, 5),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(8 * 6 * 6, params["hidden_size"]),
        nn.ReLU(),
        nn.Dropout(params["dropout_rate"]),
        nn.Linear(params["hidden_size"], 10),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=12000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=9, help="without a budget")
    args = parser.parse_args()
    params = {**DEFAULTS, **tune.get_next_parameter()}
    epochs = params.get("TRIAL_BUDGET", params.get("STEPS", args.epochs))
    torch.manual_seed(0)
    network = build(params)
    optimizer = torch.optim.Adam(network.parameters(), params["learning_rate"])
    for accuracy in accuracies(network, optimizer, load(args.images), epochs, params["batch_size"]):
        tune.report_intermediate_result(accuracy)
    tune.report_final_result(accuracy)


if __name__ == "__main__":
    main()
