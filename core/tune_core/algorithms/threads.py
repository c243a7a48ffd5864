"""One thread for the arithmetic of algorithms."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["one_thread"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """While it lasts, this process uses one thread for linear algebra, and for torch if that is loaded.

    With a few hundred rows more threads win nothing, and on a machine whose cores are busy with trials they
    wait for one another, up to forty times as long. And sums come out the same, to the last bit, however
    many cores there are, which a replay relies on.

    What numpy and scipy use is limited by threadpoolctl, on which a plugin that calls this depends.
    """
    with _blas(), _torch():
        yield


def _blas() -> contextlib.AbstractContextManager[Any]:
    libraries = _libraries()
    return contextlib.nullcontext() if libraries is None else libraries.limit(limits=1, user_api="blas")


@functools.cache
def _libraries() -> Any:
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        return None
    return threadpoolctl.ThreadpoolController()  # looks through all that is loaded: once is enough


@contextlib.contextmanager
def _torch() -> Iterator[None]:
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
