"""Assessor for tune that stops trials that no longer improve."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_assessors() -> Iterator[Driver]:
    yield Driver(
        "Patience",
        "tune_patience.assessor:PatienceAssessor",
        summary="Stops trials that have not improved for some time",
    )
