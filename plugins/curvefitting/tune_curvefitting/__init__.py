"""Learning curve extrapolation assessor for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_assessors() -> Iterator[Driver]:
    yield Driver(
        "Curvefitting",
        "tune_curvefitting.assessor:CurvefittingAssessor",
        summary="Stops trials whose extrapolated learning curve ends worse than the best",
    )
