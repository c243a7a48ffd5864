"""What trial scripts and algorithms take from `nni.utils`."""

from __future__ import annotations

import functools
from enum import Enum
from typing import Any, Iterable

from nni import parameter_expressions
from nni.common.validation import ClassArgsValidator
from tune.utils import merge_parameter

__all__ = [
    "ClassArgsValidator",
    "MetricType",
    "NodeType",
    "OptimizeMode",
    "convert_dict2tuple",
    "extract_scalar_history",
    "extract_scalar_reward",
    "json2parameter",
    "json2space",
    "merge_parameter",
    "randint_to_quniform",
    "split_index",
]


class OptimizeMode(Enum):
    """Which way is better."""

    Minimize = "minimize"
    Maximize = "maximize"


class NodeType:
    """The keys of a search space and of nested configurations."""

    ROOT = "root"
    TYPE = "_type"
    VALUE = "_value"
    INDEX = "_index"
    NAME = "_name"


class MetricType:
    """The kinds of messages of a trial."""

    PERIODICAL = "PERIODICAL"
    FINAL = "FINAL"
    REQUEST_PARAMETER = "REQUEST_PARAMETER"


def extract_scalar_reward(value: Any, scalar_key: str = "default") -> float:
    """The number of a result, which is one or has one under `scalar_key`.

    Raises:
        RuntimeError: It is something else.
    """
    found = value.get(scalar_key) if isinstance(value, dict) else value
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise RuntimeError(  # noqa: TRY004 (NNI's)
            f"a result is a number, or a dictionary with one under {scalar_key!r}, not {value!r}"
        )
    return found


def extract_scalar_history(trial_history: Iterable[Any], scalar_key: str = "default") -> list[float]:
    """The numbers of a trial's intermediate results."""
    return [extract_scalar_reward(each, scalar_key) for each in trial_history]


def split_index(params: Any) -> Any:
    """A nested configuration without the indices of its choices.

    >>> split_index({"x": {"_index": 1, "_value": 0.5}})
    {'x': 0.5}
    """
    if not isinstance(params, dict):
        return params
    if NodeType.INDEX in params:
        return split_index(params[NodeType.VALUE])
    return {key: split_index(value) for key, value in params.items()}


def convert_dict2tuple(value: Any) -> Any:
    """A configuration as something that a set takes."""
    if isinstance(value, dict):
        return tuple(sorted((key, convert_dict2tuple(each)) for key, each in value.items()))
    return value


def json2space(in_x: Any, name: str = NodeType.ROOT) -> list[str]:
    """The names of all parameters of a search space: `root[lr]-uniform`, nested ones after theirs."""
    if not isinstance(in_x, dict):
        return []
    if NodeType.TYPE not in in_x:
        return [each for key, value in in_x.items() for each in json2space(value, f"{name}[{key}]")]
    name = f"{name}-{in_x[NodeType.TYPE]}"
    found = [name]
    if in_x[NodeType.TYPE] == "choice":
        for option in in_x[NodeType.VALUE]:
            if isinstance(option, dict) and NodeType.NAME in option:
                found += json2space(option, f"{name}[{option[NodeType.NAME]}]")
    return found


def json2parameter(
    in_x: Any,
    is_rand: dict[str, bool],
    random_state: Any,
    oldparameters: Any = None,
    Rand: bool = False,  # noqa: N803 (NNI's name)
    name: str = NodeType.ROOT,
) -> Any:
    """A configuration with indices: what `is_rand` says is drawn anew, the rest is of the old one.

    Args:
        is_rand: By the names of `json2space`.
        oldparameters: The configuration with indices that is changed.
        Rand: Draw everything.
    """
    old = functools.partial(_below, oldparameters)
    if not isinstance(in_x, dict):
        return in_x
    if NodeType.TYPE not in in_x:
        return {
            key: value
            if key == NodeType.NAME
            else json2parameter(value, is_rand, random_state, old(key), Rand, f"{name}[{key}]")
            for key, value in in_x.items()
        }
    kind, arguments = in_x[NodeType.TYPE], in_x[NodeType.VALUE]
    name = f"{name}-{kind}"
    anew = Rand or is_rand.get(name, False) or oldparameters is None
    if kind != "choice":
        return getattr(parameter_expressions, kind)(*arguments, random_state) if anew else oldparameters
    index = int(random_state.randint(len(arguments))) if anew else oldparameters[NodeType.INDEX]
    option = arguments[index]
    inner = option[NodeType.NAME] if isinstance(option, dict) and NodeType.NAME in option else index
    value = json2parameter(
        option, is_rand, random_state, None if anew else old(NodeType.VALUE), Rand or anew, f"{name}[{inner}]"
    )
    return {NodeType.INDEX: index, NodeType.VALUE: value}


def _below(parameters: Any, key: str) -> Any:
    return parameters.get(key) if isinstance(parameters, dict) else None


def randint_to_quniform(in_x: Any) -> None:
    """Change `randint` in a search space to `quniform` with step 1, in place."""
    if not isinstance(in_x, dict):
        return
    if in_x.get(NodeType.TYPE) == "randint":
        low, high = in_x[NodeType.VALUE]
        in_x[NodeType.TYPE], in_x[NodeType.VALUE] = "quniform", [low, high - 1, 1]
    elif in_x.get(NodeType.TYPE) == "choice":
        for option in in_x[NodeType.VALUE]:
            randint_to_quniform(option)
    else:
        for each in in_x.values():
            randint_to_quniform(each)
