"""Hyperband: the paper's table, who goes on, what waits for what. Lower is better."""

from collections import Counter
from typing import Any

import pytest
from tune_hyperband.brackets import brackets, halvings, rungs
from tune_hyperband.hyperband import HyperbandAdvisor

from tune_core import ConfigError, NoMoreTrial, Observation, SearchSpace, SearchSpaceError, TrialState

LINE = SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 1]}})
SIX = SearchSpace.parse({"x": {"_type": "randint", "_value": [0, 6]}})
DONE, FAILED = TrialState.SUCCEEDED, TrialState.FAILED


def test_brackets_are_those_of_the_papers_table() -> None:
    assert [[tuple(rung) for rung in ladder] for ladder in brackets(81, 3)] == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(27, 3), (9, 9), (3, 27), (1, 81)],
        [(9, 9), (3, 27), (1, 81)],
        [(6, 27), (2, 81)],
        [(5, 81)],
    ]


def test_brackets_of_nnis_default_round_budgets_down() -> None:
    assert [[tuple(rung) for rung in ladder] for ladder in brackets(60, 3)] == [
        [(27, 2), (9, 6), (3, 20), (1, 60)],
        [(9, 6), (3, 20), (1, 60)],
        [(6, 20), (2, 60)],
        [(4, 60)],
    ]
    assert brackets(1, 3) == [[(1, 1)]]


def test_no_budget_is_below_the_least() -> None:
    assert [[tuple(rung) for rung in ladder] for ladder in brackets(81, 3, 9)] == [
        [(9, 9), (3, 27), (1, 81)],
        [(3, 27), (1, 81)],
        [(3, 81)],
    ]
    assert {p["TRIAL_BUDGET"] for p in run_alone(made(min_budget=2), 20)} == {3, 9}
    with pytest.raises(ConfigError, match="min_budget 10 is above R 9"):
        made(min_budget=10)


def test_halvings_are_counted_exactly() -> None:
    assert [halvings(3**k, 3) for k in range(30)] == list(range(30))
    assert [halvings(n, 2) for n in (1, 2, 3, 4, 7, 8)] == [0, 1, 1, 2, 2, 3]
    assert halvings(81, 3, minimum=3) == 3
    assert rungs(2, 81, 3, 2) == [(2, 9), (1, 27), (1, 81)]


def made(space: SearchSpace = LINE, **options: Any) -> HyperbandAdvisor:
    advisor = HyperbandAdvisor(**{"R": 9, "eta": 3, **options})
    advisor.set_seed(0)
    advisor.update_search_space(space)
    return advisor


def start(advisor: Any, number: int) -> Any:
    parameters = advisor.propose(number)
    if parameters is not None:
        advisor.register_pending(number, parameters)
    return parameters


def run_alone(advisor: Any, count: int, loss: Any = lambda parameters: parameters["x"]) -> list[Any]:
    """One trial at a time; those for which `loss` gives None fail."""
    ran = []
    for number in range(count):
        ran.append(start(advisor, number))
        value = loss(ran[-1])
        advisor.trial_end(number, FAILED if value is None else DONE, value)
    return ran


# R = 9 and eta = 3: 9 x 1, 3 x 3, 1 x 9; 3 x 3, 1 x 9; 3 x 9
BUDGETS = [1] * 9 + [3] * 3 + [9] + [3] * 3 + [9] + [9] * 3


def test_brackets_follow_each_other_for_ever() -> None:
    ran = run_alone(made(), 2 * len(BUDGETS))
    assert [parameters["TRIAL_BUDGET"] for parameters in ran] == 2 * BUDGETS


def test_the_best_of_a_rung_go_on_best_first() -> None:
    ran = [parameters["x"] for parameters in run_alone(made(), 13)]
    assert ran[9:12] == sorted(ran[:9])[:3]
    assert ran[12] == min(ran[:9])


def test_the_older_of_two_equals_goes_on() -> None:
    ran = [parameters["x"] for parameters in run_alone(made(), 13, lambda _: 1.0)]
    assert ran[9:12] == ran[:3]


def test_failed_trials_are_ranked_last_and_stall_nothing() -> None:
    worst_fails = run_alone(made(), 13, lambda p: p["x"] if p["x"] > 0.3 or p["TRIAL_BUDGET"] > 1 else None)
    ran = [parameters["x"] for parameters in worst_fails]
    good = sorted(x for x in ran[:9] if x > 0.3)
    assert len(good) > 3
    assert ran[9:12] == good[:3]


def test_a_rung_with_too_few_results_goes_on_with_those() -> None:
    ran = run_alone(made(), 20, lambda p: None if p["TRIAL_BUDGET"] == 1 and p["x"] < 0.86 else p["x"])
    survivors = sorted(parameters["x"] for parameters in ran[:9] if parameters["x"] >= 0.86)
    assert 0 < len(survivors) < 3
    second = ran[9 : 9 + len(survivors)]
    assert [(p["x"], p["TRIAL_BUDGET"]) for p in second] == [(x, 3) for x in survivors]
    assert ran[9 + len(survivors)]["TRIAL_BUDGET"] == 9


def test_a_rung_without_any_result_ends_its_bracket() -> None:
    ran = run_alone(made(), 12, lambda p: None if p["TRIAL_BUDGET"] == 1 else p["x"])
    assert [parameters["TRIAL_BUDGET"] for parameters in ran] == [1] * 9 + [3] * 3


def test_parallelism_opens_the_next_bracket_where_serial_waits() -> None:
    advisor, serial = made(), made(exec_mode="serial")
    assert [start(advisor, number)["TRIAL_BUDGET"] for number in range(14)] == [1] * 9 + [3] * 3 + [9] * 2
    assert [start(serial, number) is None for number in range(11)] == [False] * 9 + [True] * 2
    for number in range(9):  # a rung waits for its last trial
        assert start(serial, 20) is None
        serial.trial_end(number, DONE, float(number))
    promoted = [start(serial, 20 + number) for number in range(4)]
    assert [each and each["TRIAL_BUDGET"] for each in promoted] == [3, 3, 3, None]


def test_an_older_bracket_goes_first() -> None:
    advisor = made()
    for number in range(10):
        start(advisor, number)
    for number in range(9):
        advisor.trial_end(number, DONE, float(number))
    assert [start(advisor, 10 + number)["TRIAL_BUDGET"] for number in range(4)] == [3, 3, 3, 3]
    assert len(advisor._open) == 2


def test_last_intermediate_result_counts_where_there_is_no_final_one() -> None:
    def losses(last: bool) -> list[float]:
        advisor = made()
        for number in range(9):
            start(advisor, number)
            advisor.report_intermediate(number, -5.0)
            advisor.report_intermediate(number, 9.0 - number if last else 0.0)
            advisor.trial_end(number, DONE, None if last else 9.0 - number)
        return [start(advisor, 9)["x"], start(advisor, 10)["x"]]

    assert losses(True) == losses(False)


def test_a_cancelled_trial_and_one_started_again_have_no_old_result() -> None:
    advisor = made()
    parameters = [start(advisor, number)["x"] for number in range(9)]
    for number in range(9):
        advisor.report_intermediate(number, float(number))
        if number == 1:
            advisor.trial_restart(number)
        advisor.trial_end(number, TrialState.USER_CANCELED if number == 0 else DONE, None)
    assert [start(advisor, 9 + number)["x"] for number in range(3)] == parameters[2:5]


def test_a_trial_of_the_users_own_belongs_to_no_bracket() -> None:
    advisor = made()
    advisor.register_pending(0, {"x": 0.5})
    advisor.trial_end(0, DONE, -99.0)
    ran = [start(advisor, number)["x"] for number in range(1, 10)]
    for number in range(1, 10):
        advisor.trial_end(number, DONE, float(number))
    assert [start(advisor, 10 + number)["x"] for number in range(3)] == ran[:3]


def test_asking_without_starting_leaves_no_trace() -> None:
    advisor, other = made(), made()
    for number in range(25):
        advisor.propose(number)
    assert run_alone(advisor, 30) == run_alone(other, 30)


def test_a_finite_space_is_drawn_without_repeats_and_ends() -> None:
    advisor = made(SIX)
    ran: list[Any] = []
    while len({parameters["x"] for parameters in ran if parameters["TRIAL_BUDGET"] == 9}) < 6:
        ran.append(start(advisor, len(ran)))
        advisor.trial_end(len(ran) - 1, DONE, float(ran[-1]["x"]))
    with pytest.raises(NoMoreTrial):
        advisor.propose(len(ran))
    assert len(ran) < 40
    assert sorted(parameters["x"] for parameters in ran[:6]) == list(range(6))
    whole = Counter(parameters["x"] for parameters in ran if parameters["TRIAL_BUDGET"] == 9)
    assert set(whole) == set(range(6))
    assert max(whole.values()) <= 2


@pytest.mark.parametrize("exec_mode", ["parallelism", "serial"])
@pytest.mark.parametrize("at_once", [1, 4, 20])
def test_a_finite_space_never_hangs(exec_mode: str, at_once: int) -> None:
    advisor = made(SIX, exec_mode=exec_mode)
    running: list[int] = []
    number, over = 0, False
    while not over or running:
        try:
            parameters = None if over or len(running) == at_once else start(advisor, number)
        except NoMoreTrial:
            over = True
            continue
        if parameters is not None:
            running.append(number)
            number += 1
            assert number < 300
        else:
            assert running, "it would wait for ever"
            ended = running.pop((7 * number) % len(running))
            advisor.trial_end(ended, FAILED if ended % 5 == 0 else DONE, None if ended % 5 == 0 else 1.0)


def test_imported_whole_trainings_are_not_run_again() -> None:
    advisor = made(SIX)
    advisor.import_data(
        [
            Observation({"x": 0, "TRIAL_BUDGET": 9}, 1.0),
            Observation({"x": 1}, 1.0),
            Observation({"x": 2, "TRIAL_BUDGET": 3}, 1.0),
            Observation({"x": 99}, 1.0),
        ]
    )
    assert sorted(start(advisor, number)["x"] for number in range(4)) == [2, 3, 4, 5]


def test_budget_may_have_another_name_but_not_a_parameters() -> None:
    assert start(made(budget_key="STEPS"), 0)["STEPS"] == 1
    taken = SearchSpace.parse({"TRIAL_BUDGET": {"_type": "uniform", "_value": [0, 1]}})
    with pytest.raises(SearchSpaceError, match="TRIAL_BUDGET: trials find their budget under this name"):
        made(taken)


def test_new_space_begins_with_the_first_bracket() -> None:
    advisor = made()
    for number in range(10):
        start(advisor, number)
    advisor.update_search_space(SIX)
    advisor.trial_end(0, DONE, 1.0)  # belongs to the old space
    assert [start(advisor, 10 + number)["TRIAL_BUDGET"] for number in range(6)] == [1] * 6
