"""Documents are read as data, within limits, and each key has its place."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tune_core.config.document import Document, parse_document, read_document
from tune_core.errors import ConfigError


def parse(text: str, **options: Any) -> Document:
    return parse_document(text, "exp.yml", **options)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1e-5", {"a": 1e-5}),
        ("a: -.5", {"a": -0.5}),
        ("a: 0x1F", {"a": 31}),
        ("a: 1_000", {"a": 1000}),
        ("a: yes", {"a": True}),
        ("a: 'yes'", {"a": "yes"}),
        ("a: ~", {"a": None}),
        ("a:", {"a": None}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 2020-01-01", {"a": "2020-01-01"}),
        ("a: .", {"a": "."}),
        ("a: e5", {"a": "e5"}),
        ("on: 1\n2: x\nnull: y", {"on": 1, "2": "x", "null": "y"}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3", {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}),
        ('{"a":\t1,\n\t"b": [1e3, "\\ud83d\\ude00", null]}', {"a": 1, "b": [1000.0, "\U0001f600", None]}),
        ("\ufeffa: 1".removeprefix("\ufeff"), {"a": 1}),
        ("", None),
    ],
)
def test_document_is_read_as_people_mean_it(text: str, value: Any) -> None:
    assert parse(text).value == value


def test_places_count_from_one_and_forgive_spelling() -> None:
    document = parse("tuner:\n  class_args:\n    - 1\n    - {b: 2}\n")
    assert str(document.place(("tuner",))) == "exp.yml:1:1"
    assert str(document.place(("tuner", "classArgs"))) == "exp.yml:2:3"
    assert str(document.place(("tuner", "classArgs", 1, "b"))) == "exp.yml:4:8"
    assert str(document.place(("tuner", "missing"))) == "exp.yml:1:1"
    assert str(document.place(("missing",))) == "exp.yml"


def test_places_of_json_are_those_of_its_text() -> None:
    document = parse('{\n  "x": {"_type": "uniform",\n    "_value": [0, 1]}}', prefer_json=True)
    assert str(document.place(("x", "_value"))) == "exp.yml:3:5"
    assert str(document.place(("x", "_value", 1))) == "exp.yml:3:19"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "exp.yml:3:1: a: is there twice, first in line 1"),
        ('{"a": 1, "a": 2}', "exp.yml:1:10: a: is there twice, first in line 1"),
        ("a: .nan", "exp.yml:1:4: a: is not a finite number"),
        ("a: [1, -.inf]", "exp.yml:1:8: a[1]: is not a finite number"),
        ('{"a": NaN}', "exp.yml:1:7: a: is not a finite number"),
        ("a: 1e999", "a: is not a finite number"),
        ("a: " + "9" * 5000, "a: is an integer of more than 64 bits"),
        ('{"a": 1' + "0" * 5000 + "}", "a: is an integer of more than 64 bits"),
        ("a: !!python/object/apply:os.system [ls]", "tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("a: !!binary aGk=", "is not allowed"),
        ("a: *b", "exp.yml:1:4: no anchor &b"),
        ("a: &a [*a]", "no anchor &a"),
        ("? [1]\n: 2", "exp.yml:1:3: keys are plain text"),
        ("a: 1\n---\nb: 2", "exp.yml:2:1: holds several documents"),
        ("a: [1, 2", "is not YAML: did not find expected"),
        ("a: 1\n\tb: 2", "exp.yml:2:1: is not YAML"),
        ('a: "\\ud800"', "exp.yml"),
        ('{"a": "\\ud800"}', "exp.yml:1:7: a: contains a character that is not text"),
        ('{"a\\u0000": 1}', "contains a character that is not text"),
        ("a: \0", "exp.yml: is not YAML"),
    ],
)
def test_what_is_no_data_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)


def _alias_bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_alias_bomb(), "more than 10,000 values"),
        ("[" * 300_000, "nested deeper than 50 levels"),
        ("a: " + "{b: " * 60, "nested deeper than 50 levels"),
        ('{"a":' * 100_000, "nested deeper than 50 levels"),
        ("[" + "1," * 150_000 + "1]", "more than 100,000 values"),
        ("\n".join(f"- !t{n} x" for n in range(50_000)), "tag '!t0' is not allowed"),
    ],
    ids=["aliases", "brackets", "braces", "json", "values", "tags"],
)
def test_bombs_end_at_the_limit_soon(text: str, message: str) -> None:
    start = time.thread_time()
    with pytest.raises(ConfigError, match=message):
        parse(text)
    assert time.thread_time() - start < 5  # 0.5 s at the most


def test_json_file_gives_jsons_error(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text('{"x": 1,\n "y" 2}')
    with pytest.raises(ConfigError, match=r"space.json:2:6: is not JSON: Expecting ':' delimiter"):
        read_document(tmp_path / "space.json")


def test_json_file_may_hold_yaml(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text('{"x": [1, 2,],}  # as NNI took it')
    assert read_document(tmp_path / "space.json").value == {"x": [1, 2]}


def test_file_that_is_no_text_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin.yml").write_bytes(b"a: 1\nb: \xe9\n")
    (tmp_path / "large.yml").write_bytes(b"#" * (1 << 20) + b"#")
    for path, message in [
        (tmp_path / "none.yml", "No such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is a device or a pipe"),
        (Path("/dev/zero"), "is a device or a pipe"),
        (tmp_path / "latin.yml", "latin.yml:2:1: is not UTF-8 text: byte 0xe9"),
        (tmp_path / "large.yml", "the limit is 1,048,576"),
        (Path("a\0b"), "cannot be read"),
    ]:
        with pytest.raises(ConfigError, match=message):
            read_document(path)


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("a: 1", encoding="utf-8-sig")
    assert read_document(tmp_path / "a.yml").value == {"a": 1}


_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
_documents = st.dictionaries(st.text(), _values, min_size=1, max_size=4)


def _is_text(value: Any) -> bool:
    return "\\u0000" not in json.dumps(value)


@given(_documents.filter(_is_text))
def test_json_is_read_as_json_reads_it(value: Any) -> None:
    assert parse(json.dumps(value, indent=1), prefer_json=True).value == value


@given(
    st.dictionaries(
        st.text("abcxyz01_", min_size=1),
        st.recursive(
            # PyYAML takes -.5 for text and leaves it bare; here it is a number, as .5 is.
            st.text("abc 01-:#.~").filter(lambda text: not text.startswith("-."))
            | st.integers(-9, 9)
            | st.booleans(),
            lambda inner: st.lists(inner, max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_yaml_that_was_dumped_comes_back(value: Any) -> None:
    dumped = yaml.safe_dump(value)
    # What YAML 1.1 quotes because it means something else comes back as it was.
    assert parse(dumped).value == value


@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        json.dumps(parse(text).value, allow_nan=False)
