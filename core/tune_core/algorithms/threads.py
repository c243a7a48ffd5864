"""One thread for the arithmetic of algorithms."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["one_thread"]

# How libraries of linear algebra make their threads: in a pool that the whole process shares, or by OpenMP
# and its like, where each thread that computes has a limit of its own.
_SHARED = ["pthreads"]
_OWN = ["openmp", "intel", "gnu", "pgi", "tbb"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """While it lasts, this thread computes alone in linear algebra, and in torch if that is loaded.

    With a few hundred rows more threads win nothing, and on a machine whose cores are busy with trials they
    wait for one another, up to forty times as long. And sums come out the same, to the last bit, however
    many cores there are, which a replay relies on.

    Several may compute at once, as a training beside its search: what they share is limited from the first
    of them to the last. What numpy and scipy use is limited by threadpoolctl, on which a plugin that calls
    this depends.
    """
    _limits.enter()
    try:
        yield
    finally:
        _limits.leave()


class _Limits:
    """What is limited, and for how many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._shared: _Limiter | None = None
        self._torch_threads: int | None = None  # before the first of them
        self._own = threading.local()  # `depth`: how often this thread is inside; `limiter`

    def enter(self) -> None:
        with self._lock:
            libraries = _libraries(len(sys.modules))
            if self._inside == 0:
                self._shared = libraries and _Limiter(libraries, _SHARED)
            self._inside += 1
            self._own.depth = getattr(self._own, "depth", 0) + 1
            if self._own.depth == 1:
                self._own.limiter = libraries and _Limiter(libraries, _OWN)
            if (torch := sys.modules.get("torch")) is not None:
                if self._torch_threads is None:
                    self._torch_threads = torch.get_num_threads()
                torch.set_num_threads(1)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            self._own.depth -= 1
            if self._own.depth == 0:
                if self._own.limiter is not None:
                    self._own.limiter.restore()
                if self._torch_threads is not None:
                    # Of this thread, and of those that begin with torch later.
                    sys.modules["torch"].set_num_threads(self._torch_threads)
            if self._inside == 0:
                self._torch_threads = None
                if self._shared is not None:
                    self._shared.restore()


_limits = _Limits()


class _Limiter:
    """Limits the libraries that make their threads in one of some ways, until `restore`."""

    def __init__(self, libraries: Any, layers: list[str]) -> None:
        self._chosen = libraries.select(threading_layer=layers)
        self._take_over()
        self._limits = self._chosen.limit(limits=1, user_api="blas")

    def restore(self) -> None:
        self._take_over()
        self._limits.restore_original_limits()
        self._take_over()

    def _take_over(self) -> None:
        """From 3.8 on threadpoolctl ignores a thread while another lives that it did something for."""
        for library in self._chosen.lib_controllers:
            if (free := getattr(library, "clear_controlling_thread", None)) is not None:
                free(force=True)


@functools.lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:  # noqa: ARG001 (the key of the cache)
    """What is loaded for linear algebra: what it was a moment ago, unless there are other `modules` now, as
    scipy brings a library of its own beside numpy's."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        return None
    return threadpoolctl.ThreadpoolController()  # takes milliseconds, which is much for a proposal
