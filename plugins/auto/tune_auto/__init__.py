"""The tuner for tune that chooses the algorithm itself."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "Auto",
        "tune_auto.tuner:AutoTuner",
        summary="Gaussian process where it predicts the results, TPE where it does not: the default",
        objectives="many",
        preference=100,
    )
