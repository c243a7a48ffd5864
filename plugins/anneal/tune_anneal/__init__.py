"""Simulated annealing tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "Anneal",
        "tune_anneal.tuner:AnnealTuner",
        summary="Draws from the search space, ever closer to one of the best results",
    )
