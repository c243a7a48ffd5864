"""Searches for scikit-learn with every tuner of tune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_scikit_learn.search import TuneSearchCV as TuneSearchCV

__all__ = ["TuneSearchCV"]


def __getattr__(name: str) -> Any:
    """scikit-learn is imported when the search is asked for: this module is loaded to list plugins."""
    if name == "TuneSearchCV":
        from tune_scikit_learn.search import TuneSearchCV

        return TuneSearchCV
    raise AttributeError(f"module 'tune_scikit_learn' has no attribute {name!r}")
