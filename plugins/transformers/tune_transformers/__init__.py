"""Trials of tune that train with Hugging Face Transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_transformers.callback import TuneCallback as TuneCallback

__all__ = ["TuneCallback"]


def __getattr__(name: str) -> Any:
    """Transformers is imported when the callback is asked for: this module is loaded to list plugins."""
    if name == "TuneCallback":
        from tune_transformers.callback import TuneCallback

        return TuneCallback
    raise AttributeError(f"module 'tune_transformers' has no attribute {name!r}")
