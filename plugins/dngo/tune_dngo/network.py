"""The network whose hidden layers are the basis of the regression.

Torch is what trains it; afterwards its weights are plain arrays, so that proposals need numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from tune_gp.embedding import Floats

from tune_core.algorithms.threads import one_thread

__all__ = ["Basis", "train"]

_WIDTHS = (50, 50, 50)  # of the hidden layers, as in section 4 of Snoek et al. (2015)
_LEARNING_RATE = 0.01
_DECAY = 1e-4  # of weights
_LEAST_BATCH = 10
_MOST_STEPS = 5  # in an epoch: of more results each step takes more


@dataclass(frozen=True)
class Basis:
    """Functions of the inputs, to be weighed by a regression.

    Attributes:
        layers: Weights of shape (inputs, outputs) and biases of shape (outputs,) of each hidden layer.
    """

    layers: tuple[tuple[Floats, Floats], ...]

    def __call__(self, inputs: Floats) -> Floats:
        """Shape (n, inputs) to (n, functions).

        Those of all hidden layers: the last alone bends too little between two trainings to follow the
        results that come in. Beside them a constant, the inputs and their squares: the quadratic mean of
        section 3.2 of Snoek et al. (2015), without which the search runs into the corners.
        """
        functions = []
        x = inputs
        for weight, bias in self.layers:
            x = np.tanh(x @ weight + bias)
            functions.append(x)
        return np.concatenate([*functions, np.ones((len(x), 1)), inputs, inputs**2], axis=1)


def train(
    inputs: Floats,
    targets: Floats,
    epochs: int,
    rng: np.random.Generator,
    wanted: Callable[[], bool] = lambda: True,
) -> Basis | None:
    """Fit a network to all results, and keep all but its last layer.

    It begins anew each time, so that it depends on the results and on `rng` alone.

    Args:
        inputs: Shape (n, inputs).
        targets: Standardised results, shape (n,).
        wanted: Asked before each epoch; the answer is None once it says no.
    """
    with one_thread():
        layers = [_layer(rng, *shape) for shape in _shapes(inputs.shape[1])]
        parameters = [tensor for layer in layers for tensor in layer]
        optimiser = torch.optim.Adam(parameters, lr=_LEARNING_RATE, weight_decay=_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs)
        x, y = torch.from_numpy(inputs.copy()), torch.from_numpy(targets.copy())
        for _ in range(epochs):
            if not wanted():
                return None
            for batch in _batches(len(y), rng):
                optimiser.zero_grad()
                loss = ((_output(layers, x[batch]) - y[batch]) ** 2).mean()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            schedule.step()
    return Basis(tuple((weight.detach().numpy(), bias.detach().numpy()) for weight, bias in layers[:-1]))


def _shapes(inputs: int) -> list[tuple[int, int]]:
    widths = (inputs, *_WIDTHS, 1)
    return list(pairwise(widths))


def _layer(rng: np.random.Generator, inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
    """Drawn by our own generator: torch's belongs to whoever else is in the process.

    Glorot, X. and Bengio, Y. (2010). Understanding the difficulty of training deep feedforward neural
    networks. https://proceedings.mlr.press/v9/glorot10a.html
    """
    bound = np.sqrt(6.0 / (inputs + outputs))
    weight = torch.from_numpy(rng.uniform(-bound, bound, (inputs, outputs)))
    bias = torch.zeros(outputs, dtype=torch.float64)
    return weight.requires_grad_(), bias.requires_grad_()


def _output(layers: list[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    for weight, bias in layers[:-1]:
        x = torch.tanh(x @ weight + bias)
    weight, bias = layers[-1]
    return (x @ weight + bias).squeeze(1)


def _batches(n: int, rng: np.random.Generator) -> Iterator[Tensor]:
    order = torch.from_numpy(rng.permutation(n))
    count = max(1, min(_MOST_STEPS, n // _LEAST_BATCH))
    yield from torch.tensor_split(order, count)
