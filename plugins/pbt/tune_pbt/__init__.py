"""Population based training for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_advisors() -> Iterator[Driver]:
    yield Driver(
        "PBT",
        "tune_pbt.advisor:PbtAdvisor",
        summary="Trains a population; laggards copy checkpoints of leaders and change the parameters",
        aliases=("PBTTuner",),
    )
