"""Network morphism tuner for tune: networks that grow and keep what they learnt."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tune_core import Driver, hookimpl

if TYPE_CHECKING:
    from tune_networkmorphism.json_form import json_to_graph

__all__ = ["json_to_graph"]


def __getattr__(name: str) -> Any:
    if name != "json_to_graph":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tune_networkmorphism.json_form import json_to_graph  # plugins are listed without it

    return json_to_graph


@hookimpl
def tune_tuners() -> Iterator[Driver]:
    yield Driver(
        "NetworkMorphism",
        "tune_networkmorphism.tuner:NetworkMorphismTuner",
        summary="Grows networks that keep what they learnt; Bayesian optimisation over their shapes",
        aliases=("NetworkMorphismTuner",),
        accepts=frozenset(),
        nested=False,
        needs_space=False,
    )
