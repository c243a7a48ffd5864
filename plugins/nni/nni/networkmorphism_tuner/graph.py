"""`json_to_graph`, for trials of the network morphism tuner. Needs tune-networkmorphism."""

from tune_networkmorphism import json_to_graph

__all__ = ["json_to_graph"]
