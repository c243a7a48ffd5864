"""The manager's end of the channel takes whatever a trial writes."""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path

import pytest

from tune.channel import FINAL, INTERMEDIATE, FileCarrier
from tune.host import Problem, Record, RecordReader


def read(data: bytes, reader: RecordReader | None = None, piece: int = 1 << 20) -> list[Record | Problem]:
    reader = reader or RecordReader("Xk3Qa", 0)
    items: list[Record | Problem] = []
    for start in range(0, len(data), piece):
        items += reader.feed(data[start : start + piece])
    return items + list(reader.finish())


def test_reader_reads_what_the_carrier_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", itertools.count(1_600_000_000.125).__next__)
    path = tmp_path / "messages.jsonl"
    carrier = FileCarrier(str(path), "Xk3Qa", 0)
    carrier.send(INTERMEDIATE, {"default": 0.5, "note": "é\n"})
    carrier.send(FINAL, "NaN")
    first, second = read(path.read_bytes())
    assert isinstance(first, Record)
    assert first[:3] == (0, "intermediate", {"default": 0.5, "note": "é\n"})
    assert isinstance(second, Record)
    assert second[:3] == (1, "final", "NaN")
    assert (first.time, second.time) == (1_600_000_000.125, 1_600_000_001.125)


def test_shell_lines_need_only_type_and_value() -> None:
    items = read(b'{"type":"intermediate","value":NaN}\n\n{"value": 1, "type": "final"}')
    assert [item[:3] for item in items] == [(0, "intermediate", "NaN"), (2, "final", 1)]


def test_number_beyond_all_floats_is_an_infinity_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_600_000_000.125)
    line = b'{"type":"final","value":{"default":1e999,"curve":[0.5,-1e999,{"at":1E+400}]},"time":1e999}\n'
    top, nested = read(b'{"type":"intermediate","value":-1.0e999}\n' + line)
    assert top[:3] == (0, "intermediate", "-Infinity")
    assert nested[1] == "final"
    assert nested[2] == {"default": "Infinity", "curve": [0.5, "-Infinity", {"at": "Infinity"}]}
    assert isinstance(nested, Record)
    assert nested.time == 1_600_000_000.125  # when it was read


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"epoch 3: 0.5", "Expecting value"),
        (b"\xff\xfe", "invalid start byte"),
        (b"[" * 100_000, "RecursionError|recursion|Expecting value"),
        (b'{"type":"best","value":1}', "not a message such as"),
        (b'{"type":"final"}', "not a message such as"),
        (b"3", "not a message such as"),
        (b'{"tune":2,"type":"final","value":1}', "tune is 2, expected 1"),
        (b'{"trial":"other","type":"final","value":1}', "trial is 'other', expected 'Xk3Qa'"),
        (b'{"attempt":1,"type":"final","value":1}', "attempt is 1, expected 0"),
        (b'{"type":"final","value":"' + b"x" * 2_000_000 + b'"}', "longer than a message may be"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("piece", [1 << 30, 65536])
def test_garbage_is_a_problem_and_nothing_more(line: bytes, reason: str, piece: int) -> None:
    good = b'{"type":"intermediate","value":1}\n'
    first, problem, last = read(good + line + b"\n" + good, piece=piece)
    assert (first[0], last[0]) == (0, 2)
    assert isinstance(problem, Problem)
    assert problem.line == 1
    assert any(part in problem.text for part in reason.split("|"))
    assert len(problem.text) < 300


def test_overlong_line_takes_no_memory() -> None:
    reader = RecordReader("a", 0)
    problems = [item for _ in range(200) for item in reader.feed(b"x" * 65536)]
    assert len(problems) == 1
    assert sys.getsizeof(reader._rest) < 2_000_000
    assert [item[:3] for item in reader.feed(b'\n{"type":"final","value":1}\n')] == [(1, "final", 1)]


def test_reader_takes_pieces_of_any_size() -> None:
    lines = [b'{"type":"intermediate","value":%d}' % number for number in range(50)] + [
        b"garbage",
        b"",
        b"[1]",
    ]
    data = b"\n".join(lines * 3)
    whole = [item[:2] for item in read(data)]
    draw = random.Random(7)
    for _ in range(20):
        reader, items, rest = RecordReader("Xk3Qa", 0), [], data
        while rest:
            cut = draw.randint(1, 200)
            items += reader.feed(rest[:cut])
            rest = rest[cut:]
        assert [item[:2] for item in items + list(reader.finish())] == whole


def test_records_already_delivered_are_skipped() -> None:
    data = b'{"type":"intermediate","value":0}\nno json\n' + b'{"type":"intermediate","value":2}\n' * 2
    items = read(data, RecordReader("a", 0, after=2))
    assert [item[0] for item in items] == [3]


def test_log_is_searched_for_lines_with_the_token() -> None:
    log = b'epoch 1\ns3cret {"type":"final","value":1,"seq":5}\ns3cre {"type":"final","value":2,"seq":6}\n'
    reader = RecordReader("a", 0, token="s3cret")
    assert [item[:3] for item in read(log, reader)] == [(5, "final", 1)]
    (problem,) = read(b's3cret {"type":"final","value":1}\n', RecordReader("a", 0, token="s3cret"))
    assert "seq is missing" in problem[1]
