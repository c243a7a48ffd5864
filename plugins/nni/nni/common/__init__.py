"""What several parts of the interface share; and what NNI 1 had here, for code that was copied from it."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own constant would import typing
if TYPE_CHECKING:
    from typing import Any

__all__ = ["init_logger", "multi_phase_enabled"]


def multi_phase_enabled() -> bool:
    """False: a trial has one configuration."""
    return False


def init_logger(*_: Any, **__: Any) -> None:
    """Nothing: loggers are set up where experiments are managed."""
