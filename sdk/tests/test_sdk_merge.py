"""merge_parameter, as scripts with argparse use it."""

from argparse import Namespace
from typing import Any

import pytest

import tune


def test_merge_overwrites_namespace_in_place() -> None:
    args = Namespace(lr=0.1, units=32, name=None)
    assert tune.merge_parameter(args, {"lr": 1, "units": 64.0, "name": "a"}) is args
    assert args == Namespace(lr=1.0, units=64, name="a")
    assert type(args.lr) is float
    assert type(args.units) is int


def test_merge_takes_a_dictionary_and_is_also_in_utils() -> None:
    assert tune.utils.merge_parameter({"a": 1, "b": "x"}, {"b": "y"}) == {"a": 1, "b": "y"}


@pytest.mark.parametrize(
    ("override", "error", "match"),
    [
        ({"lrr": 1.0}, ValueError, "'lrr' is not among the script's: flag, lr, units"),
        ({"units": 1.5}, TypeError, r"'units' is 1.5 \(float\), but its default is 32 \(int\)"),
        ({"units": float("inf")}, TypeError, "'units' is inf"),
        ({"flag": 1}, TypeError, "'flag' is 1"),
        ({"lr": True}, TypeError, "'lr' is True"),
        ({"lr": "0.1"}, TypeError, "'lr' is '0.1'"),
        (None, TypeError, "a dictionary, not NoneType"),
    ],
)
def test_merge_refuses_and_changes_nothing(override: Any, error: "type[Exception]", match: str) -> None:
    args = Namespace(lr=0.1, units=32, flag=False)
    with pytest.raises(error, match=match):
        tune.merge_parameter(args, override if override is None else {"units": 1, **override})
    assert args == Namespace(lr=0.1, units=32, flag=False)
