"""What this package offers to `tune`: names and where they are, nothing heavy."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver("Climb", "tune_climb.tuner:ClimbTuner", summary="Climbs from the best configuration so far")


@hookimpl
def tune_assessors() -> Iterator[Driver]:
    yield Driver(
        "Plateau", "tune_climb.assessor:PlateauAssessor", summary="Stops trials that improve no more"
    )


@hookimpl
def tune_commands() -> Iterator[Driver]:
    yield Driver("curve", "tune_climb.command:curve", summary="Draw the best result so far, trial by trial")
