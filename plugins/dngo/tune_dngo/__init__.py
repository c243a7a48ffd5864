"""DNGO tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "DNGO",
        "tune_dngo.tuner:DNGOTuner",
        summary="Bayesian linear regression on features that a neural network learns from the results",
        aliases=("DNGOTuner",),
    )
