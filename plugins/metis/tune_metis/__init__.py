"""Metis tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "Metis",
        "tune_metis.tuner:MetisTuner",
        summary="Gaussian process that says what to try, what to measure again, and where the optimum is",
        aliases=("MetisTuner",),
    )
