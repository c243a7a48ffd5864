"""Local training service for tune: trials are processes on this machine."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_training_services() -> Iterator[Driver]:
    yield Driver("local", "tune_local.service:LocalService", summary="Processes on this machine")
