"""Train a convolutional network on MNIST: two convolutions, two poolings, one dense layer.

It knows nothing of `tune`: strings say what may vary and what to report, and do nothing when it runs alone.
Configurations are compared on training images that are held out; the test images are for the end.
"""

import argparse

import torch
from mnist_data import load
from torch import nn
from torch.nn.functional import cross_entropy


def build():
    """@nni.variable(nni.choice(2, 3, 5, 7), name=conv_size)"""
    conv_size = 5
    """@nni.variable(nni.choice(64, 128, 256, 512), name=hidden_size)"""
    hidden_size = 128
    """@nni.variable(nni.uniform(0, 0.5), name=dropout_rate)"""
    dropout_rate = 0.25
    return nn.Sequential(
        nn.Conv2d(1, 10, conv_size, padding=conv_size // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(10, 20, conv_size, padding=conv_size // 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(20 * 7 * 7, hidden_size),
        nn.ReLU(),
        nn.Dropout(dropout_rate),
        nn.Linear(hidden_size, 10),
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
    torch.manual_seed(0)

    x, y, x_test, y_test = map(torch.from_numpy, load(args.images)[1:])
    x, x_test = x[:, None], x_test[:, None]  # (n, 1, 28, 28): one channel
    held_out = len(x) // 6
    network = build()
    """@nni.variable(nni.loguniform(0.0001, 0.1), name=learning_rate)"""
    learning_rate = 0.001
    """@nni.variable(nni.choice(32, 64, 128), name=batch_size)"""
    batch_size = 64
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    for epoch in range(args.epochs):
        train(network, optimizer, x[held_out:], y[held_out:], batch_size)
        validation = accuracy(network, x[:held_out], y[:held_out])
        print(f"epoch {epoch}: {validation:.4f} on what is held out")
        """@nni.report_intermediate_result(validation)"""
    test = accuracy(network, x_test, y_test)
    print(f"{test:.4f} on the test images")
    """@nni.report_final_result({"default": validation, "test": test})"""


if __name__ == "__main__":
    main()
