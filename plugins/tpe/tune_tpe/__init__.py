"""Tree-structured Parzen estimator tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "TPE",
        "tune_tpe.tuner:TPETuner",
        summary="Tree-structured Parzen estimator, joint over parameters and aware of nested choices",
        objectives="many",
        constraints=True,
        preference=10,
    )
