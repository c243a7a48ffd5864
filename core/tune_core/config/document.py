"""Reading YAML and JSON that somebody else may have written, and remembering where each key was.

A document is data: mappings with text keys, lists, text, numbers, booleans and null. Anything that
YAML can do beyond that is refused, and so is what would not survive as JSON: NaN, infinity, integers
above 64 bits. Keys stay as they are written, so that a parameter may be called `on` or `1`.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tune_core.config.problems import KeyPath, Place, Problem, error_of
from tune_core.errors import ConfigError

__all__ = ["Document", "dump_document", "parse_document", "read_document"]

MAX_BYTES = 1 << 20
MAX_NODES = 10_000  # after aliases are expanded
MAX_JSON_NODES = 100_000  # JSON has no aliases, and lists of configurations can be long
MAX_DEPTH = 50

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.1 as NNI read it, without its traps: 1:30 is no number, 2020-01-01 no date, 1e-5 no text.
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"yes|Yes|YES|true|True|TRUE|on|On|ON")
_FALSE = re.compile(r"no|No|NO|false|False|FALSE|off|Off|OFF")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?0b[01_]+|[-+]?0o?[0-7_]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str")}


@dataclass
class Document:
    """What a file said.

    Attributes:
        places: Where each key, and each item of a list, begins.
    """

    value: Any
    file: str
    places: dict[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Place:
        """Where `path` is written, or else what is around it; keys may be spelt in other cases."""
        folded = {_folded(known): place for known, place in self.places.items()}
        for length in range(len(path), 0, -1):
            if found := self.places.get(path[:length]) or folded.get(_folded(path[:length])):
                return found
        return Place(self.file)


def read_document(path: Path, name: str = "") -> Document:
    """Read the file at `path`; `name` is what messages call it.

    Raises:
        ConfigError: It is not there, not a plain file, too large, not UTF-8, or not a document.
    """
    name = name or str(path)
    try:
        info = path.stat()
        with path.open("rb") if stat.S_ISREG(info.st_mode) else nullcontext() as file:
            raw = file.read(MAX_BYTES + 1) if file else b""
    except (OSError, ValueError) as err:  # ValueError: NUL in the name
        raise _error(name, f"cannot be read: {getattr(err, 'strerror', None) or err}") from err
    if not stat.S_ISREG(info.st_mode):
        what = "a folder" if stat.S_ISDIR(info.st_mode) else "a device or a pipe"
        raise _error(name, f"is {what}, not a file")
    if len(raw) > MAX_BYTES:
        raise _error(name, f"is {info.st_size:,} bytes long, the limit is {MAX_BYTES:,}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        raise _error(name, f"is not UTF-8 text: byte 0x{raw[err.start]:02x}", line, 1) from err
    return parse_document(text, name, prefer_json=path.suffix == ".json")


def dump_document(value: Any) -> str:
    """`value`, JSON values only, as YAML that `parse_document` reads as the same."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `parse_document` would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    breaks = any(each in text for each in "\x85\u2028\u2029")  # lines, unless they are escaped
    is_plain = isinstance(_scalar(text), str) and not breaks
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)


def parse_document(text: str, name: str, *, prefer_json: bool = False) -> Document:
    """Parse YAML, or JSON when it is that (YAML does not take all of it, such as tabs).

    Raises:
        ConfigError: With each problem and its place.
    """
    wrong: Exception | None = None
    if prefer_json or text.lstrip()[:1] in {"{", "["}:
        try:
            json.loads(text)
        except json.JSONDecodeError as err:
            wrong = _error(name, f"is not JSON: {err.msg}", err.lineno, err.colno)
        except (ValueError, RecursionError):
            pass  # an endless number, or too deep: YAML's limits say where
        else:
            return _Builder(name, MAX_JSON_NODES).build(_json_events(text))
    for _ in range(_MOST_TABS):
        try:
            return _Builder(name, MAX_NODES).build(_yaml_events(text, name))
        except ConfigError as err:
            mended = _with_blanks(text, err.problems[0].place)
            if mended is None:
                raise (wrong if prefer_json and wrong else err) from None
            text = mended
    return _Builder(name, MAX_NODES).build(_yaml_events(text, name))


_MOST_TABS = 100


def _with_blanks(text: str, place: Place | None) -> str | None:
    """`text` with blanks for the tabs before a comment that cannot be read; None if it is no such comment.

    YAML allows them, its parser does not.
    """
    lines = text.splitlines(keepends=True)
    if place is None or not 0 < place.line <= len(lines):
        return None
    line = lines[place.line - 1]
    comment = line.lstrip(" \t")
    before = line[: len(line) - len(comment)]
    if "\t" not in before or not comment.startswith("#"):
        return None
    lines[place.line - 1] = before.replace("\t", " ") + comment
    return "".join(lines)


def _error(name: str, message: str, line: int = 0, column: int = 0) -> ConfigError:
    return error_of([Problem((), message, Place(name, line, column))])


def _folded(path: KeyPath) -> KeyPath:
    return tuple(part if isinstance(part, int) else part.replace("_", "").lower() for part in path)


@dataclass(frozen=True)
class _Event:
    """One step through a document. `kind`: one of `[ ] { } scalar alias`."""

    kind: str
    value: Any = None
    key_text: str = ""  # a scalar as it is written, for use as a key
    anchor: str | None = None
    line: int = 0
    column: int = 0


@dataclass
class _Container:
    value: Any  # the list or dictionary that is being filled
    path: KeyPath
    anchor: str | None
    key: str | None = None
    seen: set[str] = field(default_factory=set)  # keys written here, not merged from elsewhere
    start: int = 0  # nodes seen before it


class _Builder:
    """Turns events into a value, with limits on its size. No recursion: depth is an attack."""

    def __init__(self, name: str, max_nodes: int) -> None:
        self._document = Document(None, name)
        self._max_nodes = max_nodes
        self._problems: list[Problem] = []
        self._stack: list[_Container] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def build(self, events: Iterator[_Event]) -> Document:
        for event in events:
            self._take(event)
        if self._problems:
            raise error_of(self._problems, self._document.file)
        return self._document

    def _take(self, event: _Event) -> None:
        if event.kind in "]}":
            self._close()
            return
        container = self._stack[-1] if self._stack else None
        if container and isinstance(container.value, dict) and container.key is None:
            self._take_key(container, event)
            return
        path = self._next_path(container)
        if isinstance(path[-1] if path else None, int):
            self._document.places[path] = Place(self._document.file, event.line, event.column)
        if event.kind in "[{":
            self._open(event, path)
        else:
            self._put(self._value(event), event)

    def _take_key(self, container: _Container, event: _Event) -> None:
        place = Place(self._document.file, event.line, event.column)
        if event.kind != "scalar":
            raise error_of([Problem(container.path, "keys are plain text", place)])
        container.key = event.key_text
        path = (*container.path, event.key_text)
        self._count(1, event)
        if reason := _unfit(event.key_text):
            self._problems.append(Problem(path, reason, place))
        if event.key_text in container.seen:
            first = self._document.places.get(path)
            where = f", first in line {first.line}" if first else ""
            self._problems.append(Problem(path, f"is there twice{where}", place))
        else:
            container.seen.add(event.key_text)
            self._document.places[path] = place

    def _next_path(self, container: _Container | None) -> KeyPath:
        if container is None:
            return ()
        last = container.key if isinstance(container.value, dict) else len(container.value)
        assert last is not None
        return (*container.path, last)

    def _open(self, event: _Event, path: KeyPath) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise _error(
                self._document.file, f"is nested deeper than {MAX_DEPTH} levels", event.line, event.column
            )
        self._count(1, event)
        self._stack.append(_Container([] if event.kind == "[" else {}, path, event.anchor, start=self._nodes))

    def _close(self) -> None:
        container = self._stack.pop()
        if container.anchor:
            self._anchors[container.anchor] = (container.value, self._nodes - container.start + 1)
        self._put(container.value, None)

    def _put(self, value: Any, event: _Event | None) -> None:
        if event is not None and event.anchor and event.kind == "scalar":
            self._anchors[event.anchor] = (value, 1)
        if not self._stack:
            self._document.value = value
            return
        container = self._stack[-1]
        if isinstance(container.value, list):
            container.value.append(value)
            return
        key, container.key = container.key, None
        assert key is not None
        if key == "<<" and event is not None and event.kind == "alias" and isinstance(value, dict):
            container.value.update({k: v for k, v in value.items() if k not in container.seen})
        else:
            container.value[key] = value

    def _value(self, event: _Event) -> Any:
        if event.kind == "alias":
            if event.value not in self._anchors:
                raise _error(
                    self._document.file, f"no anchor &{event.value} before this", event.line, event.column
                )
            value, size = self._anchors[event.value]
            self._count(size, event)
            return value
        self._count(1, event)
        if reason := _unfit(event.value):
            path = self._next_path(self._stack[-1] if self._stack else None)
            self._problems.append(Problem(path, reason, Place(self._document.file, event.line, event.column)))
        return event.value

    def _count(self, nodes: int, event: _Event) -> None:
        self._nodes += nodes
        if self._nodes > self._max_nodes:
            raise _error(
                self._document.file,
                f"has more than {self._max_nodes:,} values, counting each alias as what it stands for",
                event.line,
                event.column,
            )


def _unfit(value: Any) -> str:
    """Why a scalar cannot be taken; empty when it can."""
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a finite number"
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return "is an integer of more than 64 bits"
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= char <= "\udfff" for char in value)):
        return "contains a character that is not text (NUL, or half of a surrogate pair)"
    return ""


def _yaml_events(text: str, name: str) -> Iterator[_Event]:
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            mark = event.start_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _error(name, "holds several documents, one is wanted", line, column)
            elif isinstance(event, yaml.AliasEvent):
                yield _Event("alias", event.anchor, line=line, column=column)
            elif isinstance(event, yaml.NodeEvent):
                tag = getattr(event, "tag", None)
                if tag not in {None, "!", *_PLAIN_TAGS}:
                    raise _error(name, f"tag {tag!r} is not allowed", line, column)
                if isinstance(event, yaml.ScalarEvent):
                    plain = event.implicit[0] and tag is None
                    value = _scalar(event.value) if plain else event.value
                    yield _Event("scalar", value, event.value, event.anchor, line, column)
                else:
                    kind = "[" if isinstance(event, yaml.SequenceStartEvent) else "{"
                    yield _Event(kind, anchor=event.anchor, line=line, column=column)
            elif isinstance(event, yaml.CollectionEndEvent):
                yield _Event("]")
    except yaml.YAMLError as err:
        at = getattr(err, "problem_mark", None)
        reason = getattr(err, "problem", None) or getattr(err, "reason", None) or str(err)
        context = getattr(err, "context", None)
        where = (at.line + 1, at.column + 1) if at else (0, 0)
        detail = f" ({context})" if context else ""
        raise _error(name, f"is not YAML: {reason}{detail}", *where) from err


def _scalar(text: str) -> Any:
    """What an unquoted word of YAML means."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return bool(_TRUE.fullmatch(text))
    if _NOT_FINITE.fullmatch(text):
        return math.nan
    digits = text.replace("_", "")
    if _INT.fullmatch(text):
        return _integer(digits)
    if _FLOAT.fullmatch(text) and any(char.isdigit() for char in text):
        return float(digits)
    return text


def _integer(digits: str) -> int:
    if len(digits) > 80:
        return 10**80  # too large in any base, and quadratic to convert
    sign, body = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
    if len(body) > 1 and body[0] == "0" and body[1].isdigit():
        body = "0o" + body[1:]
    return sign * int(body, 0)


_JSON_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\]:,\n]|[^\s{}\[\]:,"]+', re.DOTALL)
_JSON_WORDS: Mapping[str, Any] = {"null": None, "true": True, "false": False}


def _json_events(text: str) -> Iterator[_Event]:
    """Events of a text that is known to be JSON."""
    line, line_start = 1, 0
    for match in _JSON_TOKEN.finditer(text):
        word = match[0]
        column = match.start() - line_start + 1
        if word == "\n":
            line, line_start = line + 1, match.end()
        elif word in "[]{}":
            yield _Event(word, line=line, column=column)
        elif word[0] == '"':
            value = json.loads(word)
            yield _Event("scalar", value, value, None, line, column)
        elif word not in ":,":
            value = _JSON_WORDS[word] if word in _JSON_WORDS else _json_number(word)
            yield _Event("scalar", value, word, None, line, column)


def _json_number(word: str) -> int | float:
    if word.lstrip("-").isdigit():
        return _integer(word)
    return float(word)  # also NaN and Infinity, which Python's JSON takes and `_unfit` refuses
