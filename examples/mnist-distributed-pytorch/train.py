"""Train a convolutional network on MNIST in several processes, with PyTorch's DistributedDataParallel.

Every process runs this script and finds its place in MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE, as
torchrun and Kubeflow's pytorch-operator set them. Each has its own share of every batch. Gradients are
averaged, so that all have the same weights after each step. The first one reports to tune.
"""

import argparse

import torch
import torch.distributed as dist
from mnist_data import load
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import tune

DEFAULTS = {"learning_rate": 0.05, "momentum": 0.9, "batch_size": 64, "hidden_size": 64}


def convolution(channels, filters):
    return nn.Conv2d(channels, filters, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(2)


def build(hidden_size):
    """Pixels (n, 1, 28, 28) to logits (n, 10)."""
    dense = nn.Linear(7 * 7 * 16, hidden_size), nn.ReLU(), nn.Linear(hidden_size, 10)
    return nn.Sequential(*convolution(1, 8), *convolution(8, 16), nn.Flatten(), *dense)


def dataset(images, digits):
    return TensorDataset(torch.from_numpy(images)[:, None], torch.from_numpy(digits))


def train_epoch(network, batches, optimizer):
    network.train()
    for images, digits in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), digits).backward()  # averages gradients over all
        optimizer.step()


@torch.no_grad()
def accuracy(network, images, group):
    """Each process reads its share of the images; what they count together is the same for all."""
    network.eval()
    mine = range(dist.get_rank(), len(images), dist.get_world_size())
    right = sum(
        (network.module(pixels).argmax(dim=1) == digits).sum()
        for pixels, digits in DataLoader(images, batch_size=500, sampler=mine)
    )
    dist.all_reduce(right, group=group)
    return right.item() / len(images)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=24000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    params = {**DEFAULTS, **tune.get_next_parameter()}

    dist.init_process_group("gloo")
    # The threads of the network's group live on until Python ends. One that still held a tensor of Python
    # then would abort the process; those of this group have ended when main() has.
    counting = dist.new_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    data = load(args.images)
    held_out = len(data.x_train) // 6
    train = dataset(data.x_train[held_out:], data.y_train[held_out:])
    validation = dataset(data.x_train[:held_out], data.y_train[:held_out])
    test = dataset(data.x_test, data.y_test)
    share = DistributedSampler(train)  # other images in each process
    batches = DataLoader(train, batch_size=params["batch_size"] // size, sampler=share)
    torch.manual_seed(0)
    network = DistributedDataParallel(build(params["hidden_size"]))
    optimizer = torch.optim.SGD(network.parameters(), params["learning_rate"], params["momentum"])

    for epoch in range(args.epochs):
        share.set_epoch(epoch)  # or all epochs have the same order
        train_epoch(network, batches, optimizer)
        result = accuracy(network, validation, counting)
        if rank == 0:
            tune.report_intermediate_result(result)
    test_result = accuracy(network, test, counting)
    if rank == 0:
        tune.report_final_result({"default": result, "test": test_result})

    first, weights = next(iter(share)), sum(each.double().sum() for each in network.parameters())
    print(
        f"rank {rank} of {size}: {len(share)} images, {first} first; accuracy {result}; weights {weights}\n",
        end="",
    )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
