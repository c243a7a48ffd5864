"""The manager's end of the trial channel: bytes in, records out.

Whatever a trial writes, this neither fails nor grows: a torn last line waits for its rest, a line
that is no message is reported as a problem, and one that is too long is skipped.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any, Iterator, NamedTuple

from tune.channel import FINAL, INTERMEDIATE, MAX_VALUE_BYTES, PROTOCOL

__all__ = ["Problem", "Record", "RecordReader"]

_MAX_LINE_BYTES = MAX_VALUE_BYTES + 4096


class Record(NamedTuple):
    """A message of a trial.

    `sequence` counts from 0 within the attempt, with gaps where lines were no messages. `value` is
    decoded JSON, not yet checked. `time` is in seconds since the epoch on the trial's machine.
    """

    sequence: int
    kind: str
    value: Any
    time: float


class Problem(NamedTuple):
    """A line that is no message, and why; for a person."""

    line: int
    text: str


class RecordReader:
    """Reads the channel of one attempt, in pieces of any size.

    Args:
        trial: Records that name another trial are problems.
        attempt: The same for the attempt.
        token: Given for a log (`stdout:` carrier): lines that do not begin with it are the trial's
            own output, and records carry their sequence number. Without it every line is a record
            and its number is the sequence number.
        after: Records up to this sequence number are skipped.
    """

    def __init__(self, trial: str, attempt: int, token: str | None = None, after: int = -1) -> None:
        self._trial = trial
        self._attempt = attempt
        self._token = None if token is None else token.encode() + b" "
        self._after = after
        self._line = 0  # number of the next line
        self._rest = b""  # of a line whose end has not come yet
        self._overlong = False  # the line being read is over the limit; its rest is dropped

    def feed(self, data: bytes) -> Iterator[Record | Problem]:
        """Read on; yields what `data` completes."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            number = self._line
            self._line += 1
            if self._overlong:
                self._overlong = False
                continue
            item = self._item(number, line)
            if item is not None:
                yield item
        if len(self._rest) > _MAX_LINE_BYTES:
            if not self._overlong and self._token is None:
                yield Problem(self._line, "longer than a message may be (1 MiB)")
            self._overlong = True
        if self._overlong:
            self._rest = b""

    def finish(self) -> Iterator[Record | Problem]:
        """The trial is over: a last line without a newline counts as it is."""
        return self.feed(b"\n") if self._rest else iter(())

    def _item(self, number: int, line: bytes) -> Record | Problem | None:
        if self._token is None:
            if number <= self._after or not line.strip():
                return None
        elif line.startswith(self._token):
            line = line[len(self._token) :]
        else:
            return None
        if len(line) > _MAX_LINE_BYTES:
            return Problem(number, "longer than a message may be (1 MiB)")
        try:
            record = self._record(number, line)
        except (ValueError, TypeError, RecursionError) as error:
            return Problem(number, f"{str(error) or type(error).__name__}: {_excerpt(line)}")
        return record if record.sequence > self._after else None

    def _record(self, number: int, line: bytes) -> Record:
        raw = _DECODER.decode(line.decode("utf-8"))
        if not isinstance(raw, dict) or raw.get("type") not in (INTERMEDIATE, FINAL) or "value" not in raw:
            raise ValueError('not a message such as {"type":"final","value":0.5}')
        for field, expected in (("tune", PROTOCOL), ("trial", self._trial), ("attempt", self._attempt)):
            if raw.get(field, expected) != expected:
                raise ValueError(f"{field} is {raw[field]!r}, expected {expected!r}")
        sequence = number if self._token is None else raw.get("seq")
        if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 0:
            raise ValueError("seq is missing")
        stamp = raw.get("time")
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
            stamp = time.time()
        return Record(sequence, raw["type"], raw["value"], stamp)


def _float(text: str) -> float | str:
    """A float, or how the channel spells what is beyond all floats, such as 1e999."""
    value = float(text)
    if math.isfinite(value):
        return value
    return "Infinity" if value > 0 else "-Infinity"


# NaN and infinities are no JSON, but a shell script may well write them.
_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=str)


def _excerpt(line: bytes) -> str:
    text = ascii(line[:100].decode("utf-8", "replace"))
    return text if len(line) <= 100 else text + "..."
