"""How a network of PyTorch is trained and measured, for examples that are about something else."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mnist_data import Data

__all__ = ["accuracies"]


def accuracies(
    network: nn.Module, optimizer: torch.optim.Optimizer, data: Data, epochs: int, batch_size: int = 64
) -> Iterator[float]:
    """Train for so many epochs; yields after each the share of test images that the network reads right."""
    x_train, y_train, x_test, y_test = map(torch.from_numpy, data[1:])
    x_train, x_test = x_train[:, None], x_test[:, None]  # (n, 1, 28, 28): one channel
    for _ in range(epochs):
        network.train()
        for batch in torch.randperm(len(x_train)).split(batch_size):
            loss = cross_entropy(network(x_train[batch]), y_train[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            read = torch.cat([network(images).argmax(1) for images in x_test.split(1000)])
        yield (read == y_test).float().mean().item()
