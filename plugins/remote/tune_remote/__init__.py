"""Remote training service for tune: trials are processes on other machines, over SSH."""

from collections.abc import Iterator

from tune_core import Driver, hookimpl


@hookimpl
def tune_training_services() -> Iterator[Driver]:
    yield Driver(
        "remote", "tune_remote.service:RemoteService", summary="Processes on other machines, over SSH"
    )
