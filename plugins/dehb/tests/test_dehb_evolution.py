"""Mutation and crossover of differential evolution by hand, and who keeps a place in a population."""

from typing import Any

import numpy as np
import pytest
from tune_dehb.bracket import Bracket
from tune_dehb.evolution import crossed, mutant
from tune_dehb.population import Candidate, Individual, Population
from tune_hyperband.brackets import Rung


class Draws:
    """A generator whose draws are written down beforehand."""

    def __init__(self, *draws: Any) -> None:
        self._draws = list(draws)

    def _next(self, *_: Any, **__: Any) -> Any:
        return np.array(self._draws.pop(0))

    choice = integers = random = _next


def individual(name: str, value: float) -> Individual:
    return Individual(Candidate({"x": name}, np.zeros(1), name), value)


def names(population: Population) -> list[Any]:
    return [one.candidate.key for one in population.ranking()]


def test_mutant_is_one_parent_and_half_the_difference_of_two() -> None:
    parents = np.array([[0.1, 0.5], [0.2, 0.4], [0.6, 0.8], [0.9, 0.9]])
    made = mutant(parents, 0.5, Draws([2, 3, 0], [0.0, 0.0]))  # type: ignore[arg-type]
    assert made == pytest.approx([0.6 + 0.5 * (0.9 - 0.1), 0.8 + 0.5 * (0.9 - 0.5)])
    made = mutant(parents, 1.0, Draws([0, 1, 2], [0.0, 0.0]))  # type: ignore[arg-type]
    assert made[1] == pytest.approx(0.5 + (0.4 - 0.8))


def test_mutant_beyond_the_cube_is_drawn_anew_where_it_is_beyond() -> None:
    parents = np.array([[0.9, 0.5], [0.8, 0.4], [0.2, 0.2]])
    made = mutant(parents, 0.5, Draws([0, 1, 2], [0.37, 0.77]))  # type: ignore[arg-type]
    assert made == pytest.approx([0.37, 0.6])
    made = mutant(parents, 0.5, Draws([2, 0, 1], [0.37, 0.77]))  # type: ignore[arg-type]
    assert made == pytest.approx([0.25, 0.25])


def test_mutants_have_three_different_parents() -> None:
    rng, parents = np.random.default_rng(0), np.array([[0.2], [0.4], [0.8]])
    found = {round(float(mutant(parents, 0.5, rng)[0]), 9) for _ in range(200)}
    # 0.2 and 0.4 / 2 to either side (0 may be drawn anew), 0.4 and 0.6 / 2, 0.8 and 0.2 / 2
    assert found >= {0.4, 0.1, 0.7, 0.9}


def test_crossover_takes_each_value_of_the_mutant_by_chance() -> None:
    target, other = np.zeros(4), np.ones(4)
    made = crossed(target, other, 0.5, Draws([0.4, 0.6, 0.5, 0.0], 0))  # type: ignore[arg-type]
    assert made.tolist() == [1, 0, 0, 1]


def test_crossover_takes_one_value_of_the_mutant_at_least() -> None:
    target, other = np.zeros(3), np.ones(3)
    made = crossed(target, other, 0.0, Draws([0.4, 0.6, 0.5], 1))  # type: ignore[arg-type]
    assert made.tolist() == [0, 1, 0]
    assert crossed(target, other, 1.0, np.random.default_rng(0)).tolist() == [1, 1, 1]


def test_crossover_takes_its_share() -> None:
    rng, k = np.random.default_rng(0), 10_000
    share = crossed(np.zeros(k), np.ones(k), 0.3, rng).mean()
    assert share == pytest.approx(0.3, abs=6 * (0.21 / k) ** 0.5)  # 6 sigma: about twice in 1e9 seeds


def test_a_challenger_needs_to_be_as_good() -> None:
    population = Population(3, 2)
    population.challenge(0, individual("a", 2.0))
    population.challenge(1, individual("b", 1.0))
    assert names(population) == ["b", "a"]
    population.challenge(1, individual("worse", 1.5))
    assert names(population) == ["b", "a"]
    population.challenge(0, individual("equal", 2.0))
    assert names(population) == ["b", "equal"]


def test_challengers_come_to_each_place_in_turn() -> None:
    population = Population(3, 2)
    places = []
    for key in "abc":
        places.append(population.next_place)
        population.begin(key)
    assert places == [0, 1, 0]
    assert population.started == {"a", "b", "c"}


def test_one_from_elsewhere_takes_an_empty_place_or_the_worst() -> None:
    population = Population(3, 2)
    for name, value in (("a", 2.0), ("b", 3.0), ("c", 1.0), ("late", 5.0)):
        population.join(individual(name, value))
    assert names(population) == ["c", "a"]


def test_bracket_rises_when_all_of_a_rung_have_ended() -> None:
    bracket = Bracket(1, [Rung(2, 3), Rung(1, 9)])
    bracket.start()
    bracket.end()
    bracket.rise(lambda _: 1)
    assert (bracket.budget, bracket.budget_below, bracket.wants) == (3, 3, True)
    bracket.start()
    bracket.rise(lambda _: 1)
    assert (bracket.budget, bracket.wants) == (3, False)
    bracket.end()
    bracket.rise(lambda _: 2)
    assert (bracket.budget, bracket.budget_below, bracket.size, bracket.wants) == (9, 3, 1, True)
    bracket.start()
    bracket.end()
    bracket.rise(lambda _: 2)
    assert bracket.is_over


def test_bracket_ends_where_nobody_has_a_result() -> None:
    bracket = Bracket(1, [Rung(1, 3), Rung(1, 9)])
    bracket.start()
    bracket.end()
    bracket.rise(lambda _: 0)
    assert bracket.is_over


def test_a_rung_is_no_larger_than_there_are_results_below() -> None:
    bracket = Bracket(0, [Rung(9, 1), Rung(3, 3)])
    for _ in range(9):
        bracket.start()
    for _ in range(9):
        bracket.end()
    bracket.rise(lambda _: 2)
    assert (bracket.level, bracket.size) == (1, 2)
