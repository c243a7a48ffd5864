"""DEHB advisor for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_advisors() -> Iterator[Driver]:
    yield Driver(
        "DEHB",
        "tune_dehb.advisor:DehbAdvisor",
        summary="Hyperband whose configurations evolve, a population for each budget",
    )
