"""Naive evolution: who is paired, who dies, what a mutation changes. Lower is better."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from tune_evolution.mutation import mutate
from tune_evolution.tuner import EvolutionTuner

from tune_core import AskTell, Observation, SearchSpace

FLAT = SearchSpace.parse(
    {
        "x": {"_type": "uniform", "_value": [0, 1]},
        "q": {"_type": "quniform", "_value": [0, 1, 0.1]},
        "c": {"_type": "choice", "_value": ["a", "b", "c"]},
        "fixed": {"_type": "choice", "_value": [{"whole": 1}]},
    }
)
NESTED = SearchSpace.parse(
    {
        "layer": {
            "_type": "choice",
            "_value": [
                {"_name": "none"},
                {"_name": "conv", "size": {"_type": "randint", "_value": [1, 8]}},
            ],
        },
        "lr": {"_type": "loguniform", "_value": [1e-4, 1]},
    }
)


def tuner_for(space: SearchSpace, size: int, seed: int = 0) -> EvolutionTuner:
    tuner = EvolutionTuner(population_size=size)
    tuner.set_seed(seed)
    tuner.update_search_space(space)
    return tuner


def start(tuner: EvolutionTuner, number: int) -> dict[str, Any] | None:
    parameters = tuner.generate_parameters(number)
    if parameters is not None:
        tuner.register_pending(number, parameters)
    return parameters


def finish(tuner: EvolutionTuner, number: int, parameters: Any, value: float) -> None:
    tuner.receive_trial_result(number, parameters, value)
    tuner.trial_end(number, success=True)


def grown(space: SearchSpace, values: list[float], seed: int = 0) -> tuple[EvolutionTuner, list[Any]]:
    """A tuner whose population has these results."""
    tuner = tuner_for(space, len(values), seed)
    population = [start(tuner, number) for number in range(len(values))]
    for number, value in enumerate(values):
        finish(tuner, number, population[number], value)
    return tuner, population


def differing(left: Any, right: Any) -> list[str]:
    return [name for name in left if left[name] != right[name]]


def test_mutation_changes_exactly_one_parameter_to_another_value() -> None:
    rng = np.random.default_rng(0)
    changed: Counter[str] = Counter()
    for _ in range(600):
        before = FLAT.sample(rng)
        after = mutate(FLAT, before, rng)
        FLAT.check(after)
        [name] = differing(before, after)
        changed[name] += 1
    assert set(changed) == {"x", "q", "c"}
    assert min(changed.values()) > 200 - 70  # 6 sigma


def test_mutation_of_a_nested_choice_draws_the_parameters_of_the_other_branch() -> None:
    rng = np.random.default_rng(0)
    start = {"layer": {"_name": "conv", "size": 3}, "lr": 0.1}
    seen = set()
    for _ in range(200):
        after = mutate(NESTED, start, rng)
        NESTED.check(after)
        layer, lr = after["layer"], after["lr"]
        assert (layer == start["layer"]) != (lr == start["lr"])
        if layer != start["layer"]:
            seen.add("size" if layer["_name"] == "conv" else "branch")
        else:
            seen.add("lr")
    assert seen == {"size", "branch", "lr"}
    back = [mutate(NESTED, {"layer": {"_name": "none"}, "lr": 0.1}, rng)["layer"] for _ in range(100)]
    assert len({layer["size"] for layer in back if layer["_name"] == "conv"}) > 3
    assert start == {"layer": {"_name": "conv", "size": 3}, "lr": 0.1}


def test_mutation_of_the_only_configuration_is_itself() -> None:
    one = SearchSpace.parse({"only": {"_type": "choice", "_value": ["this"]}})
    assert mutate(one, {"only": "this"}, np.random.default_rng(0)) == {"only": "this"}


def test_the_better_of_two_mutates_and_the_worse_dies() -> None:
    for seed in range(10):
        tuner, (worse, better) = grown(FLAT, [2.0, 1.0], seed)
        child = start(tuner, 2)
        assert len(differing(child, better)) == 1
        assert len(differing(child, worse)) > 1
        # Only the better one is left: it mutates again, alone, and lives.
        assert len(differing(start(tuner, 3), better)) == 1
        assert start(tuner, 4) is None


def test_every_pair_is_drawn_equally_often() -> None:
    parents: Counter[int] = Counter()
    tuner, population = grown(FLAT, [0.0, 1.0, 2.0])
    for number in range(3, 1203):
        child = tuner.generate_parameters(number)
        parents[min(range(3), key=lambda place: len(differing(child, population[place])))] += 1
    # The best wins two pairs of three, the middle one of three.
    assert parents[0] == pytest.approx(800, abs=100)  # 6 sigma
    assert parents[1] == pytest.approx(400, abs=100)
    assert parents[2] == 0


def test_as_many_running_as_individuals_wait_for_one_result_each() -> None:
    tuner = tuner_for(FLAT, 3)
    running = {number: start(tuner, number) for number in range(3)}
    assert start(tuner, 3) is None
    for number in range(3, 10):  # each result lets exactly one more start
        done, parameters = running.popitem()
        finish(tuner, done, parameters, float(number))
        running[number] = start(tuner, number)
        assert running[number] is not None
        assert start(tuner, number + 1) is None


def test_asking_without_starting_leaves_no_trace() -> None:
    tuner, _ = grown(FLAT, [1.0, 2.0, 3.0, 4.0])
    first = tuner.generate_parameters(4)
    for number in range(5, 30):
        tuner.generate_parameters(number)
    assert tuner.generate_parameters(4) == first
    other, _ = grown(FLAT, [1.0, 2.0, 3.0, 4.0])
    assert [start(tuner, number) for number in range(4, 8)] == [
        start(other, number) for number in range(4, 8)
    ]


def test_a_failed_trial_is_replaced_by_a_random_one() -> None:
    tuner, population = grown(FLAT, [1.0, 2.0, 3.0])
    start(tuner, 3)
    tuner.trial_end(3, success=False)
    parameters = start(tuner, 4)
    assert parameters == FLAT.sample(tuner.rng(4))
    assert all(len(differing(parameters, one)) > 1 for one in population)


def test_imported_results_take_the_place_of_random_individuals_then_of_the_worst() -> None:
    tuner = tuner_for(FLAT, 3)
    rng = np.random.default_rng(1)
    points = [FLAT.sample(rng) for _ in range(5)]
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    tuner.import_data([Observation(*pair) for pair in zip(points, values, strict=True)])
    for number in range(20):
        child = tuner.generate_parameters(number)
        assert min(len(differing(child, points[place])) for place in (1, 3, 4)) == 1


def test_individuals_that_a_new_space_does_not_know_are_drawn_anew() -> None:
    tuner, _ = grown(FLAT, [1.0, 2.0, 3.0])
    tuner.update_search_space(NESTED)
    fresh = [start(tuner, number) for number in range(3, 6)]
    assert fresh == [NESTED.sample(tuner.rng(number)) for number in range(3, 6)]
    assert start(tuner, 6) is None


def test_evolution_beats_random_on_a_smooth_function() -> None:
    raw = {f"x{i}": {"_type": "uniform", "_value": [-5, 5]} for i in range(4)}

    def best(name: str, seed: int) -> float:
        search = AskTell(name, raw, mode="minimize", seed=seed)
        for _ in range(200):
            asked = search.ask()
            assert asked is not None
            search.tell(asked, sum(value**2 for value in asked.parameters.values()))
        assert search.best is not None
        assert search.best.value is not None
        return search.best.value

    ours, random = ([best(name, seed) for seed in range(8)] for name in ("Evolution", "Random"))
    assert np.median(ours) < 0.7 * np.median(random)
