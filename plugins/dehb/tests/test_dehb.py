"""DEHB: its budgets and populations, who goes on and who evolves, what waits for what. Lower is better."""

from typing import Any

import numpy as np
import pytest
from tune_dehb.advisor import DehbAdvisor
from tune_hyperband.hyperband import HyperbandAdvisor

from tune_core import (
    Advisor,
    AskTell,
    ConfigError,
    NoMoreTrial,
    Observation,
    Parameters,
    SearchSpace,
    SearchSpaceError,
    TrialState,
)

LINE = SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 1]}})
FOUR = SearchSpace.parse({name: {"_type": "uniform", "_value": [0, 1]} for name in "abcd"})
SIX = SearchSpace.parse({"x": {"_type": "randint", "_value": [0, 6]}})
DONE, FAILED = TrialState.SUCCEEDED, TrialState.FAILED

# R = 9 and eta = 3: 9 x 1, 3 x 3, 1 x 9; 3 x 3, 1 x 9; 3 x 9
BUDGETS = [1] * 9 + [3] * 3 + [9] + [3] * 3 + [9] + [9] * 3


def made(space: SearchSpace = LINE, seed: int = 0, **options: Any) -> DehbAdvisor:
    advisor = DehbAdvisor(**{"R": 9, **options})
    advisor.set_seed(seed)
    advisor.update_search_space(space)
    return advisor


def start(advisor: Advisor, number: int) -> Parameters:
    parameters = advisor.propose(number)
    assert parameters is not None
    advisor.register_pending(number, parameters)
    return parameters


def run(advisor: Advisor, numbers: range, loss: Any = lambda parameters: parameters["x"]) -> list[Parameters]:
    """One trial at a time; those for which `loss` gives None fail."""
    ran = []
    for number in numbers:
        ran.append(start(advisor, number))
        value = loss(ran[-1])
        advisor.trial_end(number, FAILED if value is None else DONE, value)
    return ran


def xs(ran: list[Parameters]) -> list[float]:
    return [parameters["x"] for parameters in ran]


def places(advisor: DehbAdvisor, budget: int) -> list[float | None]:
    population = advisor._populations[budget]
    holders = [population.at(place) for place in range(len(population))]
    return [None if one is None else one.candidate.configuration["x"] for one in holders]


def test_budgets_are_those_of_hyperband() -> None:
    assert [p["TRIAL_BUDGET"] for p in run(made(), range(40))] == [*BUDGETS, *BUDGETS][:40]


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        # Section 4.1: as many as Hyperband has evaluations on a budget at most, of its table for R = 81.
        ({"R": 81}, {1: 81, 3: 27, 9: 9, 27: 6, 81: 5}),
        ({"R": 27}, {1: 27, 3: 9, 9: 6, 27: 4}),
        ({"R": 27, "min_budget": 3}, {3: 9, 9: 3, 27: 3}),
        ({"R": 60}, {2: 27, 6: 9, 20: 6, 60: 4}),
        ({"R": 1}, {1: 1}),
    ],
)
def test_populations_are_as_large_as_brackets_ask(options: dict[str, int], sizes: dict[int, int]) -> None:
    found = made(**options)._populations
    assert {budget: len(population) for budget, population in found.items()} == sizes


def test_the_first_bracket_is_one_of_hyperband() -> None:
    hyperband = HyperbandAdvisor(R=9)
    hyperband.set_seed(0)
    hyperband.update_search_space(LINE)
    assert run(made(), range(13)) == run(hyperband, range(13))


def test_results_fill_the_places_of_their_budget() -> None:
    advisor = made()
    ran = xs(run(advisor, range(13)))
    assert places(advisor, 1) == ran[:9]
    assert places(advisor, 3) == sorted(ran[:9])[:3]
    assert places(advisor, 9) == [min(ran[:9]), None, None]


def test_the_second_bracket_evolves_what_the_first_has_left() -> None:
    advisor = made(FOUR)

    def loss(parameters: Parameters) -> float:
        return sum(parameters[name] for name in "abcd")

    ran = run(advisor, range(16), loss)
    holders, children = ran[9:12], ran[13:16]  # on budget 3
    for holder, child in zip(holders, children, strict=True):
        kept = [name for name in "abcd" if child[name] == pytest.approx(holder[name], abs=1e-12)]
        assert child["TRIAL_BUDGET"] == 3
        assert len(kept) < 4
    assert sum(
        child[name] == pytest.approx(holder[name], abs=1e-12)
        for holder, child in zip(holders, children, strict=True)
        for name in "abcd"
    ) in range(1, 12)
    # The better of each two stays; who challenged whom is in the order of the places.
    expected = [min(pair, key=loss) for pair in zip(holders, children, strict=True)]
    population = advisor._populations[3]
    found = [population.at(place) for place in range(3)]
    assert [one and one.candidate.configuration for one in found] == [
        {name: each[name] for name in "abcd"} for each in expected
    ]


def test_what_is_best_below_goes_on_before_anything_evolves() -> None:
    advisor = made()
    run(advisor, range(13))
    children = xs(run(advisor, range(13, 16), lambda p: p["x"] - 1.0))  # each better than what it challenged
    assert start(advisor, 16) == {"x": min(children), "TRIAL_BUDGET": 9}


def test_parents_are_the_best_of_the_next_lower_budget() -> None:
    advisor = made(R=27)
    run(advisor, range(65 + 27))  # an iteration, and the first rung of the next
    bracket = advisor._open[0]
    assert (bracket.budget, bracket.size, bracket.budget_below) == (3, 9, 1)
    parents = advisor._parents(bracket, np.random.default_rng(0))
    assert parents[:, 0].tolist() == sorted(places(advisor, 1))[:9]  # type: ignore[type-var]


def test_too_few_parents_are_joined_by_others() -> None:
    advisor = made(R=3)  # 3 x 1, 1 x 3; 2 x 3
    run(advisor, range(4))
    [bracket] = advisor._planned()
    parents = advisor._parents(bracket, np.random.default_rng(0))
    assert len(parents) == 4
    known = [x for x in places(advisor, 1) if x is not None]
    assert sorted(parents[:3, 0].tolist()) == sorted(known)
    assert parents[3, 0] not in known
    assert len(made(R=3)._parents(bracket, np.random.default_rng(0))) == 4  # where nobody has a result yet


def test_failed_trials_go_on_nowhere_and_stall_nothing() -> None:
    ran = run(made(), range(13), lambda p: p["x"] if p["x"] > 0.3 or p["TRIAL_BUDGET"] > 1 else None)
    good = sorted(x for x in xs(ran[:9]) if x > 0.3)
    assert len(good) > 3
    assert xs(ran[9:12]) == good[:3]


def test_a_failed_challenger_leaves_the_place_as_it_was() -> None:
    advisor = made()
    run(advisor, range(13))
    before = places(advisor, 3)
    run(advisor, range(13, 16), lambda _: None)
    assert places(advisor, 3) == before


def test_a_rung_without_any_result_ends_its_bracket() -> None:
    ran = run(made(), range(12), lambda p: None if p["TRIAL_BUDGET"] == 1 else p["x"])
    assert [parameters["TRIAL_BUDGET"] for parameters in ran] == [1] * 9 + [3] * 3


def test_where_all_fails_the_search_goes_on() -> None:
    ran = run(made(R=27), range(100), lambda _: None)
    assert len({parameters["x"] for parameters in ran}) == 100


def test_nobody_waits_for_a_rung_to_end() -> None:
    advisor = made()
    started = [start(advisor, number) for number in range(40)]
    # All brackets at their first rung: 9 x 1; 3 x 3; 3 x 9; and again.
    assert [p["TRIAL_BUDGET"] for p in started] == ([1] * 9 + [3] * 3 + [9] * 3) * 2 + [1] * 9 + [3]


def test_an_open_bracket_comes_before_a_new_one() -> None:
    advisor = made()
    started = [start(advisor, number) for number in range(10)]
    for number in range(9):
        advisor.trial_end(number, DONE, started[number]["x"])
    assert [start(advisor, number)["TRIAL_BUDGET"] for number in range(10, 16)] == [3, 3, 3, 3, 3, 9]
    assert xs(run(advisor, range(16, 17)))[0] not in xs(started)


def test_a_finite_space_is_used_up_without_repeats() -> None:
    advisor = made(SIX)
    ran: list[Parameters] = []
    while len(advisor._top.started) < 6:
        ran += run(advisor, range(len(ran), len(ran) + 1))
    with pytest.raises(NoMoreTrial, match="ran on the whole budget"):
        advisor.propose(len(ran))
    assert sorted(p["x"] for p in ran if p["TRIAL_BUDGET"] == 9) == list(range(6))
    assert len({(p["x"], p["TRIAL_BUDGET"]) for p in ran}) == len(ran)


def test_children_keep_to_what_is_not_forbidden() -> None:
    low = {"min": 0, "max": 10}
    space = SearchSpace.parse(
        {
            "x": {"_type": "randint", "_value": [0, 31]},
            "y": {"_type": "randint", "_value": [0, 31]},
            "_forbidden": [{"x": low, "y": low}],
        }
    )
    for parameters in run(made(space, R=27), range(200), lambda p: p["x"] + p["y"]):
        space.check(parameters, extra=True)


def test_imported_results_are_individuals_of_their_budget() -> None:
    advisor = made()
    advisor.import_data(
        [
            Observation({"x": 0.1, "TRIAL_BUDGET": 3}, 1.0),
            Observation({"x": 0.2}, 2.0),
            Observation({"x": 0.25, "TRIAL_BUDGET": 100}, 3.0),  # a whole training, and more
            Observation({"x": 7.0}, 3.0),  # not of this space
            Observation({"x": 0.3, "TRIAL_BUDGET": "all"}, 4.0),
            Observation({"x": 0.4, "TRIAL_BUDGET": 2}, 4.0),  # no budget of ours
        ]
    )
    assert places(advisor, 3) == [0.1, None, None]
    assert places(advisor, 9) == [0.2, 0.25, None]
    advisor.register_pending(0, {"x": 0.5})
    advisor.trial_end(0, DONE, 5.0)
    assert places(advisor, 9) == [0.2, 0.25, 0.5]


def test_last_intermediate_result_counts_where_there_is_no_final_one() -> None:
    advisor = made()
    start(advisor, 0)
    advisor.report_intermediate(0, 3.0)
    advisor.report_intermediate(0, 2.0)
    advisor.trial_end(0, DONE, None)
    assert [one.value for one in advisor._populations[1].ranking()] == [2.0]


def test_replaying_the_record_goes_on_as_before() -> None:
    live, resumed = made(FOUR, R=27), made(FOUR, R=27)

    def loss(parameters: Parameters) -> float:
        return sum((parameters[name] - 0.3) ** 2 for name in "abcd")

    for number, parameters in enumerate(run(live, range(90), loss)):  # as the record gives it back
        assert resumed.propose(number) == parameters
        resumed.register_pending(number, parameters)
        resumed.trial_end(number, DONE, loss(parameters))
    assert run(resumed, range(90, 120), loss) == run(live, range(90, 120), loss)


def test_asking_without_starting_leaves_no_trace() -> None:
    advisor, other = made(), made()
    for number in range(30):
        advisor.propose(number)
    assert run(advisor, range(40)) == run(other, range(40))


def test_new_space_begins_anew_but_keeps_individuals_that_fit() -> None:
    advisor = made()
    ran = xs(run(advisor, range(9)))
    advisor.update_search_space(SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 0.5]}}))
    kept = [x for x in places(advisor, 1) if x is not None]
    assert sorted(kept) == sorted(x for x in ran if x <= 0.5)
    assert 0 < len(kept) < 9
    assert [p["TRIAL_BUDGET"] for p in run(advisor, range(9, 22))] == BUDGETS[:13]


def test_a_parameter_must_not_have_the_name_of_the_budget() -> None:
    space = SearchSpace.parse({"TRIAL_BUDGET": {"_type": "uniform", "_value": [0, 1]}})
    with pytest.raises(SearchSpaceError, match="trials find their budget under this name"):
        made(space)
    made(space, budget_key="epochs")


def test_the_least_budget_must_not_be_above_the_whole() -> None:
    with pytest.raises(ConfigError, match="min_budget 10 is above R 9"):
        made(min_budget=10)


def test_beats_hyperband_on_a_bowl_of_four_parameters() -> None:
    def loss(parameters: Parameters) -> float:
        return float(sum((parameters[name] - 0.3) ** 2 for name in "abcd"))

    def regret(advisor: Advisor) -> float:
        return min(loss(p) for p in run(advisor, range(200), loss) if p["TRIAL_BUDGET"] == 27)

    ours, others = 0.0, 0.0
    for seed in range(8):
        hyperband = HyperbandAdvisor(R=27)
        hyperband.set_seed(seed)
        hyperband.update_search_space(FOUR)
        ours += regret(made(FOUR, seed, R=27))
        others += regret(hyperband)
    assert ours < 0.75 * others


@pytest.mark.parametrize("name", ["R", "max_budget"])
def test_asks_and_tells_by_its_name(name: str) -> None:
    search = AskTell("DEHB", LINE, mode="minimize", seed=0, arguments={name: 9})
    for _ in range(13):
        asked = search.ask()
        assert asked is not None
        search.tell(asked, asked.parameters["x"])
    assert asked.parameters["TRIAL_BUDGET"] == 9
