"""Median stopping assessor for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_assessors() -> Iterator[Driver]:
    yield Driver(
        "Medianstop",
        "tune_medianstop.assessor:MedianstopAssessor",
        summary="Stops trials that are worse than the median of the finished ones",
    )
