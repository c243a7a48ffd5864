"""What the kernel's classes have in common that run a class of NNI's kind."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from nni.runtime.calling import accepted

from tune_core.metric import Mode, orient
from tune_nni import refuse_beside_foreign

__all__ = ["Adapter", "plain"]

_OPTIMIZE_MODE = "optimize_mode"


class Adapter:
    """Holds an instance of the user's class, and calls it as NNI did.

    Values are those that trials reported, in the user's direction, and `optimize_mode` is the user's. The
    generators of `random` and of NumPy, which such classes draw from, have a state of their own during
    each call that depends on the experiment's seed alone, so that a resumed experiment draws the same.

    Args:
        user_mode: The experiment's direction: the user's, or else the default of the class.
        arguments: For the user's class.
    """

    user_class: ClassVar[type]

    def __init__(self, *, user_mode: str = "maximize", **arguments: Any) -> None:
        self.mode: Mode = user_mode
        parameters = inspect.signature(self.user_class).parameters
        if _OPTIMIZE_MODE in parameters or _takes_anything(parameters):
            arguments[_OPTIMIZE_MODE] = user_mode
        self.inner = self.user_class(**arguments)
        self._random_state: Any = None
        self._numpy_state: Any = None

    @classmethod
    def of(cls, user_class: type) -> type[Self]:
        """The class of the kernel's that runs `user_class`, under its name and with its arguments."""
        refuse_beside_foreign()
        signature, mode = _constructor(user_class)
        content = {
            "__doc__": user_class.__doc__,
            "__module__": user_class.__module__,
            "__signature__": signature,
            "default_optimize_mode": mode,
            "user_class": user_class,
        }
        return type(user_class.__name__, (cls,), content)

    def set_seed(self, seed: int) -> None:
        super().set_seed(seed)  # type: ignore[misc] # of the kernel's class beside this one
        self._random_state = random.Random(seed).getstate()  # noqa: S311 (no secret)
        self._numpy_state = np.random.RandomState(seed % 2**32).get_state(legacy=False)

    def set_directory(self, directory: Path) -> None:
        self.inner._checkpoint_path = str(directory)

    def call(self, method: str, *arguments: Any, **extras: Any) -> Any:
        """Call a method of the user's, with those of `extras` that it takes."""
        function = getattr(self.inner, method)
        with self._own_randomness():
            return function(*arguments, **accepted(function, extras))

    def as_reported(self, value: float) -> Any:
        """What a trial reported, from what the kernel tells of it."""
        reported = getattr(value, "reported", None)
        return orient(float(value), self.mode) if reported is None else reported

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        if self._random_state is None:  # outside of an experiment
            yield
            return
        others = random.getstate(), np.random.get_state(legacy=False)
        random.setstate(self._random_state)
        np.random.set_state(self._numpy_state)
        try:
            yield
        finally:
            self._random_state = random.getstate()
            self._numpy_state = np.random.get_state(legacy=False)
            random.setstate(others[0])
            np.random.set_state(others[1])


def _constructor(user_class: type) -> tuple[inspect.Signature, Mode]:
    """The arguments as the kernel is to see them, and the direction where the user names none.

    `user_mode` stands in place of `optimize_mode`: the kernel tells it the direction as the user said.
    """
    given = inspect.signature(user_class).parameters
    kept = [each for name, each in given.items() if name not in {_OPTIMIZE_MODE, "command_channel_url"}]
    mode = given[_OPTIMIZE_MODE].default if _OPTIMIZE_MODE in given else None
    known = mode if mode in {"maximize", "minimize"} else "maximize"
    default = inspect.Parameter.empty if mode is inspect.Parameter.empty else known
    asked = inspect.Parameter("user_mode", inspect.Parameter.KEYWORD_ONLY, default=default)
    at = len(kept) - _takes_anything(given)
    return inspect.Signature([*kept[:at], asked, *kept[at:]]), known


def _takes_anything(parameters: Any) -> bool:
    return any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def plain(value: Any) -> Any:
    """JSON values in place of NumPy's and of tuples, which NNI took, too."""
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
