"""CMA-ES tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "CMAES",
        "tune_cmaes.tuner:CMAESTuner",
        summary="CMA-ES with margin over mixed spaces: for hundreds of trials on smooth problems",
        aliases=("CMA-ES",),
        nested=False,
    )
