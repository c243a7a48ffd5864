"""Train a convolutional network on MNIST: two convolutions, two poolings, one dense layer.

Run alone it takes the defaults below; in an experiment `tune.get_next_parameter` replaces them.
Configurations are compared on training images that are held out; the test images are for the end.
"""

import argparse

import torch
from mnist_data import load
from torch import nn
from torch.nn.functional import cross_entropy

import tune

DEFAULTS = {
    "conv_size": 5,
    "hidden_size": 128,
    "dropout_rate": 0.25,
    "learning_rate": 0.001,
    "batch_size": 64,
}


def build(params):
    conv_size = params["conv_size"]
    return nn.Sequential(
        nn.Conv2d(1, 10, conv_size, padding=conv_size // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(10, 20, conv_size, padding=conv_size // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(20 * 7 * 7, params["hidden_size"]),
        nn.ReLU(),
        nn.Dropout(params["dropout_rate"]),
        nn.Linear(params["hidden_size"], 10),
    )


def train(network, optimizer, images, digits, batch_size):
    network.train()
    for batch in torch.randperm(len(images)).split(batch_size):
        loss = cross_entropy(network(images[batch]), digits[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def accuracy(network, images, digits):
    network.eval()
    with torch.no_grad():
        read = torch.cat([network(some).argmax(1) for some in images.split(1000)])
    return (read == digits).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=24000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    params = {**DEFAULTS, **tune.get_next_parameter()}
    torch.manual_seed(0)

    x, y, x_test, y_test = map(torch.from_numpy, load(args.images)[1:])
    x, x_test = x[:, None], x_test[:, None]  # (n, 1, 28, 28): one channel
    held_out = len(x) // 6
    network = build(params)
    optimizer = torch.optim.Adam(network.parameters(), params["learning_rate"])
    for _ in range(args.epochs):
        train(network, optimizer, x[held_out:], y[held_out:], params["batch_size"])
        validation = accuracy(network, x[:held_out], y[:held_out])
        tune.report_intermediate_result(validation)
    tune.report_final_result({"default": validation, "test": accuracy(network, x_test, y_test)})


if __name__ == "__main__":
    main()
