"""Regularized evolution: tournaments, mutations, and that the oldest dies. Lower is better."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from tune_regularized_evolution.tuner import RegularizedEvolutionTuner, mutate

from tune_core import AskTell, Observation, SearchSpace, SearchSpaceError

SPACE = SearchSpace.parse(
    {
        "op": {"_type": "layer_choice", "_value": ["conv3", "conv5", "pool", "skip"]},
        "inputs": {"_type": "input_choice", "_value": {"candidates": ["a", "b", "c"], "n_chosen": 2}},
        "width": {"_type": "randint", "_value": [0, 1000]},
        "fixed": {"_type": "choice", "_value": ["only"]},
    }
)


def tuner_for(space: SearchSpace = SPACE, seed: int = 0, **options: int) -> RegularizedEvolutionTuner:
    tuner = RegularizedEvolutionTuner(**options)
    tuner.set_seed(seed)
    tuner.update_search_space(space)
    return tuner


def tell(tuner: RegularizedEvolutionTuner, number: int, parameters: Any, value: float) -> None:
    tuner.register_pending(number, parameters)
    tuner.receive_trial_result(number, parameters, value)
    tuner.trial_end(number, success=True)


def differing(left: Any, right: Any) -> list[str]:
    return [name for name in left if left[name] != right[name]]


def test_mutation_gives_one_decision_any_other_value() -> None:
    rng = np.random.default_rng(0)
    parent = SPACE.sample(rng)
    names: Counter[str] = Counter()
    ops: Counter[str] = Counter()
    for _ in range(3000):
        child = mutate(SPACE, parent, rng)
        SPACE.check(child)
        [name] = differing(parent, child)
        names[name] += 1
        if name == "op":
            ops[child["op"]["_value"]] += 1
    assert [names[name] for name in ("op", "inputs", "width")] == pytest.approx(
        [1000] * 3, abs=155
    )  # 6 sigma
    assert len(ops) == 3
    assert list(ops.values()) == pytest.approx([names["op"] / 3] * 3, abs=100)


def test_first_generation_is_random() -> None:
    tuner = tuner_for(population_size=5, sample_size=2)
    for number in range(5):
        parameters = tuner.generate_parameters(number)
        assert parameters == SPACE.sample(tuner.rng(number))
        tuner.register_pending(number, parameters)
    assert tuner.generate_parameters(5) is None  # all of it is running
    tuner.trial_end(0, success=False)
    assert tuner.generate_parameters(5) == SPACE.sample(tuner.rng(5))


def test_the_best_of_a_sample_with_replacement_is_the_parent() -> None:
    rng = np.random.default_rng(1)
    population = [SPACE.sample(rng) for _ in range(4)]
    tuner = tuner_for(population_size=4, sample_size=2)
    for number, parameters in enumerate(population):
        tell(tuner, number, parameters, float(number))
    parents: Counter[int] = Counter()
    for number in range(4, 4004):
        child = tuner.generate_parameters(number)
        parents[min(range(4), key=lambda place: len(differing(child, population[place])))] += 1
    # The best of two out of four: 7, 5, 3 and 1 sixteenths
    assert [parents[place] for place in range(4)] == pytest.approx([1750, 1250, 750, 250], abs=200)  # 6 sigma


def test_the_oldest_dies_however_good_it_is() -> None:
    rng = np.random.default_rng(2)
    best, *others = [SPACE.sample(rng) for _ in range(4)]
    tuner = tuner_for(population_size=3, sample_size=50)
    tell(tuner, 0, best, -100.0)
    tell(tuner, 1, others[0], 2.0)
    tell(tuner, 2, others[1], 1.0)
    assert len(differing(tuner.generate_parameters(3), best)) == 1
    tell(tuner, 3, others[2], 3.0)
    child = tuner.generate_parameters(4)
    assert len(differing(child, others[1])) == 1
    assert len(differing(child, best)) > 1


def test_imported_results_are_individuals() -> None:
    rng = np.random.default_rng(3)
    points = [SPACE.sample(rng) for _ in range(6)]
    tuner = tuner_for(population_size=5, sample_size=50)
    tuner.import_data([Observation(point, float(rank)) for rank, point in enumerate(points)])
    assert len(differing(tuner.generate_parameters(0), points[1])) == 1  # points[0] died of age


def test_a_continuous_parameter_is_refused_by_name() -> None:
    raw = {**SPACE.raw, "lr": {"_type": "loguniform", "_value": [1e-4, 1]}}
    with pytest.raises(
        SearchSpaceError, match=r"lr: RegularizedEvolution takes .* not loguniform; Evolution"
    ):
        tuner_for(SearchSpace.parse(raw))


def test_regularized_evolution_beats_random_on_an_architecture() -> None:
    raw = {
        f"op{i}": {"_type": "layer_choice", "_value": [str(number) for number in range(5)]} for i in range(10)
    }

    def best(algorithm: Any, seed: int) -> float:
        search = AskTell(algorithm, raw, mode="minimize", seed=seed)
        for _ in range(300):
            asked = search.ask()
            assert asked is not None
            search.tell(asked, sum(float(choice["_idx"]) for choice in asked.parameters.values()))
        assert search.best is not None
        assert search.best.value is not None
        return search.best.value

    ours = [best(RegularizedEvolutionTuner(population_size=30, sample_size=10), seed) for seed in range(6)]
    random = [best("Random", seed) for seed in range(6)]
    assert np.median(ours) < 0.6 * np.median(random)
