"""Hyperband and ASHA advisors for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_advisors() -> Iterator[Driver]:
    yield Driver(
        "Hyperband",
        "tune_hyperband.hyperband:HyperbandAdvisor",
        summary="Many short trials, the best of them longer, in brackets from bold to careful",
    )
    yield Driver(
        "ASHA",
        "tune_hyperband.asha:AshaAdvisor",
        summary="Asynchronous successive halving: promotes whatever is among the best, and never waits",
    )
