"""The search space: domains, the tree, parsing with all errors, sampling, encoding."""

from tune_core.space.change import active_leaves, changed, value_of
from tune_core.space.domains import Branches, Choice, Domain, InputChoice, LayerChoice, Numeric
from tune_core.space.space import SearchSpace
from tune_core.space.tree import Leaf

__all__ = [
    "Branches",
    "Choice",
    "Domain",
    "InputChoice",
    "LayerChoice",
    "Leaf",
    "Numeric",
    "SearchSpace",
    "active_leaves",
    "changed",
    "value_of",
]
