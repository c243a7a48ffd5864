"""PPO tuner for tune."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "PPO",
        "tune_ppo.tuner:PPOTuner",
        summary="A recurrent policy writes architectures and learns from what becomes of them",
        aliases=("PPOTuner",),
        accepts=frozenset({"layer_choice", "input_choice", "choice"}),
        nested=False,
    )
