"""One thread for linear algebra.

With matrices of a few hundred rows more threads win nothing, and on a machine whose cores are busy
with trials they wait for one another, up to forty times as long. And sums come out the same, to the
last bit, however many cores there are.
"""

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
