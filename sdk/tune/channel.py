"""The message of a trial, and the carriers that bring it to the manager.

A message is one line of JSON:

    {"tune":1,"trial":"Xk3Qa","attempt":0,"type":"final","value":0.93,"time":1760000000.5}

`file:/path` appends it to a file of the attempt's own. The number of its line, from 0, is its
sequence number, which is what makes processes and threads of one trial, and a shell script that
writes `echo '{"type":"final","value":0.93}' >> "$TUNE_CHANNEL_FILE"`, count together.

`stdout:TOKEN` prints `TOKEN {json}`, for platforms that keep a log and nothing else. TOKEN is a
secret of this trial, so that nothing it prints by chance is taken for a message. The record then
carries its sequence number as `seq`.

JSON is strict: NaN and infinities travel as the strings "NaN", "Infinity", "-Infinity".
The other end is `tune.host.reader`.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "FINAL",
    "INTERMEDIATE",
    "MAX_VALUE_BYTES",
    "PROTOCOL",
    "Carrier",
    "Console",
    "FileCarrier",
    "StdoutCarrier",
    "check_metric",
    "open_carrier",
]

PROTOCOL = 1
INTERMEDIATE = "intermediate"
FINAL = "final"
MAX_VALUE_BYTES = 1 << 20
_MAX_DEPTH = 50
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def check_metric(metric: Any) -> Any:
    """The JSON value that stands for `metric`, or TypeError or ValueError that says what is right."""
    if isinstance(metric, dict):
        if "default" in metric:
            default = _number(metric["default"], "the metric's 'default'")
            rest = {_key(key): _plain(item, 1) for key, item in metric.items() if key != "default"}
            return {"default": default, **rest}
        plain = {_key(key): _plain(item, 1) for key, item in metric.items()}
        if not any(_is_number(item) for item in plain.values()):
            raise ValueError(
                f"a metric that is a dictionary needs the number to optimize, under the key 'default' or "
                f"those that the experiment optimizes; its keys are {sorted(map(str, metric))}"
            )
        return plain
    return _number(metric, "a metric")


def _number(value: Any, what: str) -> Any:
    plain = _scalar(value)
    if isinstance(plain, bool) or not isinstance(plain, (int, float)):
        raise TypeError(
            f"{what} is a number, or a dictionary with one under 'default', not {type(value).__name__} "
            f"({_shown(value)}); convert it with float()"
        )
    return _finite_or_name(plain)


def _is_number(plain: Any) -> bool:
    is_named = isinstance(plain, str) and plain in _NOT_FINITE.values()
    return is_named or (isinstance(plain, (int, float)) and not isinstance(plain, bool))


def _scalar(value: Any) -> Any:
    """A Python number for a NumPy or torch scalar, or array of one element; else `value` itself."""
    if isinstance(value, (int, float)) or not callable(getattr(value, "item", None)):
        return value
    try:
        return value.item()
    except (TypeError, ValueError, RuntimeError):  # more than one element
        return value


def _finite_or_name(value: Any) -> Any:
    if isinstance(value, float):
        return _NOT_FINITE.get(repr(float(value)), float(value))
    return int(value)


def _plain(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(
            f"a metric may nest {_MAX_DEPTH} levels deep; this one is deeper, or contains itself"
        )
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    scalar = _scalar(value)
    if isinstance(scalar, bool):
        return scalar
    if isinstance(scalar, (int, float)):
        return _finite_or_name(scalar)
    raise TypeError(
        f"a metric holds numbers and other JSON values (strings, lists, dictionaries, None), "
        f"not {type(value).__name__} ({_shown(value)})"
    )


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the keys of a metric are strings, not {type(key).__name__} ({_shown(key)})")
    return key


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 (a foreign __repr__; the type alone must do)
        return "?"
    return text if len(text) <= 80 else text[:77] + "..."


def _dumps(value: Any) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    if len(text) > MAX_VALUE_BYTES:
        raise ValueError(
            f"a metric takes up to 1 MiB as JSON, this one is {len(text):,} bytes; "
            "write large results to a file in tune.get_output_dir()"
        )
    return text


class Carrier:
    """Sends metrics that `check_metric` has passed. Safe in threads and in forked children."""

    def send(self, kind: str, value: Any) -> None:
        raise NotImplementedError


class FileCarrier(Carrier):
    """Appends to the file of the attempt.

    A message has left the process when `send` returns, so it survives the process; a final result
    is on the disk. The file is opened and locked anew each time (some 10 microseconds), because a
    lock would be shared with forked children otherwise.
    """

    def __init__(self, path: str, trial: str, attempt: int) -> None:
        self._path = path
        self._head = f'{{"tune":{PROTOCOL},"trial":{json.dumps(trial)},"attempt":{attempt}'

    def send(self, kind: str, value: Any) -> None:
        payload = _dumps(value)
        fd = _open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            _lock(fd)
            line = f'{self._head},"type":"{kind}","value":{payload},"time":{time.time():.3f}}}\n'.encode()
            # A writer that was killed half-way left a torn line; what follows must not continue it.
            _write_all(fd, line if _at_line_start(fd) else b"\n" + line)
            if kind == FINAL:
                getattr(os, "fdatasync", os.fsync)(fd)
        finally:
            os.close(fd)  # frees the lock


class StdoutCarrier(Carrier):
    """Prints to the real standard output, in one write that begins on a fresh line.

    Writes of more than the pipe's atomic size (4 KiB) may be cut by what other processes print.
    The count of messages is kept in a file of the attempt's own, because a trial may report from
    several processes.
    """

    def __init__(self, token: str, count_path: str, trial: str, attempt: int) -> None:
        self._token = token
        self._count_path = count_path
        self._head = f'{{"tune":{PROTOCOL},"trial":{json.dumps(trial)},"attempt":{attempt}'

    def send(self, kind: str, value: Any) -> None:
        payload = _dumps(value)
        fd = _open(self._count_path, os.O_RDWR | os.O_CREAT)
        try:
            _lock(fd)
            count = int(os.read(fd, 20) or b"0")
            record = (
                f'{self._head},"seq":{count},"type":"{kind}","value":{payload},"time":{time.time():.3f}}}'
            )
            sys.stdout.flush()
            _write_all(1, f"\n{self._token} {record}\n".encode())
            os.lseek(fd, 0, os.SEEK_SET)
            _write_all(fd, str(count + 1).encode())
        finally:
            os.close(fd)


class Console(Carrier):
    """Prints for a person: the script runs alone."""

    def __init__(self) -> None:
        self._count = 0

    def send(self, kind: str, value: Any) -> None:
        text = value if isinstance(value, str) else _dumps(value)
        if kind == FINAL:
            print(f"tune: final result: {text}", flush=True)
        else:
            print(f"tune: intermediate result {self._count}: {text}", flush=True)
            self._count += 1


def open_carrier(environment: Mapping[str, str]) -> Carrier:
    """The carrier that the manager named in `TUNE_CHANNEL`."""
    address = environment.get("TUNE_CHANNEL", "")
    scheme, _, rest = address.partition(":")
    if rest and scheme in ("file", "stdout"):
        trial = environment["TUNE_TRIAL_ID"]
        attempt = int(environment.get("TUNE_TRIAL_ATTEMPT", "0"))
        if scheme == "file":
            return FileCarrier(rest, trial, attempt)
        count_path = os.path.join(environment["TUNE_OUTPUT_DIR"], ".tune-sequence")
        return StdoutCarrier(rest, count_path, trial, attempt)
    raise RuntimeError(
        f"TUNE_CHANNEL is {address!r}, but TUNE_PLATFORM says that this is a trial. "
        "Pass the whole environment on to child processes, or unset TUNE_PLATFORM to run alone."
    )


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o600)


def _lock(fd: int) -> None:
    if fcntl is None:  # Windows: a message is one append, which must do
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # file systems without locks
            raise


def _at_line_start(fd: int) -> bool:
    end = os.lseek(fd, 0, os.SEEK_END)
    if end == 0:
        return True
    os.lseek(fd, end - 1, os.SEEK_SET)
    return os.read(fd, 1) == b"\n"


def _remark(text: str) -> None:
    """Say something on standard error, which may go to the disk that is full."""
    try:
        print("tune: " + text, file=sys.stderr, flush=True)
    except OSError:
        pass


def _write_all(fd: int, data: bytes) -> None:
    """Write `data`; on a full disk wait for space, since a result must not be lost to that."""
    waited = False
    while data:
        try:
            data = data[os.write(fd, data) :]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if not waited:
                _remark("no space to report a metric; waiting for some")
            waited = True
            time.sleep(1)
