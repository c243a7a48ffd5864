"""Checking data against pydantic models, with every problem in words of ours.

Keys are forgiven as NNI forgave them: case and underscores do not matter.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from tune_core.config.problems import REQUIRED, KeyPath, Problem, did_you_mean, error_of, folded, nearest
from tune_core.errors import ConfigError

__all__ = ["ConfigModel", "check", "closed", "forgive_keys", "keys_of", "problems_of"]

M = TypeVar("M", bound=BaseModel)


class ConfigModel(BaseModel):
    """Base of configuration models: camelCase in files, snake_case in Python, nothing unknown.

    Types are strict: "3" is not a number, 1 is not a boolean; an integer is a float. A field that
    is to take what YAML cannot write, such as a tuple, says `Field(strict=False)`.

    Attributes:
        former: Keys of NNI 1, and what is written here instead.
    """

    former: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        strict=True,
        protected_namespaces=(),
        hide_input_in_errors=True,  # it may hold a secret
    )

    @classmethod
    def conflicts(cls, data: Mapping[str, Any]) -> list[Problem]:  # noqa: ARG003 (for models to override)
        """What is wrong between keys; `data` is as it was written, with the keys of the model."""
        return []

    @model_validator(mode="wrap")
    @classmethod
    def _find_all(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        # Conflicts are looked for in what was written: a validator of the whole model would not
        # be called, and they would be left unsaid, when any field is wrong.
        data = forgive_keys(cls, data)
        problems = cls.conflicts(data) if isinstance(data, Mapping) else []
        try:
            model = validate(data)
        except ValidationError as err:
            problems = [*problems_of(err, cls), *problems]
        if problems:
            raise error_of(problems)
        return model


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def forgive_keys(model: type[BaseModel], data: Any) -> Any:
    """`data` with each key spelt as `model` spells it.

    Raises:
        ConfigError: Two keys are spellings of one.
    """
    if not isinstance(data, Mapping):
        return data
    known = {folded(key): key for key in keys_of(model)}
    result: dict[Any, Any] = {}
    problems = []
    for key, value in data.items():
        name: Any = known.get(folded(str(key)), key)
        if name in result:
            problems.append(Problem((key,), f"is {name} a second time, in another spelling"))
        result[name] = value
    if problems:
        raise error_of(problems)
    return result


def check(model: type[M], data: Any, *, context: Mapping[str, Any] | None = None) -> M:
    """`data` as a `model`.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        checked: M = closed(model).model_validate(forgive_keys(model, data), context=dict(context or {}))
    except ValidationError as err:
        raise error_of(problems_of(err, model)) from None  # pydantic's own text would show secrets
    return checked


@functools.cache
def closed(model: type[M]) -> type[M]:
    """`model`, but refusing unknown keys, which pydantic passes over unless a model says otherwise."""
    if model.model_config.get("extra", "ignore") != "ignore":
        return model
    return cast("type[M]", type(model.__name__, (model,), {"model_config": ConfigDict(extra="forbid")}))


def problems_of(
    err: ValidationError, model: type[BaseModel], *, noun: str = "key", also: tuple[str, ...] = ()
) -> list[Problem]:
    """What pydantic found, in words for a person with a file in front of them.

    Args:
        err: From validating a `model`.
        model: Says which keys there are.
        noun: What a key of the outermost section is called.
        also: Keys that are known there though `model` does not have them.
    """
    problems: list[Problem] = []
    for error in err.errors(include_url=False):
        path: KeyPath = _as_written(tuple(error["loc"]), model)
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, ConfigError) and cause.problems:
            problems += [problem.within(path) for problem in cause.problems]
        elif error["type"] == "extra_forbidden":
            what, more = (noun, also) if len(path) == 1 else ("key", ())
            problems.append(_unknown_key(path, _model_at(model, path[:-1]), what, more))
        else:
            problems.append(Problem(path, _message(error["type"], error)))
    return problems


def _as_written(path: KeyPath, model: type[BaseModel]) -> KeyPath:
    """`path` with its first key as in a file: pydantic tells of a wrong default by the name in Python."""
    field = model.model_fields.get(str(path[0])) if path else None
    return (field.alias, *path[1:]) if field and field.alias else path


def _unknown_key(path: KeyPath, model: type[BaseModel], noun: str, also: tuple[str, ...]) -> Problem:
    key, known = str(path[-1]), [*keys_of(model), *also]
    former = getattr(model, "former", {})
    now = former.get({folded(each): each for each in former}.get(folded(key), ""), "")
    if now:
        return Problem(path, f"is a key of NNI 1; here it is {now}", meant=now)
    near = nearest(key, known)
    hint = f", did you mean {near!r}?" if near else f"\n  accepted: {', '.join(sorted(known))}"
    return Problem(path, f"no such {noun}{hint}", meant=near)


_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a section of keys and values",
    "model_type": "a section of keys and values",
    "model_attributes_type": "a section of keys and values",
    "dataclass_type": "a section of keys and values",
    "finite_number": "a finite number",
}

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def _message(kind: str, error: Any) -> str:
    context = error.get("ctx", {})
    if kind == "missing":
        return REQUIRED
    if kind in {"value_error", "assertion_error"}:
        return str(context.get("error") or error["msg"])
    seen = _shown(error["input"])
    if kind in _TYPES:
        hint = ""
        if error["input"] is None:
            hint = "; leave the key out to get the default"
        elif kind == "string_type" and isinstance(error["input"], bool | int | float):
            hint = "; quote it to make it so"
        return f"{seen} is not {_TYPES[kind]}{hint}"
    if kind in {"literal_error", "enum"}:
        expected = str(context.get("expected", ""))
        words = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
        one_of = "one of " if len(words) > 1 else ""
        return f"{seen} is not {one_of}{expected}{did_you_mean(str(error['input']), words)}"
    if kind == "string_too_short" and context["min_length"] == 1:
        return "is empty"
    if kind in _BOUNDS:
        limit, words_for = _BOUNDS[kind]
        return f"{seen} is not {words_for} {context[limit]}"
    return f"{seen}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _shown(value: Any) -> str:
    """A value for a message. What is inside of a section is left out: it may be a secret."""
    if isinstance(value, Mapping | list):
        return "a section" if isinstance(value, Mapping) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """The model that the section at `path` is checked against."""
    for part in path:
        for name, field in model.model_fields.items():
            if part in {name, field.alias} and (inner := _model_in(field.annotation)):
                model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in `Model`, `Model | None`, `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)
