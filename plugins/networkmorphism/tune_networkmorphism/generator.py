"""The networks that a search begins with."""

from __future__ import annotations

from tune_networkmorphism.graph import INPUT, Graph, Layer

__all__ = ["convolutional", "multilayer_perceptron"]

_DROPOUT = 0.25
_KERNEL = 3


class _Builder:
    """Puts one layer behind the other."""

    def __init__(self) -> None:
        self.layers: dict[int, Layer] = {}

    def put(self, kind: str, units: int = 0, kernel: int = 0, rate: float = 0.0) -> None:
        before = len(self.layers)
        self.layers[before + 1] = Layer(kind, (before if before else INPUT,), units, kernel, rate)


def convolutional(shape: tuple[int, int, int], outputs: int, length: int, width: int) -> Graph:
    """`length` blocks of a conv with `width` filters, then a hidden dense layer of `width`.

    There is a pool behind each block, or behind every quarter of them from eight blocks on, as long as
    there is something to halve.

    Args:
        shape: (channels, height, width) of the images.
        outputs: What the last layer gives.
    """
    builder, side, every = _Builder(), min(shape[1:]), max(1, length // 4)
    for block in range(1, length + 1):
        builder.put("conv", width, _KERNEL)
        builder.put("batch_norm")
        builder.put("relu")
        if side >= 2 and block % every == 0 and (every == 1 or block < length):
            builder.put("max_pool")
            side //= 2
    builder.put("global_pool")
    builder.put("dropout", rate=_DROPOUT)
    builder.put("dense", width)
    builder.put("relu")
    builder.put("dense", outputs)
    return Graph(shape, builder.layers)


def multilayer_perceptron(features: int, outputs: int, length: int, width: int) -> Graph:
    """`length` hidden dense layers of `width`, each with ReLU and dropout."""
    builder = _Builder()
    for _ in range(length):
        builder.put("dense", width)
        builder.put("relu")
        builder.put("dropout", rate=_DROPOUT)
    builder.put("dense", outputs)
    return Graph((features,), builder.layers)
