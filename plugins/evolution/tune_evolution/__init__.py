"""Naive evolution tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "Evolution",
        "tune_evolution.tuner:EvolutionTuner",
        summary="Naive evolution: the better of two mutates in one parameter, the worse one dies",
    )
