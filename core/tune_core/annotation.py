"""`Annotation`: what the kernel asks of a plugin that reads search spaces out of the code of trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tune_core.trial import Parameters

__all__ = ["ORIGIN", "Annotation", "annotation"]

ORIGIN = ".tune-origin"
"""A file in an expanded folder: the path of the folder that it was made from.

A link in the expanded folder to the like place in that one stands for what is there; this tells it from
a link of the user's, for platforms that send the code elsewhere.
"""


class Annotation(ABC):
    """Makes experiments of scripts that say in place what may vary: `useAnnotation` in a configuration.

    The constructor takes no arguments. Nothing here runs the code.
    """

    @abstractmethod
    def search_space(self, code: Path) -> dict[str, Any]:
        """The search space that the code in a folder asks for, as in a configuration.

        Raises:
            ConfigError: `problems` has everything that is wrong, each with its file and line; also where
                nothing is annotated.
        """

    @abstractmethod
    def expand(self, code: Path, target: Path) -> None:
        """Fill `target`, an empty folder, with the code that trials run.

        What need not be rewritten is linked: `target` is on the same machine as `code`, and trials on
        others get what the links lead to, which `ORIGIN` lets their platform tell from the user's links.

        Raises:
            ConfigError: As `search_space`.
        """

    @abstractmethod
    def generate(self, code: Path, parameters: Parameters, target: Path) -> None:
        """Fill `target`, an empty folder, with a copy of the code with `parameters` in place.

        It runs without an experiment, and does what the trial with these parameters did.

        Raises:
            ConfigError: As `search_space`, or the parameters are not of this code.
        """


def annotation() -> Annotation:
    """The installed plugin for this.

    Raises:
        PluginError: There is none.
    """
    from tune_core.plugins import plugins

    made: Annotation = plugins().preferred("annotation").load()()
    return made
