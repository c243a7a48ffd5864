"""The algorithms of hyperopt as tuners for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "HyperoptTPE",
        "tune_hyperopt.tuners:HyperoptTPETuner",
        summary="The TPE of hyperopt itself, which NNI wrapped",
        aliases=("TPE_legacy",),
    )
    yield Driver(
        "HyperoptAnneal",
        "tune_hyperopt.tuners:HyperoptAnnealTuner",
        summary="The simulated annealing of hyperopt itself",
    )
    yield Driver(
        "HyperoptRandom",
        "tune_hyperopt.tuners:HyperoptRandomTuner",
        summary="The random search of hyperopt itself",
    )
