"""The command of one trial: values put into it, and metrics read from what it prints or writes.

`{lr}` in `trialCommand` is replaced by the value of the parameter `lr`, `{layer.units}` by one inside of
it. What names no parameter is left as it is, so that braces of the shell and of other programs survive;
`{{lr}}` is `{lr}` itself, and `${lr}` a variable of the shell.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tune_core.space import Leaf, SearchSpace

__all__ = ["fields_of", "inject", "observed", "paths_of"]

_FIELD = re.compile(r"(?P<open>\{)?\{(?P<path>[^{}\s\"'$`\\]+)\}(?(open)\}|)")


def paths_of(space: SearchSpace) -> frozenset[str]:
    """What names a parameter between braces: `layer.units` in whichever branch of `layer` it is.

    The choice itself, `layer`, stands for the name of the branch.
    """
    return frozenset(_paths(tuple(space), ""))


def _paths(leaves: Iterable[Leaf], prefix: str) -> Iterator[str]:
    for leaf in leaves:
        path = prefix + leaf.name
        yield path
        for inside in leaf.branches:
            yield from _paths(inside, f"{path}.")


def fields_of(command: str) -> Iterator[str]:
    """What stands between braces in a command, as far as it could be a parameter."""
    for match in _FIELD.finditer(command):
        if not match["open"] and not _is_variable(command, match.start()):
            yield match["path"]


def inject(command: str, parameters: Mapping[str, Any], known: frozenset[str] = frozenset()) -> str:
    r"""`command` with the values of `parameters` in it, quoted for the shell.

    Args:
        known: Paths that are parameters though this configuration may not have them, because they are
            of another branch: nothing is put in for them.

    >>> inject("train --lr {lr} --tag '{tag}' {tag} ${lr} {{lr}} {a,b}", {"lr": 0.1, "tag": "it's"})
    "train --lr 0.1 --tag 'it'\\''s' 'it'\"'\"'s' ${lr} {lr} {a,b}"
    """
    pieces: list[str] = []
    done = 0
    for match in _FIELD.finditer(command):
        path, start = match["path"], match.start()
        found, value = _look_up(parameters, path)
        if _is_variable(command, start) or not (found or path in known):
            continue
        pieces.append(command[done:start])
        if match["open"]:
            pieces.append("{" + path + "}")
        else:
            pieces.append(_quoted(_text(value), _quotes_at(command, start)))
        done = match.end()
    return "".join(pieces) + command[done:]


def observed(command: str, metrics: Mapping[str, Any]) -> str:
    """`command`, run by `tune.observe`, which reports the metrics."""
    words = (json.dumps(dict(metrics)), command)
    return f'exec "$TUNE_PYTHON" "$TUNE_SDK/tune/observe.py" {" ".join(map(shlex.quote, words))}'


def _is_variable(command: str, start: int) -> bool:
    return start > 0 and command[start - 1] == "$"


def _look_up(parameters: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    """Whether there is such a value, and which; a whole name goes before one with points."""
    if path in parameters:
        return True, parameters[path]
    head, _, rest = path.partition(".")
    while rest:
        inner = parameters.get(head)
        if isinstance(inner, Mapping):
            return _look_up(inner, rest)
        more, _, rest = rest.partition(".")
        head = f"{head}.{more}"
    return False, None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and "_name" in value:
        return str(value["_name"])
    return json.dumps(value)


def _quotes_at(command: str, position: int) -> str:
    """The quote that is open at a position: `'`, `"`, or none."""
    quote = ""
    place = 0
    while place < position:
        char = command[place]
        if char == "\\" and quote != "'":
            place += 1
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        place += 1
    return quote


def _quoted(text: str, quote: str) -> str:
    """`text` for a place inside of `quote`."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote == '"':
        return re.sub(r'([\\"$`])', r"\\\1", text)
    return shlex.quote(text)
