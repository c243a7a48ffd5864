"""Algorithms take one thread for their arithmetic, and leave the others as they were."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np  # noqa: F401 (brings the library whose threads are counted)
import pytest
import threadpoolctl

from tune_core.algorithms.threads import one_thread


class Torch(SimpleNamespace):
    def get_num_threads(self) -> int:
        return int(self.threads)

    def set_num_threads(self, threads: int) -> None:
        self.threads = threads


def test_torch_that_is_loaded_takes_one_thread_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = Torch(threads=3)
    monkeypatch.setitem(sys.modules, "torch", torch)
    with one_thread():
        assert torch.threads == 1
    assert torch.threads == 3


def test_torch_is_not_loaded_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with one_thread():
        pass
    assert "torch" not in sys.modules


def test_overlapping_threads_share_the_limit_and_leave_what_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A training that ends beside its search, and one that outlasts it: the limit is the process's."""
    torch = Torch(threads=3)
    monkeypatch.setitem(sys.modules, "torch", torch)
    inside, leave = threading.Event(), threading.Event()

    def train() -> None:
        with one_thread():
            inside.set()
            leave.wait(60)

    other = threading.Thread(target=train)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with one_thread():
            other.start()
            assert inside.wait(60)
            with one_thread():  # once more within the same thread
                pass
            assert (blas_threads(), torch.threads) == ({1}, 1)
        assert blas_threads() == {1}  # for the other one
        leave.set()
        other.join()
        assert (blas_threads(), torch.threads) == ({2}, 3)


def test_library_that_is_loaded_later_is_limited_too() -> None:
    code = (
        "import threadpoolctl, numpy\n"
        "from tune_core.algorithms.threads import one_thread\n"
        "with one_thread(): pass\n"
        "import scipy.linalg\n"
        "with threadpoolctl.threadpool_limits(2, user_api='blas'), one_thread():\n"
        "    print({each['num_threads'] for each in threadpoolctl.threadpool_info()})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=110
    )
    assert done.stdout == "{1}\n"


def blas_threads() -> set[int]:
    return {each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"}
