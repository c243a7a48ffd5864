"""Frames: whatever way they are cut, they come out as they went in."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune.host.wire import MAX_BODY, MAX_LINE, FrameReader, WireError, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FRAMES = st.lists(
    st.tuples(st.dictionaries(st.text(), VALUES, max_size=3), st.binary(max_size=200)), max_size=5
)


@settings(max_examples=50)
@given(FRAMES, st.lists(st.integers(1, 60), min_size=1, max_size=10))
def test_frames_survive_any_cutting(frames: list[tuple[dict[str, Any], bytes]], cuts: list[int]) -> None:
    sent = [({**message, "type": "x"}, body) for message, body in frames]
    for message, _ in sent:
        message.pop("bytes", None)
    data = b"".join(encode(message, body) for message, body in sent)
    reader = FrameReader()
    received: list[tuple[dict[str, Any], bytes]] = []
    turn = 0
    while data:
        cut = cuts[turn % len(cuts)]
        received += reader.feed(data[:cut])
        data = data[cut:]
        turn += 1
    assert received == sent


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n",
        b"[]\n",
        b'{"no": "type"}\n',
        b'{"type": 1}\n',
        b'{"type": "x", "bytes": -1}\n',
        b'{"type": "x", "bytes": true}\n',
        b'{"type": "x", "bytes": "3"}\n',
        b'{"type": "x", "bytes": %d}\n' % (MAX_BODY + 1),
        b'{"type": "\xff"}\n',
        b"[" * 100_000 + b"\n",
        b"\n",
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        list(FrameReader().feed(data))


def test_endless_line_is_refused_before_it_fills_memory() -> None:
    reader = FrameReader()
    piece = b"x" * (1 << 20)
    for _ in range(MAX_LINE // len(piece)):
        assert list(reader.feed(piece)) == []
    with pytest.raises(WireError, match="over the limit"):
        list(reader.feed(piece))


@pytest.mark.parametrize("message", [{"type": "x", "v": float("nan")}, {"type": "x", "v": object()}])
def test_what_json_cannot_hold_is_not_sent(message: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        encode(message)


def test_too_large_frames_are_not_sent() -> None:
    with pytest.raises(WireError, match="over the limit"):
        encode({"type": "x"}, b"x" * (MAX_BODY + 1))
    with pytest.raises(WireError, match="over the limit"):
        encode({"type": "x", "text": "x" * MAX_LINE})


def test_reading_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        data = encode({"type": "x", "text": "x" * size})
        reader = FrameReader()
        begun = time.thread_time()
        for start in range(0, len(data), 1000):
            list(reader.feed(data[start : start + 1000]))
        return time.thread_time() - begun

    seconds(1000)
    # Sixteen times as much, in pieces of the same size: quadratic time would be 256 times as long.
    # The best of three, since what else the machine does costs this thread time as well.
    long, short = (min(seconds(size) for _ in range(3)) for size in (8 << 20, 1 << 19))
    assert long < 80 * max(short, 0.001)
