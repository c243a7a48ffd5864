"""An ordered choice is modelled as a number: what is near the best is tried next."""

from __future__ import annotations

from typing import Any

from tune_tpe.tuner import TPETuner

from tune_core import SearchSpace

OPTIONS = [f"size {number}" for number in range(40)]


def tries_near_the_best(*, is_ordered: bool) -> int:
    """How often TPE proposes one of the nine options around the best, which it has never seen."""
    spec: dict[str, Any] = {
        "_type": "choice",
        "_value": OPTIONS,
        **({"_ordered": True} if is_ordered else {}),
    }
    tuner = TPETuner()
    tuner.set_seed(3)
    tuner.update_search_space(SearchSpace.parse({"size": spec, "x": {"_type": "uniform", "_value": [0, 1]}}))
    for number in range(40):
        size = OPTIONS[(7 * number) % 40]
        if abs((7 * number) % 40 - 20) > 4:  # those around number 20 are left out
            parameters = {"size": size, "x": 0.5}
            tuner.register_pending(number, parameters)
            tuner.receive_trial_result(number, parameters, abs((7 * number) % 40 - 20))
            tuner.trial_end(number, True)
    proposals = [tuner.generate_parameters(100 + number) for number in range(60)]
    return sum(abs(OPTIONS.index(each["size"]) - 20) <= 4 for each in proposals if each)


def test_order_tells_of_the_neighbours() -> None:
    assert tries_near_the_best(is_ordered=True) > 2 * max(5, tries_near_the_best(is_ordered=False))
