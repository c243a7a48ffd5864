"""From a section of the configuration to an algorithm: which class, which arguments, an instance."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from tune_core.algorithms.base import Advisor, Assessor, Tuner
from tune_core.config.checking import closed, problems_of
from tune_core.config.model import AlgorithmConfig
from tune_core.config.problems import Problem, did_you_mean, error_of
from tune_core.config.usercode import user_class
from tune_core.errors import ConfigError, PluginError, SearchSpaceError, SpaceProblem
from tune_core.hookspecs import Driver
from tune_core.metric import MODES, Mode
from tune_core.objectives import DEFAULT_KEY
from tune_core.plugins import missing_methods, plugins
from tune_core.space import Leaf, SearchSpace

__all__ = ["Choice", "arguments_model", "checked_arguments", "choose", "instantiate", "needs_space"]

_BASES: dict[str, tuple[type, ...]] = {
    "tuner": (Tuner, Advisor),
    "assessor": (Assessor,),
    "advisor": (Advisor,),
}


@dataclass(frozen=True)
class Choice:
    """An algorithm with its arguments, ready to be made.

    Attributes:
        kind: `tuner`, `assessor` or `advisor`; an advisor may have been chosen under `tuner`.
        arguments: For the constructor; without `optimize_mode` and `seed` unless it names them.
        modes: The objectives, by metric key, the primary first: `minimize` or `maximize`, the user's or
            else the algorithm's own default.
        mode_given: Whether the user said it.
        seed: The user's, from `classArgs`.
        driver: None for a class of the user's own.
    """

    kind: str
    cls: type
    arguments: dict[str, Any]
    modes: Mapping[str, Mode]
    mode_given: bool
    seed: int | None
    driver: Driver | None = None

    @property
    def name(self) -> str:
        return self.driver.name if self.driver else self.cls.__name__

    @property
    def optimize_mode(self) -> Mode:
        """That of the primary objective."""
        return next(iter(self.modes.values()))

    @property
    def needs_space(self) -> bool:
        """Whether it searches the experiment's search space, and none of its own."""
        return getattr(self.cls, "needs_space", True)

    def check_space(self, space: SearchSpace) -> None:
        """Refuse what the driver says it does not take.

        Raises:
            SearchSpaceError: The space holds a type, or a nesting, that is beyond the algorithm.
        """
        if self.driver is None:
            return
        if len(space) and not self.needs_space and not self.driver.accepts:
            text = f"{self.name} brings a space of its own: leave searchSpace out, or name another tuner"
            raise SearchSpaceError(text, [SpaceProblem("", text)])
        if strange := _strange(self.driver, space):
            kinds = {leaf.domain.type for leaf in strange}
            what = ", ".join(sorted(kinds))
        elif strange := _too_nested(self.driver, space):
            what = "nested choices"
        else:
            return
        paths = ", ".join(leaf.path for leaf in strange[:5]) + (", ..." if len(strange) > 5 else "")
        raise SearchSpaceError(f"{self.name} does not take {what} ({paths}){_takers(space)}")

    def make(self) -> Any:
        """A new instance.

        Raises:
            ConfigError: The constructor refuses its arguments.
        """
        try:
            return self.cls(**self.arguments)
        except (TypeError, ValueError) as err:
            # A constructor says which argument it means by beginning with its name.
            named = str(err).partition(" ")[0]
            path = ("classArgs", named) if named in self.arguments else ("classArgs",)
            raise error_of([Problem(path, f"{self.name} refuses its arguments: {err}")]) from err


def _strange(driver: Driver, space: SearchSpace) -> list[Leaf]:
    """The parameters of a type that `driver` does not take."""
    if driver.accepts is None:
        return []
    return [leaf for leaf in space.leaves if leaf.domain.type not in driver.accepts]


def _too_nested(driver: Driver, space: SearchSpace) -> list[Leaf]:
    return [] if driver.nested else [leaf for leaf in space if leaf.is_nested]


def _takers(space: SearchSpace) -> str:
    """Who is installed and takes all that `space` holds, for the end of a message."""
    found = [*plugins().all("tuner"), *plugins().all("advisor")]
    drivers = [each.driver for each in found]
    names = [one.name for one in drivers if not _strange(one, space) and not _too_nested(one, space)]
    return f"; {', '.join(sorted(names))} {'does' if len(names) == 1 else 'do'}" if names else ""


def choose(kind: str, config: AlgorithmConfig) -> Choice:
    """Find the class that `config` names and check its arguments.

    `kind` is `tuner` (which an advisor may be too), `assessor` or `advisor`.

    Raises:
        ConfigError: With every problem, its path beginning in the section.
    """
    driver: Driver | None = None
    if config.name:
        try:
            found = plugins().find(kind, config.name)
            cls, driver, kind = found.load(), found.driver, found.kind
        except PluginError as err:
            raise error_of([Problem(("name",), str(err))]) from err
    else:
        assert config.class_name is not None
        assert config.code_directory is not None
        cls = user_class(config.code_directory, config.class_name, config.class_file_name)
        kind = _kind_of(kind, cls)
    arguments = dict(config.class_args)
    problems = []
    given = arguments.pop("optimize_mode", None)
    wrong = _wrong_modes(kind, given)
    problems += [each.within(("classArgs", "optimize_mode")) for each in wrong]
    modes: dict[str, Mode] = {}
    if given is not None and not wrong:
        modes = {DEFAULT_KEY: given} if isinstance(given, str) else dict(given)
    mode = next(iter(modes.values()), None)
    seed = arguments.pop("seed", None)
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63):
        problems.append(Problem(("classArgs", "seed"), f"{seed!r} is not a whole number from 0"))
    try:
        arguments = checked_arguments(cls, arguments, driver.name if driver else cls.__name__)
    except ConfigError as err:
        problems += [problem.within(("classArgs",)) for problem in err.problems]
    named = inspect.signature(cls).parameters
    default: Mode = getattr(cls, "default_optimize_mode", "maximize")  # NNI's, for all but a few
    asks = named.get("user_mode")
    if asks is not None and asks.default is asks.empty and given is None:
        text = "optimize_mode is missing, minimize or maximize: results are compared with numbers of yours"
        problems.append(Problem(("classArgs",), text))
    if problems:
        raise error_of(problems)
    # The kernel turns values round so that lower is better: a class that asks must be told so.
    arguments |= {"optimize_mode": "minimize"} if "optimize_mode" in named else {}
    arguments |= {"user_mode": mode or default} if asks is not None else {}
    arguments |= {"seed": seed} if "seed" in named and seed is not None else {}
    return Choice(kind, cls, arguments, modes or {DEFAULT_KEY: default}, bool(modes), seed, driver)


def _wrong_modes(kind: str, given: Any) -> list[Problem]:
    """What is wrong with an `optimize_mode`: it is a mode, or one for each metric key."""
    if isinstance(given, Mapping) and kind == "assessor":
        return [Problem((), "an assessor judges by the first objective alone: write minimize or maximize")]
    if isinstance(given, Mapping) and given:
        return [
            Problem((key,), f"{each!r} is not minimize or maximize{did_you_mean(str(each), MODES)}")
            for key, each in given.items()
            if each not in MODES
        ]
    if given is None or given in MODES:
        return []
    more = "" if kind == "assessor" or isinstance(given, str) else ", nor a section with one for each metric"
    return [Problem((), f"{given!r} is not minimize or maximize{more}{did_you_mean(str(given), MODES)}")]


def needs_space(kind: str, config: AlgorithmConfig) -> bool:
    """Whether the algorithm that `config` names needs a search space; False if nothing is known of it.

    Says so whatever is wrong with its arguments, and imports no plugin.
    """
    try:
        if config.name:
            return plugins().find(kind, config.name).driver.needs_space
        assert config.class_name is not None
        assert config.code_directory is not None
        cls = user_class(config.code_directory, config.class_name, config.class_file_name)
    except (ConfigError, PluginError):
        return False
    return getattr(cls, "needs_space", True)


def instantiate(kind: str, config: AlgorithmConfig) -> Any:
    """An instance of the algorithm that `config` describes; `choose` tells more about it."""
    return choose(kind, config).make()


def _kind_of(kind: str, cls: type) -> str:
    bases = _BASES[kind]
    if not issubclass(cls, bases):
        wanted = " or ".join(f"tune_core.{base.__name__}" for base in bases)
        raise error_of([Problem(("className",), f"{cls.__name__} is not a subclass of {wanted}")])
    if missing := missing_methods(cls):
        raise error_of([Problem(("className",), f"{cls.__name__} {missing}")])
    return "advisor" if issubclass(cls, Advisor) else kind


def checked_arguments(cls: type, arguments: dict[str, Any], name: str = "") -> dict[str, Any]:
    """`arguments` as the constructor of `cls` wants them; it is called `name` if something is wrong.

    They are checked against the pydantic model `cls.Arguments` if there is one, otherwise against
    the names and type hints of the constructor. JSON rules: an integer is a float, a list is a
    tuple, but "3" is not a number.

    Raises:
        ConfigError: With every problem.
    """
    model = arguments_model(cls)
    try:
        checked = model.model_validate_json(json.dumps(arguments))
    except ValidationError as err:
        problems = problems_of(
            err, model, noun=f"argument of {name or cls.__name__}", also=("optimize_mode", "seed")
        )
        raise error_of(problems) from None
    given = {field.alias or name: getattr(checked, name) for name, field in model.model_fields.items()}
    if model.__name__ == _MADE_HERE:  # leave defaults to the constructor itself
        given = {key: value for key, value in given.items() if key in arguments}
    return given | dict(checked.model_extra or {})


def arguments_model(cls: type) -> type[BaseModel]:
    """What the arguments of `cls` are checked against."""
    return closed(getattr(cls, "Arguments", None) or _model_of(cls))


_MADE_HERE = "ConstructorArguments"


def _model_of(cls: type) -> type[BaseModel]:
    """A model of the constructor's parameters."""
    try:
        hints = get_type_hints(inspect.getattr_static(cls, "__init__"))
    except Exception:  # noqa: BLE001 (hints may name what is imported for type checkers only)
        hints = {}
    fields: dict[str, Any] = {}
    extra = False
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            extra = True
        elif parameter.kind is not parameter.VAR_POSITIONAL and parameter.name not in {
            "optimize_mode",
            "seed",
            "user_mode",
        }:
            default = ... if parameter.default is parameter.empty else None
            hint = hints.get(parameter.name, Any)
            # Numbered, because pydantic forbids some names that a parameter may have.
            fields[f"field_{len(fields)}"] = (hint, Field(default, alias=parameter.name))
    config = ConfigDict(extra="allow" if extra else "forbid", strict=True, arbitrary_types_allowed=True)
    return create_model(_MADE_HERE, __config__=config, **fields)
