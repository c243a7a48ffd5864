"""`NasTrainer`: what the kernel asks of a one-shot architecture search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

__all__ = ["NasTrainer"]


class NasTrainer(ABC):
    """Searches an architecture by training one supernet.

    Runs without any experiment (`trainer.fit(); trainer.export()`), or as a trial in one. The
    constructor is the trainer's own: a model space, data, and its options, checked against the
    type hints of its signature.
    """

    @abstractmethod
    def fit(self) -> None:
        """Search until the configured number of epochs is done, or go on from `load`."""

    @abstractmethod
    def export(self) -> dict[str, Any]:
        """The best architecture so far: key of each choice to what was chosen. JSON values only,
        and of the same form before, while and after `fit`."""

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """How far the search is and how strong each choice is by now. JSON values only."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write all state to the file `path`, in a format that runs no code when read."""

    @abstractmethod
    def load(self, path: Path) -> None:
        """Restore what `save` wrote; `fit` then goes on as if it had never stopped."""
