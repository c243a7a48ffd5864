"""Carrying out what others ask of a running experiment through its record.

| verb | arguments | answer |
|---|---|---|
| `stop` | | |
| `kill` | trial | trial |
| `update` | any of concurrency, trials, duration_s | limits |
| `space` | search_space | |
| `add` | parameters | trial, sequence |
| `import` | observations: parameters, value; defaults: of parameters that they lack | count, left_out |
| `follow` | trial, attempt: whose output is wanted while it runs | |
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tune.host.syscalls import Inotify
from tune_core.algorithms.base import Advisor, Observation
from tune_core.algorithms.compose import check_configuration
from tune_core.errors import ConfigError, ExperimentNotFoundError, SearchSpaceError, TuneError
from tune_core.experiment.engine import Engine
from tune_core.experiment.settings import Limits
from tune_core.objectives import Objectives, Score
from tune_core.space import SearchSpace
from tune_core.store.commands import Command, open_commands
from tune_core.store.directory import ExperimentDirectory
from tune_core.store.events import Answer
from tune_core.store.schema import open_reader
from tune_core.trial import TrialState

__all__ = ["Imported", "Requests", "check_limits", "read_observations"]

_log = logging.getLogger(__name__)

_LOOK_S = 2.0
_REASONS = 20  # told of entries that are left out


class Requests:
    """Looks for requests when the doorbell rings, and every two seconds.

    Args:
        on_ring: Called in the event loop when somebody rings.
    """

    def __init__(self, directory: ExperimentDirectory, on_ring: Callable[[], None]) -> None:
        self._directory = directory
        self._connection: sqlite3.Connection | None = None
        self._on_ring = on_ring
        self._rung = True
        self._looked = 0.0
        self._busy: set[int] = set()  # asked and not answered: an answer takes a moment to be durable
        self._bell: Inotify | None = None
        self._listen()

    def close(self) -> None:
        if self._bell is not None:
            asyncio.get_running_loop().remove_reader(self._bell.fileno())
            self._bell.close()
        if self._connection is not None:
            self._connection.close()

    async def __call__(self, engine: Engine) -> None:
        """One look; each request is answered, with `error` where it is refused."""
        now = time.monotonic()
        if not self._rung and now - self._looked < _LOOK_S:
            return
        self._rung, self._looked = False, now
        try:
            if self._connection is None:
                self._connection = open_reader(self._directory.record)
            commands = open_commands(self._connection)
        except (sqlite3.Error, TuneError) as err:
            _log.warning("requests cannot be read: %s", err)
            return
        for command in commands:
            if command.id not in self._busy:
                self._busy.add(command.id)
                engine.spawn(self._answer(engine, command))  # one that has to wait must not hold up `stop`

    async def _answer(self, engine: Engine, command: Command) -> None:
        _log.info("asked to %s %s", command.verb, command.arguments)
        try:
            content = await _VERBS.get(command.verb, _unknown)(engine, command.arguments)
        except TuneError as err:
            content = {"error": str(err), "exit_code": err.exit_code}
        except Exception as err:  # noqa: BLE001 (an algorithm's own, say: the one who asked must hear of it)
            _log.warning("request %s failed", command.verb, exc_info=True)
            content = {"error": f"{type(err).__name__}: {err}"}
        engine.journal.writer.append(Answer(command.id, content))

    def _listen(self) -> None:
        try:
            self._directory.doorbell.touch(mode=0o600)
            self._bell = Inotify()
            self._bell.add(str(self._directory.doorbell))
        except OSError:
            self._bell = None  # the look every two seconds has to do
            return
        asyncio.get_running_loop().add_reader(self._bell.fileno(), self._heard)

    def _heard(self) -> None:
        if self._bell is not None:
            self._bell.read()
        self._rung = True
        self._on_ring()


async def _stop(engine: Engine, arguments: dict[str, Any]) -> dict[str, Any]:
    engine.stop(**arguments)
    return {"running": len(engine.view().running)}


async def _kill(engine: Engine, arguments: dict[str, Any]) -> dict[str, Any]:
    name = str(arguments["trial"])
    trial = engine.find(name)
    if trial is None:
        raise ExperimentNotFoundError(f"no trial {name!r} is running or waiting")
    engine.cancel(trial, TrialState.USER_CANCELED, "ended by the user")
    return {"trial": trial.id}


async def _update(engine: Engine, arguments: dict[str, Any]) -> dict[str, Any]:
    limits = check_limits(engine.limits, arguments)
    await engine.set_limits(limits)
    return {"limits": vars(limits)}


async def _space(engine: Engine, arguments: dict[str, Any]) -> dict[str, Any]:
    await engine.proposals.update_search_space(SearchSpace.parse(arguments["search_space"]))
    return {}


async def _add(engine: Engine, arguments: dict[str, Any]) -> dict[str, Any]:
    parameters = arguments["parameters"]
    await engine.advice.call(check_configuration, parameters, engine.search_space, engine.advice.advisor)
    trial = await engine.proposals.add(parameters)
    return {"trial": trial.id, "sequence": trial.sequence}


async def _import(engine: Engine, arguments: dict[str, Any]) -> dict[str, Any]:
    imported = await engine.advice.call(
        read_observations,
        arguments["observations"],
        engine.search_space,
        engine.settings.objectives,
        engine.advice.advisor,
        arguments.get("defaults"),
    )
    await engine.proposals.import_observations(imported.observations)
    return {"count": len(imported.observations), "left_out": imported.left_out}


async def _follow(engine: Engine, arguments: dict[str, Any]) -> dict[str, Any]:
    await engine.follow(str(arguments["trial"]), int(arguments["attempt"]))
    return {}


async def _unknown(_engine: Engine, _arguments: dict[str, Any]) -> dict[str, Any]:
    raise TuneError("this manager does not know such a request; it may be of an older version")


_VERBS: dict[str, Callable[[Engine, dict[str, Any]], Awaitable[dict[str, Any]]]] = {
    "stop": _stop,
    "kill": _kill,
    "update": _update,
    "space": _space,
    "add": _add,
    "import": _import,
    "follow": _follow,
}


def check_limits(limits: Limits, changes: dict[str, Any]) -> Limits:
    """`limits` with some of them changed.

    Raises:
        TuneError: A name or value that no limit can have.
    """
    for name, value in changes.items():
        if name not in ("concurrency", "trials", "duration_s"):
            raise TuneError(f"there is no limit {name!r}; there are concurrency, trials and duration_s")
        optional = name != "concurrency"
        whole = name != "duration_s"
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if value is None and optional:
            continue
        if not number or value <= 0 or (whole and value != int(value)):
            raise TuneError(
                f"{name} is {value!r}; it must be a positive {'whole number' if whole else 'number'}"
            )
    return replace(limits, **changes)


@dataclass(frozen=True)
class Imported:
    """What was made of results from elsewhere.

    Attributes:
        left_out: Why some do not fit this experiment, each reason with how many there were.
    """

    observations: Sequence[Observation]
    left_out: Mapping[str, int]


def read_observations(
    items: Any,
    space: SearchSpace,
    objectives: Objectives,
    advisor: Advisor,
    defaults: Mapping[str, Any] | None = None,
) -> Imported:
    """Check imported data: a list of {parameter(s), value}, values in the user's orientation.

    The search space may differ from the one that they come from: entries that do not fit it are left
    out. One whose value is null is passed over: it is how a trial without a result is exported.

    Args:
        advisor: May take what the search space does not know; asked in its own thread.
        defaults: What parameters were that the entries do not have, because the search space that they
            come from did not have them.

    Raises:
        TuneError: These are no observations, or none of them fits; says why.
    """
    if not isinstance(items, list):
        raise ConfigError("imported data must be a list of objects with `parameter` and `value`")
    observations: list[Observation] = []
    left_out: Counter[str] = Counter()
    problems = []
    for number, item in enumerate(items):
        try:
            parameters, value = _parts(item)
        except TuneError as err:
            problems.append(f"  entry {number}: {err}")
            continue
        if value is None:
            continue
        try:
            configuration = {**(defaults or {}), **parameters}
            # Extra keys are such as the TRIAL_BUDGET of an earlier experiment.
            check_configuration(configuration, space, advisor, extra=True)
            observations.append(Observation(configuration, _score(value, objectives)))
        except SearchSpaceError as err:
            left_out["; ".join(": ".join(filter(None, each[:2])) for each in err.problems)] += 1
        except TuneError as err:
            left_out[str(err)] += 1
    if problems:
        more = f"\n  and {len(problems) - _REASONS} more" if len(problems) > _REASONS else ""
        raise ConfigError("nothing was imported:\n" + "\n".join(problems[:_REASONS]) + more)
    if left_out and not observations:
        reasons = "\n".join(f"  {reason}" for reason, _ in left_out.most_common(_REASONS))
        raise ConfigError(f"nothing was imported: no entry fits this experiment\n{reasons}")
    return Imported(observations, dict(left_out.most_common(_REASONS)))


def _parts(item: Any) -> tuple[Mapping[str, Any], Any]:
    if not isinstance(item, dict):
        raise TuneError(f"{item!r} is not an object with `parameter` and `value`")
    parameters = item.get("parameters", item.get("parameter"))
    if not isinstance(parameters, dict):
        raise TuneError("it has no 'parameter'")
    if "value" not in item:
        raise TuneError("it has no 'value'")
    return parameters, item["value"]


def _score(value: Any, objectives: Objectives) -> Score:
    metric = objectives.read_final(value)
    if not metric.is_finite:
        raise TuneError(f"its value is {metric}")
    return objectives.score(metric)
