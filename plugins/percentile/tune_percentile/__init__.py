"""Percentile stopping assessor for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_assessors() -> Iterator[Driver]:
    yield Driver(
        "Percentile",
        "tune_percentile.assessor:PercentileAssessor",
        summary="Stops trials that are not among the best part of the finished ones",
    )
