"""Annealing against its published rules: which result it draws near, and how near. Lower is better."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from tune_anneal.neighbours import near
from tune_anneal.tuner import AnnealTuner

from tune_core import AskTell, Observation, SearchSpace


def domain(kind: str, *value: Any) -> Any:
    return SearchSpace.parse({"x": {"_type": kind, "_value": list(value)}})["x"].domain


def draws(domain: Any, position: float | None, share: float, count: int = 4000) -> Any:
    rng = np.random.default_rng(0)
    return np.array([near(domain, position, share, rng) for _ in range(count)])


@pytest.mark.parametrize(
    ("centre", "low", "high"),
    [(4.0, 3.0, 5.0), (0.2, 0.0, 2.0), (9.9, 8.0, 10.0), (None, 4.0, 6.0)],  # a fifth of 10, moved inside
)
def test_uniform_is_drawn_from_a_window_within_the_bounds(
    centre: float | None, low: float, high: float
) -> None:
    found = draws(domain("uniform", 0, 10), centre, 0.2)
    assert low <= found.min() < low + 0.01
    assert high - 0.01 < found.max() <= high


def test_loguniform_is_drawn_from_a_window_of_logarithms() -> None:
    found = draws(domain("loguniform", 1e-4, 1), 1e-2, 0.5)
    assert np.log10(found.min()) == pytest.approx(-3, abs=0.01)
    assert np.log10(found.max()) == pytest.approx(-1, abs=0.01)


def test_q_types_are_rounded_after_the_draw() -> None:
    found = Counter(draws(domain("quniform", 0, 10, 2), 4.0, 0.5).tolist())  # 1.5 to 6.5
    assert set(found) == {2, 4, 6}
    assert found[2] == pytest.approx(4000 * 1.5 / 5, abs=180)  # 6 sigma
    assert set(draws(domain("qloguniform", 1, 256, 8), 16.0, 0.1).tolist()) == {16, 24}  # 12.1 to 21.1


@pytest.mark.parametrize(("kind", "value", "log"), [("normal", 7.0, False), ("lognormal", 7.0, True)])
def test_normal_types_keep_a_share_of_their_deviation(kind: str, value: float, log: bool) -> None:
    found = draws(domain(kind, 1, 2), value, 0.25)
    found = np.log(found) if log else found
    assert found.mean() == pytest.approx(math.log(value) if log else value, abs=6 * 0.5 / 63)
    assert found.std() == pytest.approx(0.5, abs=6 * 0.5 / 89)


def test_a_walk_stays_within_reach_of_the_prior() -> None:
    assert draws(domain("normal", 0, 1), 8.1, 1.0).max() <= 8.2
    assert draws(domain("lognormal", 0, 80), math.exp(650), 1.0).max() < math.exp(657)


def test_qlognormal_leaves_zero_again() -> None:
    assert draws(domain("qlognormal", 2, 1, 1), 0.0, 0.5).max() >= 1


@pytest.mark.parametrize(("kind", "value"), [("choice", list("abcd")), ("randint", [3, 7])])
def test_options_are_kept_or_drawn_from_all(kind: str, value: list[Any]) -> None:
    found = Counter(draws(domain(kind, *value), 2.0, 0.4).tolist())
    # 1 - 0.4 + 0.4 / 4 = 0.7 and 0.4 / 4 each
    assert found[2] == pytest.approx(2800, abs=175)  # 6 sigma
    assert [found[index] for index in (0, 1, 3)] == pytest.approx([400] * 3, abs=115)


def test_ordered_options_are_drawn_from_a_window() -> None:
    raw = {"x": {"_type": "choice", "_value": list("abcdefgh"), "_ordered": True}}
    found = Counter(draws(SearchSpace.parse(raw)["x"].domain, 5.0, 0.25).tolist())  # 4.5 to 6.5 of 0 to 8
    assert set(found) == {4, 5, 6}
    assert found[5] == pytest.approx(2000, abs=190)  # 6 sigma


@pytest.mark.parametrize(
    ("kind", "value"),
    [("uniform", [2, 6]), ("loguniform", [1, 100]), ("normal", [5, 2]), ("qlognormal", [1, 1, 1])],
)
def test_whole_share_is_the_distribution_of_the_space(kind: str, value: list[Any]) -> None:
    space = SearchSpace.parse({"x": {"_type": kind, "_value": value}})
    rng = np.random.default_rng(1)
    expected = np.sort([space.sample(rng)["x"] for _ in range(4000)])
    found = np.sort(draws(domain(kind, *value), None, 1.0))
    places = np.searchsorted(found, expected, side="right") - np.searchsorted(
        expected, expected, side="right"
    )
    assert np.abs(places).max() / 4000 < 0.06  # Kolmogorov and Smirnov: 2 exp(-4000 * 0.06**2) is 1e-6


def tuner_for(space: SearchSpace, seed: int = 0, **options: float) -> AnnealTuner:
    tuner = AnnealTuner(**options)
    tuner.set_seed(seed)
    tuner.update_search_space(space)
    return tuner


LINE = SearchSpace.parse({name: {"_type": "uniform", "_value": [0, 1]} for name in "xy"})


def test_first_draws_come_from_the_prior() -> None:
    tuner = tuner_for(LINE)
    found = np.array([tuner.generate_parameters(number)["x"] for number in range(1000)])
    assert found.mean() == pytest.approx(0.5, abs=6 * 0.29 / 31)
    assert found.std() == pytest.approx(0.289, abs=0.03)


def test_place_in_the_ranking_is_geometric_and_the_same_for_all_parameters() -> None:
    tuner = tuner_for(LINE, shrink_coef=1e6)  # lands where the result is
    for number, place in enumerate([3, 0, 2, 1, 4]):
        tuner.receive_trial_result(number, {"x": place / 10, "y": place / 10 + 0.5}, float(place))
    chosen: Counter[int] = Counter()
    for number in range(4000):
        found = tuner.generate_parameters(number)
        assert found["y"] - found["x"] == pytest.approx(0.5, abs=1e-6)
        chosen[round(10 * found["x"])] += 1
    # 1/2, 1/4, 1/8, 1/16, and the rest to the last
    expected = [2000, 1000, 500, 250, 250]
    assert [chosen[place] for place in range(5)] == pytest.approx(expected, abs=190)  # 6 sigma


def test_width_shrinks_with_the_results() -> None:
    tuner = tuner_for(LINE, avg_best_idx=1)
    for number in range(40):  # 1 / (1 + 40 / 10) is a fifth
        tuner.receive_trial_result(number, {"x": 0.5, "y": 0.5}, float(number))
    found = [tuner.generate_parameters(number)["x"] for number in range(2000)]
    assert min(found) == pytest.approx(0.4, abs=0.001)
    assert max(found) == pytest.approx(0.6, abs=0.001)


NESTED = SearchSpace.parse(
    {
        "kind": {
            "_type": "choice",
            "_value": [
                {"_name": "a", "u": {"_type": "uniform", "_value": [0, 1]}},
                {
                    "_name": "b",
                    "v": {"_type": "uniform", "_value": [0, 1]},
                    "w": {"_type": "uniform", "_value": [0, 1]},
                },
            ],
        }
    }
)


def test_a_branch_is_drawn_near_the_best_that_took_it() -> None:
    tuner = tuner_for(NESTED, avg_best_idx=1, shrink_coef=0.5)
    tuner.receive_trial_result(0, {"kind": {"_name": "a", "u": 0.3}}, 0.0)  # the best did not take b
    for number in range(1, 9):
        b = {"kind": {"_name": "b", "v": number / 10, "w": 1 - number / 10}}
        tuner.receive_trial_result(number, b, float(number))
    taken = [tuner.generate_parameters(number)["kind"] for number in range(2000)]
    b = [kind for kind in taken if kind["_name"] == "b"]
    assert len(b) == pytest.approx(2000 / 5.5 / 2, abs=75)  # share 1 / (1 + 9 / 2), half of it
    assert all(0 <= kind["v"] <= 0.2 for kind in b)  # 1 / (1 + 8 / 2) wide, around 0.1, moved inside
    assert all(0.8 <= kind["w"] <= 1.0 for kind in b)  # from the same result


def test_results_that_fit_survive_a_change_of_the_space() -> None:
    tuner = tuner_for(LINE, avg_best_idx=1, shrink_coef=1e6)
    tuner.import_data([Observation({"x": 0.25, "y": 0.75}, 1.0), Observation({"x": 0.9, "y": 0.1}, 0.0)])
    tuner.update_search_space(SearchSpace.parse({**LINE.raw, "x": {"_type": "uniform", "_value": [0, 0.5]}}))
    found = tuner.generate_parameters(0)
    assert (found["x"], found["y"]) == pytest.approx((0.25, 0.75), abs=1e-6)


def test_anneal_beats_random_on_a_smooth_function() -> None:
    raw = {f"x{i}": {"_type": "uniform", "_value": [-5, 5]} for i in range(4)}

    def best(name: str, seed: int) -> float:
        search = AskTell(name, raw, mode="minimize", seed=seed)
        for _ in range(100):
            asked = search.ask()
            assert asked is not None
            search.tell(asked, sum(value**2 for value in asked.parameters.values()))
        assert search.best is not None
        assert search.best.value is not None
        return search.best.value

    ours, random = ([best(name, seed) for seed in range(8)] for name in ("Anneal", "Random"))
    assert np.median(ours) < 0.2 * np.median(random)
