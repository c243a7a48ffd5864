"""Tuner for tune that runs a list of configurations."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "Batch",
        "tune_batch.tuner:BatchTuner",
        summary="A list of configurations of your own, one after the other",
        aliases=("BatchTuner",),
        accepts=frozenset({"choice"}),
        nested=False,
    )
