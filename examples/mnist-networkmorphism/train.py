"""Train the network that NetworkMorphism sends, on MNIST.

It begins with the weights of its parent, from the checkpoint of that trial, and saves its own for its
children. The network comes from the experiment, so the script does not run alone.
"""

import argparse

import torch
from mnist_data import load
from mnist_data.training import accuracies
from tune_networkmorphism import trial

import tune


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=6000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)

    params = tune.get_next_parameter()
    network = trial.load(params)  # a torch.nn.Module
    print(f"{params['network']}, from {network.origin}")
    optimizer = torch.optim.Adam(network.parameters())
    for accuracy in accuracies(network, optimizer, load(args.images), args.epochs):
        trial.save(network)
        tune.report_intermediate_result(accuracy)
    tune.report_final_result(accuracy)


if __name__ == "__main__":
    main()
