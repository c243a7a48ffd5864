"""Train a network on MNIST whose layers are parameters: what each is, and what belongs to that.

Run alone it takes the defaults below; in an experiment `tune.get_next_parameter` replaces them. Of a layer,
only the parameters of what was chosen are there.
"""

import argparse

import torch
from mnist_data import load
from mnist_data.training import accuracies
from torch import nn

import tune

DEFAULTS = {
    "layer0": {"_name": "Conv", "channels": 8, "kernel_size": 5},
    "layer1": {"_name": "Max_pool", "pooling_size": 2},
    "layer2": {"_name": "Empty"},
    "layer3": {"_name": "Avg_pool", "pooling_size": 2},
    "learning_rate": 0.003,
}
LAYERS = ("layer0", "layer1", "layer2", "layer3")


def build(params):
    layers, channels = [], 1
    for layer in (params[name] for name in LAYERS):
        if layer["_name"] == "Conv":
            size = layer["kernel_size"]
            layers += [nn.Conv2d(channels, layer["channels"], size, padding=size // 2), nn.ReLU()]
            channels = layer["channels"]
        elif layer["_name"] == "Max_pool":
            layers.append(nn.MaxPool2d(layer["pooling_size"]))
        elif layer["_name"] == "Avg_pool":
            layers.append(nn.AvgPool2d(layer["pooling_size"]))
    features = nn.Sequential(*layers, nn.Flatten())
    width = features(torch.zeros(1, 1, 28, 28)).shape[1]
    return nn.Sequential(features, nn.Linear(width, 10))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=12000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    params = {**DEFAULTS, **tune.get_next_parameter()}
    torch.manual_seed(0)
    network = build(params)
    optimizer = torch.optim.Adam(network.parameters(), params["learning_rate"])
    for accuracy in accuracies(network, optimizer, load(args.images), args.epochs):
        tune.report_intermediate_result(accuracy)
    tune.report_final_result(accuracy)


if __name__ == "__main__":
    main()
