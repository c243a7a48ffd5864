"""Runs a command that knows nothing of `tune`, and reports what it prints or writes.

    python observe.py '{"log": "accuracy: ([0-9.]+)"}' 'train --rate 0.1'

For `metrics` in a configuration. What the command prints goes through at once and unchanged; its exit
status becomes this one. Where what was to be reported did not come, the exit status is 65, so that the
trial fails and says why.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["NO_METRIC", "Lines", "find_metric", "main", "observe", "read_file", "trace_of"]

NO_METRIC = 65  # EX_DATAERR
_PIECE = 1 << 16
_LONGEST_LINE = 1 << 20
_BREAK = re.compile(rb"[\r\n]")


class Lines:
    """Puts pieces of output together to lines. A carriage return ends one too: progress bars use it."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        *whole, self._rest = _BREAK.split(self._rest + piece)
        self._rest = self._rest[-_LONGEST_LINE:]
        for line in whole:
            self._take(line.decode("utf-8", "replace"))

    def close(self) -> None:
        """Take what has no end of line."""
        self.feed(b"\n")


def find_metric(pattern: re.Pattern[str], line: str) -> Iterator[Any]:
    r"""The metrics in a line: a number for the group, or a dictionary where groups have names.

    >>> list(find_metric(re.compile(r"acc=(\S+)"), "acc=0.5 acc=0.75"))
    [0.5, 0.75]
    >>> list(find_metric(re.compile(r"(?P<default>\S+) in (?P<seconds>\d+) s"), "0.5 in 20 s"))
    [{'default': 0.5, 'seconds': 20}]
    """
    for match in pattern.finditer(line):
        named = {name: _number(text) for name, text in match.groupdict().items() if text is not None}
        yield named or _number(match.group(1))


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


def trace_of(path: str) -> tuple[int, ...] | None:
    """What changes when a file is written; None while there is none. Says nothing about clocks."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_file(path: str, key: str | None) -> Any:
    """The metric in a JSON file.

    Args:
        key: Where in it the number is, names with points between them; None if the whole is the metric.

    Raises:
        ValueError: There is none; says why.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as err:
        raise ValueError(f"{path} cannot be read: {err.strerror}") from err
    except ValueError as err:
        raise ValueError(f"{path} is not JSON: {err}") from err
    if key is None:
        return content
    value = content
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            known = f"; there are {', '.join(map(str, value))}" if isinstance(value, dict) else ""
            raise ValueError(f"{path} has no {key!r}{known}")
        value = value[part]
    return {**{name: each for name, each in content.items() if name != key}, "default": value}


def observe(spec: dict[str, Any], command: str) -> int:
    """Run `command` and report; returns the exit status."""
    import tune

    watch = _Watch(spec)
    status = _run(command, watch.look if watch.patterns else None)
    if status:
        return status
    try:
        tune.report_final_result(watch.final())
    except (TypeError, ValueError) as err:
        _say(str(err))
        return NO_METRIC
    return 0


class _Watch:
    """What the specification asks to be looked for, and what was seen of it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.patterns = {kind: re.compile(spec[kind]) for kind in ("log", "final") if spec.get(kind)}
        self._key = spec.get("key")
        self._path = os.path.expanduser(os.path.expandvars(spec.get("file") or ""))
        self._before = trace_of(self._path)
        self._seen: dict[str, Any] = {}
        self._complaints: set[str] = set()

    def look(self, line: str) -> None:
        """Look through a line, and report the intermediate results in it."""
        import tune

        for kind, pattern in self.patterns.items():
            try:
                for metric in find_metric(pattern, line):
                    self._seen[kind] = metric
                    if kind == "log":
                        tune.report_intermediate_result(metric)
            except (TypeError, ValueError) as err:
                if kind not in self._complaints:  # once, not for every line
                    self._complaints.add(kind)
                    _say(f"metrics.{kind}: {err}, in the line {line[:200]!r}")

    def final(self) -> Any:
        """The final result.

        Raises:
            ValueError: There is none; says why.
        """
        if self._path:
            if self._before is not None and trace_of(self._path) == self._before:
                raise ValueError(f"{self._path} was not written by this trial: it is as it was before")
            return read_file(self._path, self._key)
        last = "final" if "final" in self.patterns else "log"
        if last not in self._seen:
            raise ValueError(
                f"metrics.{last}: nothing that was printed matches {self.patterns[last].pattern!r}"
            )
        return self._seen[last]


def _run(command: str, look: Callable[[str], None] | None) -> int:
    """Run a command; each line of its output and its errors is shown to `look`, and passed on."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Whoever ends the trial tells the command too, and what it says about that is passed on. Handlers
        # are not inherited as ignored signals are.
        signal.signal(number, _wait_on)
    pipe = None if look is None else subprocess.PIPE
    process = _start(command, pipe)
    if look is not None:
        _relay(process, look)
    status = process.wait()
    return 128 - status if status < 0 else status


def _start(command: str, pipe: int | None) -> subprocess.Popen[bytes]:
    for shell in ("bash", "/bin/sh"):  # as trials are started
        try:
            return subprocess.Popen([shell, "-c", "--", command], stdout=pipe, stderr=pipe)
        except FileNotFoundError:
            continue
    raise FileNotFoundError("/bin/sh")


def _wait_on(_number: int, _frame: Any) -> None:
    pass


def _relay(process: subprocess.Popen[bytes], look: Callable[[str], None]) -> None:
    selector = selectors.DefaultSelector()
    lines = {}
    for source, target in ((process.stdout, 1), (process.stderr, 2)):
        assert source is not None
        lines[target] = Lines(look)
        selector.register(source, selectors.EVENT_READ, target)
    while selector.get_map():
        for key, _ in selector.select():
            piece = os.read(key.fd, _PIECE)
            if not piece:
                selector.unregister(key.fileobj)
                lines[key.data].close()
                continue
            _pass_on(key.data, piece)
            lines[key.data].feed(piece)


def _pass_on(target: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        try:
            view = view[os.write(target, view) :]
        except OSError:
            return  # a full disk must not keep the metrics from being reported


def _say(text: str) -> None:
    sys.stderr.write(f"tune: {text}\n")


def main(arguments: list[str]) -> int:
    spec, command = arguments
    return observe(json.loads(spec), command)


if __name__ == "__main__":
    # The folder of this file holds the parts of `tune`; they are imported by their full names.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main(sys.argv[1:]))
