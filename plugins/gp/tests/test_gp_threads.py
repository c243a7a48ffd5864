"""Linear algebra takes one thread, and only while a proposal is made."""

from __future__ import annotations

import threadpoolctl
from tune_gp.tuner import GPTuner

from tune_core import SearchSpace


def blas_threads() -> set[int]:
    return {each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"}


def test_proposals_take_one_thread(monkeypatch) -> None:
    seen: list[set[int]] = []
    tuner = GPTuner()
    tuner.set_seed(1)
    tuner.update_search_space(SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 1]}}))
    believe = tuner.believe
    monkeypatch.setattr(tuner, "believe", lambda: (seen.append(blas_threads()), believe())[1])
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        for number in range(12):
            parameters = tuner.generate_parameters(number)
            tuner.register_pending(number, parameters)
            tuner.receive_trial_result(number, parameters, (parameters["x"] - 0.3) ** 2)
            tuner.trial_end(number, success=True)
        assert blas_threads() == {2}
    assert seen
    assert all(threads == {1} for threads in seen)
