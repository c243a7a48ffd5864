"""Algorithms take one thread for their arithmetic, and leave the others as they were."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

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
