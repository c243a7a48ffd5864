"""The kernel of `tune`: what an experiment is, and nothing about any algorithm or platform.

The names below are the public ones; each is imported when it is first used, so that
`import tune_core` and `tune --help` cost next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tune_core.version import __version__

if TYPE_CHECKING:
    from tune_core.algorithms.ask_tell import AskTell as AskTell
    from tune_core.algorithms.base import Advisor as Advisor
    from tune_core.algorithms.base import Assessor as Assessor
    from tune_core.algorithms.base import Observation as Observation
    from tune_core.algorithms.base import Tuner as Tuner
    from tune_core.annotation import Annotation as Annotation
    from tune_core.api import Experiment as Experiment
    from tune_core.errors import ConfigError as ConfigError
    from tune_core.errors import NoMoreTrial as NoMoreTrial
    from tune_core.errors import SearchSpaceError as SearchSpaceError
    from tune_core.errors import TrainingServiceError as TrainingServiceError
    from tune_core.errors import TuneError as TuneError
    from tune_core.hookspecs import Driver as Driver
    from tune_core.hookspecs import hookimpl as hookimpl
    from tune_core.nas import NasTrainer as NasTrainer
    from tune_core.objectives import Objectives as Objectives
    from tune_core.objectives import Score as Score
    from tune_core.optimize import maximize as maximize
    from tune_core.optimize import minimize as minimize
    from tune_core.services.base import Leftover as Leftover
    from tune_core.services.base import ServiceContext as ServiceContext
    from tune_core.services.base import ServiceEvents as ServiceEvents
    from tune_core.services.base import TrainingService as TrainingService
    from tune_core.space import SearchSpace as SearchSpace
    from tune_core.store.reader import Record as Record
    from tune_core.trial import Attempt as Attempt
    from tune_core.trial import AttemptKey as AttemptKey
    from tune_core.trial import Ending as Ending
    from tune_core.trial import Message as Message
    from tune_core.trial import Parameters as Parameters
    from tune_core.trial import TrialState as TrialState

_HOMES = {
    "tune_core.algorithms.ask_tell": ("AskTell",),
    "tune_core.algorithms.base": ("Advisor", "Assessor", "Observation", "Tuner"),
    "tune_core.annotation": ("Annotation",),
    "tune_core.api": ("Experiment",),
    "tune_core.errors": (
        "ConfigError",
        "NoMoreTrial",
        "SearchSpaceError",
        "TrainingServiceError",
        "TuneError",
    ),
    "tune_core.hookspecs": ("Driver", "hookimpl"),
    "tune_core.nas": ("NasTrainer",),
    "tune_core.objectives": ("Objectives", "Score"),
    "tune_core.optimize": ("maximize", "minimize"),
    "tune_core.services.base": ("Leftover", "ServiceContext", "ServiceEvents", "TrainingService"),
    "tune_core.space": ("SearchSpace",),
    "tune_core.store.reader": ("Record",),
    "tune_core.trial": ("Attempt", "AttemptKey", "Ending", "Message", "Parameters", "TrialState"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604 (the names are in the table above)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tune_core' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
