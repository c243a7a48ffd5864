"""Assessor for tune that stops trials beyond fixed bounds."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_assessors() -> Iterator[Driver]:
    yield Driver(
        "Threshold",
        "tune_threshold.assessor:ThresholdAssessor",
        summary="Stops trials that report a value beyond fixed bounds",
    )
