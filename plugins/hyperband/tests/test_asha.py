"""ASHA's promotions against histories made by hand. Lower is better."""

from typing import Any

import pytest
from tune_hyperband.asha import AshaAdvisor

from tune_core import ConfigError, NoMoreTrial, SearchSpace, TrialState

LINE = SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 1]}})
DONE, FAILED = TrialState.SUCCEEDED, TrialState.FAILED


def made(space: SearchSpace = LINE, **options: Any) -> AshaAdvisor:
    advisor = AshaAdvisor(**{"R": 9, "eta": 3, **options})
    advisor.set_seed(0)
    advisor.update_search_space(space)
    return advisor


def start(advisor: AshaAdvisor, number: int) -> Any:
    parameters = advisor.propose(number)
    if parameters is not None:
        advisor.register_pending(number, parameters)
    return parameters


def end(advisor: AshaAdvisor, number: int, value: float | None) -> None:
    advisor.trial_end(number, FAILED if value is None else DONE, value)


def test_budgets_end_at_the_whole_and_begin_at_the_least() -> None:
    assert made(R=81)._budgets == [3, 9, 27, 81]
    assert made(R=81, min_budget=1)._budgets == [1, 3, 9, 27, 81]
    assert made(R=81, min_budget=10)._budgets == [27, 81]
    assert made(R=60)._budgets == [2, 6, 20, 60]
    assert made(R=1)._budgets == [1]
    with pytest.raises(ConfigError, match="min_budget 10 is above R 9"):
        AshaAdvisor(R=9, min_budget=10)


def test_promotions_follow_a_history_made_by_hand() -> None:
    advisor = made()  # budgets 1, 3, 9
    x = {number: start(advisor, number)["x"] for number in range(4)}
    end(advisor, 0, 5.0)
    end(advisor, 1, 3.0)
    assert start(advisor, 4)["TRIAL_BUDGET"] == 1  # two ended: a third of them is nobody
    end(advisor, 2, 4.0)
    assert start(advisor, 5) == {"x": x[1], "TRIAL_BUDGET": 3}  # the best of three
    assert start(advisor, 6)["TRIAL_BUDGET"] == 1  # it is promoted once
    end(advisor, 3, 1.0)
    assert start(advisor, 7) == {"x": x[3], "TRIAL_BUDGET": 3}  # the best of four took over the one place
    end(advisor, 4, 9.0)
    assert start(advisor, 8)["TRIAL_BUDGET"] == 1
    end(advisor, 6, 8.0)  # six ended, the two best of which were promoted
    assert start(advisor, 9)["TRIAL_BUDGET"] == 1


def promoted(advisor: AshaAdvisor, number: int) -> int:
    return int(start(advisor, number)["TRIAL_BUDGET"])


def test_the_highest_rung_is_served_first() -> None:
    advisor = made()
    for number in range(12):
        start(advisor, number)
    for number in range(9):
        end(advisor, number, float(number))
    assert [promoted(advisor, 20 + number) for number in range(3)] == [3, 3, 3]
    for number in range(3):
        end(advisor, 20 + number, float(number))
    for number in range(9, 12):
        end(advisor, number, -1.0 - number)  # now the low rung has somebody too
    assert [promoted(advisor, 30 + number) for number in range(4)] == [9, 3, 3, 3]
    assert promoted(advisor, 40) == 1


def test_failed_trials_count_as_the_last_and_are_not_promoted() -> None:
    advisor = made()
    x = [start(advisor, number)["x"] for number in range(6)]
    end(advisor, 0, None)
    end(advisor, 1, None)
    end(advisor, 2, 7.0)
    assert start(advisor, 6) == {"x": x[2], "TRIAL_BUDGET": 3}
    for number in (3, 4, 5):
        end(advisor, number, None)
    assert promoted(advisor, 7) == 1  # two of six might go on; only one has a result


def test_the_top_rung_promotes_nobody() -> None:
    advisor = made(R=1)
    for number in range(20):
        assert promoted(advisor, number) == 1
        end(advisor, number, 1.0)


def test_a_finite_space_waits_for_its_last_promotions_and_ends() -> None:
    space = SearchSpace.parse({"x": {"_type": "randint", "_value": [0, 3]}})
    advisor = made(space)
    assert sorted(start(advisor, number)["x"] for number in range(3)) == [0, 1, 2]
    for number in range(3):
        assert start(advisor, 3) is None
        end(advisor, number, float(number))
    assert promoted(advisor, 3) == 3
    assert start(advisor, 4) is None
    end(advisor, 3, 1.0)
    with pytest.raises(NoMoreTrial):
        advisor.propose(4)


def test_asking_without_starting_leaves_no_trace() -> None:
    advisor, other = made(), made()
    for one in (advisor, other):
        for number in range(3):
            start(one, number)
            end(one, number, 1.0)
    for number in range(3, 20):
        advisor.propose(number)
    assert [start(advisor, number) for number in range(3, 8)] == [
        start(other, number) for number in range(3, 8)
    ]
