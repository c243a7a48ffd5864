"""Search spaces of estimators: options of any type, and nested choices as parameters side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["EstimatorSpace"]

NAME = "_name"  # of a branch, in search spaces and in configurations


class EstimatorSpace:
    """A search space of estimator parameters, beside the one that a tuner is given.

    A tuner takes JSON only. Options of a choice that are none, such as tuples, functions and estimators, go
    to it by their numbers. What it proposes comes back as the arguments of `set_params`: a nested choice
    turns into the name of its branch and the parameters of that branch.

    Args:
        search_space: As in a search-space file, but options may be anything.
        tuner: Its name, for messages.
    """

    def __init__(self, search_space: Mapping[str, Any], tuner: str) -> None:
        self._tuner = tuner
        self._given = search_space
        self.for_tuner = {name: _numbered(spec) for name, spec in search_space.items()}

    def read(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of `set_params` for `configuration`, which a tuner proposed.

        Raises:
            ValueError: It has parameters that the search space has not, or one twice.
        """
        found: dict[str, Any] = {}
        for name, value in _flat(configuration, self._given, self._tuner):
            if name in found:
                raise ValueError(
                    f"search_space: {name!r} is there twice in one configuration: {configuration}"
                )
            found[name] = value
        return found


def _flat(
    configuration: Mapping[str, Any], specs: Mapping[str, Any], tuner: str
) -> Iterator[tuple[str, Any]]:
    for name, value in configuration.items():
        if name == NAME:
            continue
        if name not in specs:
            raise ValueError(
                f"tuner {tuner} proposes {name}={value!r}, which is not in the search space. Tuners that "
                "vary how long a trial trains cannot be used here; Random, TPE, GP and their like can"
            )
        if isinstance(value, Mapping) and NAME in value:
            branches = {option[NAME]: option for option in specs[name]["_value"]}
            yield name, value[NAME]
            yield from _flat(value, branches[value[NAME]], tuner)
        else:
            yield name, specs[name]["_value"][value] if _has_objects(specs[name]) else value


def _numbered(spec: Any) -> Any:
    """`spec` for a tuner: options that are not JSON are numbers."""
    if not _is_choice(spec):
        return spec
    if _has_objects(spec):
        return {**spec, "_value": list(range(len(spec["_value"])))}
    return {**spec, "_value": [_numbered_branch(option) for option in spec["_value"]]}


def _numbered_branch(option: Any) -> Any:
    if not _is_branch(option):
        return option
    return {name: spec if name == NAME else _numbered(spec) for name, spec in option.items()}


def _has_objects(spec: Any) -> bool:
    """Whether a choice has options beyond plain values and branches."""
    if not _is_choice(spec) or any(_is_branch(option) for option in spec["_value"]):
        return False
    # A list is JSON but a tuple is not, and estimators tell them apart: neither goes through the tuner.
    return not all(option is None or type(option) in {bool, int, float, str} for option in spec["_value"])


def _is_choice(spec: Any) -> bool:
    return (
        isinstance(spec, Mapping) and spec.get("_type") == "choice" and isinstance(spec.get("_value"), list)
    )


def _is_branch(option: Any) -> bool:
    return isinstance(option, Mapping) and NAME in option
