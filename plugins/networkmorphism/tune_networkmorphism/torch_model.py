"""A graph as a `torch.nn.Module`."""

from __future__ import annotations

import torch
from torch import nn

from tune_networkmorphism.graph import INPUT, Graph, GraphError, Layer
from tune_networkmorphism.weights import EPS

__all__ = ["Network"]


class Network(nn.Module):
    """Computes what a graph describes; the names of its weights come from the ids of layers.

    Attributes:
        graph: What it was made from.
        origin: Where its weights come from, in words.
    """

    origin = "random weights"

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        made = {
            str(number): _module(layer, graph.shapes[layer.inputs[0]])
            for number, layer in graph.layers.items()
        }
        self.layers = nn.ModuleDict({name: module for name, module in made.items() if module is not None})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the last layer gives, shape (n, units).

        Args:
            x: Shape (n, channels, height, width), or (n, features).

        Raises:
            GraphError: It has another shape.
        """
        if tuple(x.shape[1:]) != self.graph.input_shape:
            wanted = ", ".join(map(str, self.graph.input_shape))
            raise GraphError(f"this network reads (n, {wanted}), not {tuple(x.shape)}")
        values = {INPUT: x}
        for number, layer in self.graph.layers.items():
            read = [values[each] for each in layer.inputs]
            if layer.kind == "add":
                values[number] = torch.stack(read).sum(dim=0) if len(read) > 2 else read[0] + read[-1]
            elif layer.kind == "concat":
                values[number] = torch.cat(read, dim=1)
            elif layer.kind == "global_pool":
                values[number] = read[0].mean(dim=(2, 3))
            else:
                values[number] = self.layers[str(number)](read[0])
        return values[self.graph.output]


def _module(layer: Layer, reads: tuple[int, ...]) -> nn.Module | None:
    """None for what has nothing to keep."""
    match layer.kind:
        case "conv":
            return nn.Conv2d(reads[0], layer.units, layer.kernel, padding=layer.kernel // 2)
        case "batch_norm":
            return nn.BatchNorm2d(reads[0], eps=EPS) if len(reads) == 3 else nn.BatchNorm1d(reads[0], eps=EPS)
        case "relu":
            return nn.ReLU()
        case "max_pool":
            return nn.MaxPool2d(2)
        case "dropout":
            return nn.Dropout(layer.rate)
        case "dense":
            return nn.Linear(reads[0], layer.units)
    return None
