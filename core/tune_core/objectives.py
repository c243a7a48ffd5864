"""What an experiment optimises: metric keys with their directions, and bounds that results have to keep."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from tune_core.errors import ConfigError
from tune_core.metric import MODES, Metric, Mode, orient

__all__ = ["DEFAULT_KEY", "Bound", "Objectives", "Score"]

DEFAULT_KEY = "default"
"""The key of the one number to optimise, where the configuration names no other."""


class Score(float):
    """A result as algorithms see it: a number, lower is better, and what else there is to know of it.

    As a number it is the first objective, so that an algorithm for one objective takes it for what it is.

    Attributes:
        values: All objectives, oriented: lower is better in each; finite.
        violation: By how much the result breaks the constraints, see `Objectives.violation`; 0 if it
            keeps them all.
        reported: The number or dictionary that the trial reported, as it came; None where no trial did.
    """

    __slots__ = ("reported", "values", "violation")

    values: tuple[float, ...]
    violation: float
    reported: Any

    def __new__(cls, values: Sequence[float], violation: float = 0.0, reported: Any = None) -> Self:
        self = super().__new__(cls, values[0])
        self.values = tuple(map(float, values))
        self.violation = float(violation)
        self.reported = reported
        return self

    def __getnewargs__(self) -> Any:  # float's own returns one number
        return self.values, self.violation, self.reported

    @classmethod
    def of(cls, value: float) -> Score:
        """`value` itself, or a plain number as the score with one objective that it is."""
        return value if isinstance(value, Score) else Score((value,))

    @property
    def is_feasible(self) -> bool:
        """Whether it keeps all constraints."""
        return self.violation == 0

    def to_json(self) -> Any:
        """For the record, which has `reported` elsewhere: a plain number where that is all there is."""
        if len(self.values) == 1 and self.is_feasible:
            return self.values[0]
        return {"values": list(self.values), "violation": self.violation}

    @classmethod
    def from_json(cls, content: Any, reported: Any = None) -> Score:
        """Exactly what `to_json` was called on, with what was reported."""
        given = content if isinstance(content, dict) else {"values": (content,)}
        return cls(**given, reported=reported)


@dataclass(frozen=True)
class Bound:
    """What a metric may be; None for no limit on that side."""

    min: float | None = None
    max: float | None = None

    def excess(self, number: float) -> float:
        """How far `number` is beyond, as a share of the limit's magnitude (of 1 where the limit is 0).

        A limit, unlike the spread of the results, is known from the start and the same after a resume;
        and a share of it can be added to that of another metric.
        """
        total = 0.0
        if self.min is not None and number < self.min:
            total += (self.min - number) / (abs(self.min) or 1.0)
        if self.max is not None and number > self.max:
            total += (number - self.max) / (abs(self.max) or 1.0)
        return min(total, sys.float_info.max)

    def __str__(self) -> str:
        """`at least 0.7, at most 1`."""
        words = {"min": "at least", "max": "at most"}
        return ", ".join(f"{words[side]} {limit:g}" for side, limit in self.to_json().items())

    def to_json(self) -> dict[str, float]:
        """The limits that there are."""
        sides = {"min": self.min, "max": self.max}
        return {side: limit for side, limit in sides.items() if limit is not None}


@dataclass(frozen=True)
class Objectives:
    """What is wanted of an experiment's final results.

    Attributes:
        modes: `minimize` or `maximize` for each metric key. The first is the primary objective, for all
            that wants one number: assessors, the value of a trial, the best one.
        constraints: Bounds on metric keys, which may be objectives too.
    """

    modes: Mapping[str, Mode] = field(default_factory=lambda: {DEFAULT_KEY: "maximize"})
    constraints: Mapping[str, Bound] = field(default_factory=dict)

    @classmethod
    def of(cls, mode: Mode | Mapping[Any, Any], constraints: Mapping[Any, Any] | None = None) -> Objectives:
        """From what a user says.

        Args:
            mode: `minimize`, `maximize`, or a mapping of metric keys to these.
            constraints: Metric keys, each with a `Bound` or a mapping with `min`, `max` or both.

        Raises:
            ConfigError: It says something else.
        """
        modes = {DEFAULT_KEY: mode} if isinstance(mode, str) else dict(mode)
        for key, each in modes.items():
            if not isinstance(key, str) or each not in MODES:
                where = "mode" if isinstance(mode, str) else f"mode of {key!r}"
                raise ConfigError(f"{where} is {each!r}; use 'maximize' or 'minimize'")
        if not modes:
            raise ConfigError("there is no objective; use 'maximize', 'minimize' or {'a metric': 'minimize'}")
        return cls(modes, {key: _bound(key, each) for key, each in (constraints or {}).items()})

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Objectives:
        """From the state of an experiment's record."""
        return cls.of(state.get("objectives") or state.get("mode", "maximize"), state.get("constraints"))

    def to_state(self) -> dict[str, Any]:
        """For the state of an experiment's record."""
        constraints = {key: bound.to_json() for key, bound in self.constraints.items()}
        return {"mode": self.mode, "objectives": dict(self.modes), "constraints": constraints}

    @property
    def primary(self) -> str:
        """The key of the primary objective."""
        return next(iter(self.modes))

    @property
    def mode(self) -> Mode:
        """Which way the primary objective is to go."""
        return self.modes[self.primary]

    @property
    def are_many(self) -> bool:
        return len(self.modes) > 1

    @property
    def is_plain(self) -> bool:
        """One objective and no constraint: a number says it all."""
        return not (self.are_many or self.constraints)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """What every final result must have, the primary objective first."""
        return tuple(dict.fromkeys([*self.modes, *self.constraints]))

    def read_final(self, value: Any) -> Metric:
        """Check a final result.

        Raises:
            MetricError: It lacks an objective or a constrained metric, or has something else there
                than a number.
        """
        return Metric.read(value, self.keys)

    def read_intermediate(self, value: Any) -> Metric:
        """Check an intermediate result, which needs the primary objective only; raises as `read_final`."""
        return Metric.read(value, (self.primary,))

    def score(self, metric: Metric) -> Score:
        """What the algorithm is told of a finite final result."""
        values = [orient(metric.numbers[key], mode) for key, mode in self.modes.items()]
        return Score(values, self.violation(metric), metric.whole)

    def intermediate_score(self, metric: Metric) -> Score:
        """What an algorithm that `wants_reports` is told of a finite intermediate result."""
        return Score((orient(metric.value, self.mode),), reported=metric.whole)

    def score_of(self, whole: Any) -> Score:
        """The score of a final result as the record has it, which was checked before it got there."""
        return self.score(Metric(self.numbers_of(whole), whole))

    def numbers_of(self, whole: Any) -> dict[str, float]:
        """What counts of a final result as the record has it."""
        if isinstance(whole, dict):
            return {key: whole[key] for key in self.keys}
        return {self.primary: whole}

    def violation(self, metric: Metric) -> float:
        """The sum, over all bounds, of how far a result is beyond it: see `Bound.excess`."""
        if not self.constraints:
            return 0.0
        total = sum(bound.excess(metric.numbers[key]) for key, bound in self.constraints.items())
        return min(total, sys.float_info.max)

    def broken(self, metric: Metric) -> list[str]:
        """The constraints that a result breaks, in words: `latency 25 is above max 20`."""
        return [
            f"{key} {number:g} is {side} {limit:g}"
            for key, bound in self.constraints.items()
            for number in [metric.numbers[key]]
            for side, limit, beyond in (
                ("below min", bound.min, bound.min is not None and number < bound.min),
                ("above max", bound.max, bound.max is not None and number > bound.max),
            )
            if beyond
        ]

    def __str__(self) -> str:
        """`maximize accuracy, minimize latency`; one mode alone where the key is the default one."""
        if list(self.modes) == [DEFAULT_KEY]:
            return self.mode
        return ", ".join(f"{mode} {key}" for key, mode in self.modes.items())


def _bound(key: Any, given: Any) -> Bound:
    if isinstance(given, Bound):
        return given
    sides = dict(given) if isinstance(given, Mapping) else {}
    limits = [each for each in sides.values() if each is not None]
    if (
        not isinstance(key, str)
        or not limits
        or sides.keys() - {"min", "max"}
        or any(isinstance(each, bool) or not isinstance(each, (int, float)) for each in limits)
    ):
        raise ConfigError(f"the constraint on {key!r} is {given!r}; use {{'min': number, 'max': number}}")
    bound = Bound(**{side: None if each is None else float(each) for side, each in sides.items()})
    if any(each != each or abs(each) == float("inf") for each in bound.to_json().values()):  # noqa: PLR0124 (NaN)
        raise ConfigError(f"the constraint on {key!r} is {given!r}; a limit is a finite number")
    if bound.min is not None and bound.max is not None and bound.min > bound.max:
        raise ConfigError(f"the constraint on {key!r} is {given!r}; min must not be above max")
    return bound
