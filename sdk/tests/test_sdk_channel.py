"""What is a metric and what is not, and how it is written."""

from __future__ import annotations

import io
import json
import math
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tune.channel import FINAL, INTERMEDIATE, FileCarrier, check_metric, open_carrier


class Scalar:
    """What NumPy's and torch's scalars and arrays of one element offer."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"Scalar({self._value})"

    def item(self) -> object:
        if isinstance(self._value, list):
            raise ValueError("only one element tensors can be converted")  # noqa: TRY004 (as NumPy does)
        return self._value


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (1, 1),
        (0.5, 0.5),
        (Scalar(0.25), 0.25),
        (Scalar(3), 3),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (Scalar(-math.inf), "-Infinity"),
        ({"default": Scalar(1.5), "by class": [0.1, math.nan], "name": "a", "none": None}, None),
    ],
)
def test_metric_becomes_strict_json(metric: Any, expected: Any) -> None:
    value = check_metric(metric)
    json.dumps(value, allow_nan=False)
    if expected is not None:
        assert value == expected
        assert type(value) is type(expected)
    else:
        assert value == {"default": 1.5, "by class": [0.1, "NaN"], "name": "a", "none": None}


@pytest.mark.parametrize(
    "metric",
    ["0.5", b"1", True, None, [1], {1, 2}, print, Scalar([1, 2]), Scalar(True), Fraction(1, 2), 1j],
    ids=repr,
)
def test_what_is_no_number_is_refused(metric: Any) -> None:
    with pytest.raises(
        TypeError, match="a metric is a number, or a dictionary with one under 'default', not"
    ):
        check_metric(metric)
    with pytest.raises(TypeError, match="the metric's 'default' is a number"):
        check_metric({"default": metric})


@pytest.mark.parametrize("value", [b"1", {1}, print, Scalar([1])], ids=repr)
def test_dictionary_with_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="a metric holds numbers and other JSON values"):
        check_metric({"default": 1, "extra": [value]})


@pytest.mark.parametrize("metric", [{"accuracy": 1}, {"accuracy": math.nan, "note": "a"}])
def test_dictionary_may_name_what_is_optimized(metric: Any) -> None:
    assert check_metric(metric).keys() == metric.keys()


def test_dictionary_needs_a_number_and_string_keys() -> None:
    with pytest.raises(ValueError, match=r"needs the number to optimize.*\['accuracy', 'good'\]"):
        check_metric({"accuracy": "1", "good": True})
    with pytest.raises(TypeError, match="keys of a metric are strings, not int"):
        check_metric({"default": 1, 2: 3})


def test_metric_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {"default": 1}
    loop["self"] = loop
    with pytest.raises(ValueError, match="contains itself"):
        check_metric(loop)


def test_numpy_scalars_and_arrays_of_one_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert check_metric(numpy.float32(0.5)) == 0.5
    assert type(check_metric(numpy.int64(3))) is int
    assert type(check_metric(numpy.float64(3))) is float
    assert check_metric(numpy.array([0.5])) == 0.5
    with pytest.raises(TypeError, match="not ndarray"):
        check_metric(numpy.zeros(2))


def test_metric_over_a_mebibyte_is_refused(tmp_path: Path) -> None:
    carrier = FileCarrier(str(tmp_path / "messages.jsonl"), "a", 0)
    with pytest.raises(ValueError, match=r"up to 1 MiB as JSON, this one is 2,000,0\d\d bytes"):
        carrier.send(FINAL, check_metric({"default": 1, "blob": "x" * 2_000_000}))
    assert not (tmp_path / "messages.jsonl").exists()


def test_torn_line_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    path.write_bytes(b'{"type":"interm')
    FileCarrier(str(path), "a", 0).send(INTERMEDIATE, 1)
    torn, whole = path.read_bytes().splitlines()
    assert torn == b'{"type":"interm'
    assert json.loads(whole)["value"] == 1


def test_channel_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    FileCarrier(str(path), "a", 0).send(FINAL, 1)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fdatasync is not everywhere")
def test_final_is_on_the_disk_and_intermediate_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr("os.fdatasync", synced.append)
    carrier = FileCarrier(str(tmp_path / "messages.jsonl"), "a", 0)
    carrier.send(INTERMEDIATE, 1)
    assert not synced
    carrier.send(FINAL, 1)
    assert len(synced) == 1


@pytest.mark.parametrize("stderr", ["/dev/null", "/dev/full"])  # it may go to the same disk
def test_full_disk_is_waited_out(stderr: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    path = tmp_path / "messages.jsonl"
    write, failures = os.write, [OSError(errno.ENOSPC, "No space left on device")] * 3
    pauses: list[float] = []

    def write_on_full_disk(fd: int, data: bytes) -> int:
        if not os.path.samestat(os.fstat(fd), path.stat()):
            return write(fd, data)  # of another thread
        if failures:
            raise failures.pop()
        return write(fd, data[:10])  # and a short write as well

    monkeypatch.setattr("os.write", write_on_full_disk)
    monkeypatch.setattr("tune.channel.time", SimpleNamespace(time=time.time, sleep=pauses.append))
    with Path(stderr).open("wb", buffering=0) as raw:
        monkeypatch.setattr("sys.stderr", io.TextIOWrapper(raw, write_through=True))
        FileCarrier(str(path), "a", 0).send(FINAL, 1)
    assert len(pauses) == 3
    assert json.loads(path.read_text())["value"] == 1


def test_unknown_channel_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="TUNE_CHANNEL is 'smoke:x'"):
        open_carrier({"TUNE_CHANNEL": "smoke:x"})
