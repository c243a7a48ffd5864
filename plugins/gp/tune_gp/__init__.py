"""Gaussian process tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "GP",
        "tune_gp.tuner:GPTuner",
        summary="Gaussian process over all types of parameters and nested choices, in milliseconds",
        aliases=("GPTuner",),
    )
