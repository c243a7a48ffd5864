"""Random search tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "Random",
        "tune_random.tuner:RandomTuner",
        summary="Independent draws from the search space",
        preference=1,
    )
