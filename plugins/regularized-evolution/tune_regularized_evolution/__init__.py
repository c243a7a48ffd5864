"""Regularized evolution tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "RegularizedEvolution",
        "tune_regularized_evolution.tuner:RegularizedEvolutionTuner",
        summary="Ageing evolution of architectures: the best of a sample mutates, the oldest dies",
        aliases=("RegularizedEvolutionTuner",),
        accepts=frozenset({"layer_choice", "input_choice", "choice", "randint"}),
        nested=False,
    )
