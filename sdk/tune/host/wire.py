"""Frames: what the manager and a host server say to each other, through one pipe.

A frame is one line, a JSON object with a `type`; when it has `"bytes": n`, n raw bytes follow the
newline.
"""

from __future__ import annotations

import json
from typing import Any, Iterator, Mapping

__all__ = ["MAX_BODY", "MAX_LINE", "PIECE", "FrameReader", "WireError", "encode"]

PIECE = 128 * 1024
"""Bytes of bulk data in one frame, at most: little enough to let other frames pass between."""

MAX_LINE = 16 << 20
MAX_BODY = 1 << 20


class WireError(ValueError):
    """What came is no frame, or what was to be sent does not fit into one."""


def encode(message: Mapping[str, Any], body: bytes = b"") -> bytes:
    """A frame; with a body, `bytes` is set.

    Raises:
        WireError: It is too large, or holds what JSON cannot.
    """
    if len(body) > MAX_BODY:
        raise WireError(f"a body of {len(body)} bytes is over the limit of {MAX_BODY}")
    if body:
        message = {**message, "bytes": len(body)}
    try:
        line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"cannot be sent: {error}") from error
    if len(line) > MAX_LINE:
        raise WireError(f"a line of {len(line)} bytes is over the limit of {MAX_LINE}")
    return line + b"\n" + body


class FrameReader:
    """Puts frames together from pieces of any size; holds no more than one of them."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of the line or body that is being read
        self._size = 0
        self._message: dict[str, Any] | None = None  # whose body is being read
        self._wanted = 0  # bytes of that body

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Read on; yields what `data` completes.

        Raises:
            WireError: This is no frame. Nothing that follows can be understood either.
        """
        start = 0
        while start < len(data):
            if self._message is not None:
                end = min(len(data), start + self._wanted - self._size)
                self._keep(data[start:end])
                start = end
                if self._size == self._wanted:
                    message, self._message = self._message, None
                    yield message, self._take()
                continue
            newline = data.find(b"\n", start)
            end = len(data) if newline < 0 else newline
            if self._size + end - start > MAX_LINE:
                raise WireError(f"a line is over the limit of {MAX_LINE} bytes")
            self._keep(data[start:end])
            start = end + 1
            if newline >= 0:
                message = _message(self._take())
                self._wanted = _body_size(message)
                if self._wanted:
                    self._message = message
                else:
                    yield message, b""

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)

    def _take(self) -> bytes:
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return whole


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a frame: {_excerpt(line)}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise WireError(f"not a frame: {_excerpt(line)}")
    return message


def _body_size(message: dict[str, Any]) -> int:
    size = message.pop("bytes", 0)
    if type(size) is not int or not 0 <= size <= MAX_BODY:
        raise WireError(f"a body of {size!r} bytes is not between 0 and {MAX_BODY}")
    return size


def _excerpt(line: bytes) -> str:
    text = ascii(line[:100].decode("utf-8", "replace"))
    return text if len(line) <= 100 else text + "..."
