"""The median stopping rule by hand-worked cases. Values are oriented: lower is better."""

import random
import statistics

import pytest
from effort import instructions
from tune_medianstop.assessor import MedianstopAssessor

from tune_core import ConfigError


def run(assessor: MedianstopAssessor, trial_id: str, values: list[float]) -> list[bool]:
    """What the assessor says to each result of one trial."""
    return [assessor.assess_trial(trial_id, values[: step + 1]) for step in range(len(values))]


def finish(assessor: MedianstopAssessor, **curves: list[float]) -> None:
    for trial_id, values in curves.items():
        run(assessor, trial_id, values)
        assessor.trial_end(trial_id, success=True)


def test_medianstop_keeps_all_until_one_has_succeeded() -> None:
    assessor = MedianstopAssessor()
    assert run(assessor, "a", [9, 8, 7]) == [True, True, True]
    assessor.trial_end("a", success=False)
    assert run(assessor, "b", [99, 98]) == [True, True]


def test_medianstop_compares_best_with_median_of_running_averages() -> None:
    assessor = MedianstopAssessor()
    finish(assessor, a=[1, 3], b=[2, 6], c=[3, 9])  # averages after 1: 1 2 3; after 2: 2 4 6
    assert run(assessor, "x", [2.0, 4.1]) == [True, True]  # best after 2 is 2.0, not 4.1
    assert run(assessor, "y", [2.1]) == [False]
    assert run(assessor, "z", [5.0, 4.1]) == [False, False]
    assert run(assessor, "w", [5.0, 4.0]) == [False, True]  # equal to the median is not worse


def test_medianstop_takes_the_worse_of_two_middle_averages() -> None:
    assessor = MedianstopAssessor()
    finish(assessor, a=[1], b=[2], c=[3], d=[4])
    assert run(assessor, "x", [3.0]) == [True]
    assert run(assessor, "y", [3.1]) == [False]


def test_medianstop_counts_only_trials_that_came_as_far() -> None:
    assessor = MedianstopAssessor()
    finish(assessor, short=[0], long=[10, 10])
    assert run(assessor, "x", [9, 9, 99]) == [True, True, True]  # after 1: 0 10; after 2: 10; after 3: none


def test_medianstop_waits_for_start_step() -> None:
    assessor = MedianstopAssessor(start_step=3)
    finish(assessor, a=[1, 1, 1, 1])
    assert run(assessor, "x", [5, 5, 5, 5]) == [True, True, False, False]


def test_medianstop_forgets_what_a_restarted_trial_had_reported() -> None:
    assessor = MedianstopAssessor()
    finish(assessor, a=[2, 2])
    assert run(assessor, "x", [0.0, 0.0]) == [True, True]
    assert run(assessor, "x", [3.0]) == [False]
    assert assessor.assess_trial("y", [3.0, 1.0])  # adopted late: the first call brings two results


def test_medianstop_ignores_the_end_of_a_silent_trial() -> None:
    MedianstopAssessor().trial_end("never seen", success=True)


def test_medianstop_refuses_negative_start_step() -> None:
    with pytest.raises(ConfigError, match="start_step -1"):
        MedianstopAssessor(start_step=-1)


def test_medianstop_agrees_with_the_definition() -> None:
    rng = random.Random(5)
    assessor, finished = MedianstopAssessor(), []
    for number in range(60):
        curve = [rng.gauss(0, 1) for _ in range(rng.randint(1, 8))]
        for step in range(1, len(curve) + 1):
            averages = [statistics.fmean(other[:step]) for other in finished if len(other) >= step]
            keep = not averages or min(curve[:step]) <= statistics.median_high(averages)
            assert assessor.assess_trial(str(number), curve[:step]) is keep
        assessor.trial_end(str(number), success=True)
        finished.append(curve)


def test_medianstop_does_not_slow_down() -> None:
    assessor, rng = MedianstopAssessor(), random.Random(0)

    def run_trials(numbers: range) -> None:
        for number in numbers:
            history: list[float] = []
            for _ in range(20):
                history.append(rng.random())
                assessor.assess_trial(str(number), history)
            assessor.trial_end(str(number), success=True)

    run_trials(range(10))
    first = instructions(lambda: run_trials(range(10, 15)))
    run_trials(range(15, 1000))
    # A scan of the finished trials would take sixty times as many by now; insertion sorts in memory.
    assert instructions(lambda: run_trials(range(1000, 1005))) < 1.1 * first
