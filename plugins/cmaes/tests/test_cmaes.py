"""CMA-ES: what surrounds the package's steps. Lower is better."""

import math
from typing import Any

import numpy as np
import pytest
from tune_cmaes.strategy import Strategy, columns_of
from tune_cmaes.tuner import CMAESTuner

from tune_core import AskTell, Observation, SearchSpace, SearchSpaceError

PLANE = SearchSpace.parse({name: {"_type": "uniform", "_value": [-5, 5]} for name in "xy"})
SMALL = SearchSpace.parse(
    {"a": {"_type": "randint", "_value": [0, 6]}, "b": {"_type": "choice", "_value": list("pqrs")}}
)


def tuner_for(space: SearchSpace = PLANE, seed: int = 0, **options: Any) -> CMAESTuner:
    tuner = CMAESTuner(**options)
    tuner.set_seed(seed)
    tuner.update_search_space(space)
    return tuner


def start(tuner: CMAESTuner, number: int) -> Any:
    parameters = tuner.generate_parameters(number)
    tuner.register_pending(number, parameters)
    return parameters


def finish(tuner: CMAESTuner, number: int, parameters: Any, value: float | None) -> None:
    if value is not None:
        tuner.receive_trial_result(number, parameters, value)
    tuner.trial_end(number, success=value is not None)


def bowl(parameters: Any) -> float:
    return float((parameters["x"] - 2) ** 2 + (parameters["y"] + 1) ** 2)


def run(tuner: CMAESTuner, count: int, loss: Any = bowl, first: int = 0) -> list[Any]:
    ran = []
    for number in range(first, first + count):
        ran.append(start(tuner, number))
        finish(tuner, number, ran[-1], loss(ran[-1]))
    return ran


def test_columns_are_sorted_by_how_they_can_be_varied() -> None:
    columns = columns_of(
        SearchSpace.parse(
            {
                "one": {"_type": "choice", "_value": ["this"]},
                "x": {"_type": "loguniform", "_value": [1e-3, 1]},
                "n": {"_type": "normal", "_value": [0, 1]},
                "q": {"_type": "quniform", "_value": [0, 4, 2]},
                "two": {"_type": "randint", "_value": [0, 2]},
                "many": {"_type": "randint", "_value": [0, 257]},
                "c": {"_type": "layer_choice", "_value": ["conv", "pool", "skip"]},
                "o": {"_type": "choice", "_value": ["small", "medium", "large"], "_ordered": True},
            }
        )
    )
    assert columns.continuous == [1, 2, 5]
    assert columns.normal == [False, True, False]
    assert columns.integer == [3, 7]
    assert columns.steps[0] == pytest.approx([0.125, 0.5, 0.875])  # 0 to 1, 1 to 3 and 3 to 4, of 4
    assert columns.steps[1] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert (columns.categorical, columns.counts) == ([4, 6], [2, 3])
    assert columns.count == 7


def test_a_generation_moves_the_mean_towards_its_better_half() -> None:
    strategy = Strategy(columns_of(PLANE), np.array([0.5, 0.5]), 0.1, 20)
    strategy.seed(np.random.default_rng(0))
    samples = [strategy.draw() for _ in range(20)]
    assert None not in samples
    ranking = sorted((sample for sample in samples if sample is not None), key=lambda one: one.units[0])
    assert strategy.tell(ranking)
    drawn = [strategy.draw() for _ in range(400)]
    mean = np.mean([sample.units for sample in drawn if sample is not None], axis=0)
    # Weighted mean of the better half of 20 standard normals is about -1: 0.1 to the left.
    assert mean[0] == pytest.approx(0.4, abs=0.04)
    assert mean[1] == pytest.approx(0.5, abs=0.08)


def test_search_converges_on_a_bowl() -> None:
    for seed in range(3):
        assert min(map(bowl, run(tuner_for(seed=seed), 300))) < 1e-6


def test_only_the_order_of_results_counts() -> None:
    assert run(tuner_for(), 60) == run(tuner_for(), 60, lambda parameters: math.exp(bowl(parameters) / 10))
    assert run(tuner_for(), 60) == run(tuner_for(), 60, lambda parameters: 1e300 * (bowl(parameters) - 70))


def test_results_may_come_in_any_order() -> None:
    tuner = tuner_for(population_size=4)
    first = [start(tuner, number) for number in range(4)]
    spare = [start(tuner, number) for number in range(4, 6)]
    before = tuner.generate_parameters(6)
    for number in (2, 0, 3):
        finish(tuner, number, first[number], bowl(first[number]))
    assert tuner.generate_parameters(6) == before  # the generation is not over
    finish(tuner, 5, spare[1], bowl(spare[1]))  # drawn later, but it came in time
    after = tuner.generate_parameters(6)
    assert after != before
    for number, parameters in ((1, first[1]), (4, spare[0])):  # late: the first two of the next one
        finish(tuner, number, parameters, bowl(parameters))
    assert tuner.generate_parameters(6) == after
    run(tuner, 2, first=10)
    assert tuner.generate_parameters(6) != after


def test_a_trial_without_a_result_counts_as_the_worst() -> None:
    def after(values: list[float | None]) -> Any:
        tuner = tuner_for(population_size=6)
        for number, value in enumerate(values):
            finish(tuner, number, start(tuner, number), value)
        return tuner.generate_parameters(99)

    assert after([3.0, None, 1.0, 2.0, 5.0, 4.0]) == after([3.0, 99.0, 1.0, 2.0, 5.0, 4.0])
    assert after([3.0, None, 1.0, 2.0, 5.0, 4.0]) != after([3.0, 0.0, 1.0, 2.0, 5.0, 4.0])


def test_what_was_evaluated_is_not_proposed_again() -> None:
    tuner = tuner_for(SMALL)
    ran = run(tuner, 20, lambda parameters: parameters["a"] + "pqrs".index(parameters["b"]))
    assert len({SMALL.key(parameters) for parameters in ran}) >= 19
    tuner = tuner_for(SMALL)
    running = [start(tuner, number) for number in range(8)]
    assert len({SMALL.key(parameters) for parameters in running}) == 8


def test_what_replaced_a_proposal_is_not_taken_for_it() -> None:
    tuner, same = tuner_for(population_size=4), tuner_for(population_size=4)
    for number in range(6):
        tuner.generate_parameters(number)
        tuner.register_pending(number, {"x": 0.0, "y": 0.0})
        finish(tuner, number, {"x": 0.0, "y": 0.0}, 0.0)
    assert tuner.generate_parameters(50) == same.generate_parameters(50)


def test_a_forbidden_sample_is_not_proposed_and_counts_as_the_worst() -> None:
    raw = {
        **{f"c{i}": {"_type": "choice", "_value": ["a", "b"]} for i in range(8)},
        "_forbidden": [{"c0": "a", "c1": "a"}],
    }
    tuner = tuner_for(SearchSpace.parse(raw))
    ran = run(tuner, 60, lambda parameters: sum(value == "b" for value in parameters.values()))
    assert not any(parameters["c0"] == parameters["c1"] == "a" for parameters in ran)
    assert min(sum(value == "b" for value in parameters.values()) for parameters in ran) == 1


def test_a_flat_generation_restarts_with_twice_as_many() -> None:
    tuner = tuner_for()
    sizes = []
    for number in range(6 + 12 + 24):  # 4 + floor(3 ln 2) is 6
        parameters = start(tuner, number)
        assert tuner._strategy is not None
        sizes.append(tuner._strategy.population_size)
        finish(tuner, number, parameters, 1.0)
    assert sizes == [6] * 6 + [12] * 12 + [24] * 24


def test_it_begins_at_the_best_import() -> None:
    tuner = tuner_for(sigma=0.01)
    tuner.import_data([Observation({"x": 4.0, "y": -4.0}, 1.0), Observation({"x": 0.0, "y": 0.0}, 2.0)])
    first = [start(tuner, number) for number in range(6)]
    assert np.mean([parameters["x"] for parameters in first]) == pytest.approx(4, abs=0.25)
    assert np.mean([parameters["y"] for parameters in first]) == pytest.approx(-4, abs=0.25)


def test_a_changed_space_begins_at_the_best_that_fits() -> None:
    tuner = tuner_for(sigma=0.01)
    run(tuner, 40)
    tuner.receive_trial_result(99, {"x": 4.5, "y": 4.5}, -1.0)
    half = SearchSpace.parse({name: {"_type": "uniform", "_value": [4, 5]} for name in "xy"})
    tuner.update_search_space(half)
    first = start(tuner, 100)
    assert (first["x"], first["y"]) == pytest.approx((4.5, 4.5), abs=0.06)


def test_normal_types_are_searched_in_standard_deviations() -> None:
    space = SearchSpace.parse({"n": {"_type": "normal", "_value": [10, 2]}})
    tuner = tuner_for(space)
    tuner.import_data([Observation({"n": 13.0}, 0.0)])
    first = np.array([start(tuner, number)["n"] for number in range(300)])
    assert first.mean() == pytest.approx(13.0, abs=6 * 2.4 / 17)  # 0.15 of 8 deviations
    assert first.std() == pytest.approx(2.4, abs=0.5)


def test_what_it_does_not_take_is_refused_by_name() -> None:
    nested = {"layer": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "b"}]}}
    with pytest.raises(SearchSpaceError, match="layer: CMAES takes no nested choices"):
        tuner_for(SearchSpace.parse(nested))
    many = {"_type": "input_choice", "_value": {"candidates": list("abcdefghijklmnop"), "n_chosen": 8}}
    with pytest.raises(SearchSpaceError, match="inputs: CMAES takes up to 10,000 options, not 12,870"):
        tuner_for(SearchSpace.parse({"inputs": many}))


@pytest.mark.parametrize("at_once", [1, 8])
def test_cmaes_beats_random_on_a_smooth_function(at_once: int) -> None:
    raw = {f"x{i}": {"_type": "uniform", "_value": [-5, 5]} for i in range(6)}

    def best(name: str, seed: int) -> float:
        search = AskTell(name, raw, mode="minimize", seed=seed)
        for _ in range(200 // at_once):
            asked = [search.ask() for _ in range(at_once)]
            for each in asked:
                assert each is not None
                search.tell(each, sum((value - 3) ** 2 for value in each.parameters.values()))
        assert search.best is not None
        assert search.best.value is not None
        return search.best.value

    ours, random = ([best(name, seed) for seed in range(5)] for name in ("CMAES", "Random"))
    assert np.median(ours) < 0.2 * np.median(random)
