"""Grid search tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "GridSearch",
        "tune_grid.tuner:GridSearchTuner",
        summary="Every configuration of a finite space; an ever finer grid of a continuous one",
        aliases=("Grid",),
    )
