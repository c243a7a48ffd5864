"""Values in the command of a trial mean to the shell what they are."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_core import SearchSpace
from tune_core.experiment.command import fields_of, inject, paths_of

NESTED = {
    "lr": {"_type": "uniform", "_value": [0, 1]},
    "layer": {
        "_type": "choice",
        "_value": [
            {"_name": "Conv", "size": {"_type": "choice", "_value": [3, 5]}},
            {"_name": "Empty"},
        ],
    },
}


def words(command: str, shell: str = "sh") -> list[str]:
    """What a program would get that stands where `args` does in the command."""
    script = 'args() { for each in "$@"; do printf "%s\\0" "$each"; done; }\n' + command
    done = subprocess.run([shell, "-c", script], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train --lr {lr} --units {units}", "train --lr 0.001 --units 64"),
        ("train --lr={lr}", "train --lr=0.001"),
        ("train --flag {flag} {none}", "train --flag true ''"),
        ("train --sizes {sizes}", "train --sizes '[3, 5]'"),
        ("train {layer} {layer.size} {layer._name}", "train Conv 3 Conv"),
        ("train {a.b}", "train 7"),
        ("echo ${lr} {{lr}} {other} {a,b} {} { lr }", "echo ${lr} {lr} {other} {a,b} {} { lr }"),
        ("awk '{print $1}' {lr}", "awk '{print $1}' 0.001"),
    ],
)
def test_braces_stand_for_values(command: str, expected: str) -> None:
    parameters = {
        "lr": 0.001,
        "units": 64,
        "flag": True,
        "none": None,
        "sizes": [3, 5],
        "layer": {"_name": "Conv", "size": 3},
        "a.b": 7,
    }
    assert inject(command, parameters) == expected


def test_parameter_of_another_branch_is_empty() -> None:
    space = SearchSpace.parse(NESTED)
    assert paths_of(space) == {"lr", "layer", "layer.size"}
    command = inject(
        "args {lr} {layer} {layer.size}", {"lr": 1, "layer": {"_name": "Empty"}}, paths_of(space)
    )
    assert words(command) == ["1", "Empty", ""]


def test_fields_are_what_could_name_a_parameter() -> None:
    assert list(fields_of("a {lr} ${HOME} {{lr}} {x y} {a,b} '{n.m}'")) == ["lr", "a,b", "n.m"]


SHELLS = [each for each in ("sh", "bash", "zsh") if shutil.which(each)]


# Several texts for each shell, which takes longer to start than to read them.
@settings(max_examples=20)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), max_size=10))
def test_any_text_is_one_word_whatever_quotes_are_around_it(texts: list[str]) -> None:
    lines = [inject("args {x} '{x}' \"{x}\" a{x}b 'a '{x}' b'", {"x": text}) for text in texts]
    expected = [[text, text, text, f"a{text}b", f"a {text} b"] for text in texts]
    for shell in SHELLS:
        assert words("\n".join(lines), shell) == [word for line in expected for word in line]


@pytest.mark.parametrize(
    "value", ["$(touch x)", "`id`", "a; rm x", "it's", 'say "so"', "\\", "-n", "*", "a\nb"]
)
def test_nothing_in_a_value_is_run(value: Any) -> None:
    for command in ("args {x}", "args '{x}'", 'args "{x}"'):
        assert words(inject(command, {"x": value})) == [value]
