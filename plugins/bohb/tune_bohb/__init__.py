"""BOHB advisor for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_advisors() -> Iterator[Driver]:
    yield Driver(
        "BOHB",
        "tune_bohb.advisor:BohbAdvisor",
        summary="Hyperband that begins with what a model of earlier results finds promising",
    )
