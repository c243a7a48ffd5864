"""NSGA-II tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "NSGA2",
        "tune_nsga2.tuner:NSGA2Tuner",
        summary="Evolves a whole front of several objectives, spread out and within the constraints",
        aliases=("NSGA-II", "NSGAII"),
        objectives="many",
        constraints=True,
    )
