"""SMAC tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl

_TYPES = (
    "choice layer_choice randint uniform quniform loguniform qloguniform normal qnormal lognormal qlognormal"
)


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "SMAC",
        "tune_smac.tuner:SMACTuner",
        summary="Bayesian optimisation with a random forest, of the smac package: for costly trials",
        accepts=frozenset(_TYPES.split()),
    )
