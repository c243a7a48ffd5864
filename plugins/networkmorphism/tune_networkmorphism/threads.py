"""One thread for linear algebra: with some hundred rows more win nothing, and wait for busy cores."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all that is loaded: once is enough


def one_thread() -> AbstractContextManager[object]:
    """While it lasts, BLAS takes one thread in this process."""
    return _libraries().limit(limits=1, user_api="blas")
