"""The geometry of search spaces that the kernel rests on."""

import math
from typing import Any

import numpy as np
import pytest
from tune_gp.embedding import Embedding
from tune_gp.kernel import matern, squared_distances

from tune_core.space import SearchSpace
from tune_core.testing import EXAMPLE_SPACES

NESTED = SearchSpace.parse(EXAMPLE_SPACES["nested"])


def distances(space: SearchSpace, *configurations: Any) -> np.ndarray:
    features = Embedding(space.leaves)(*space.encode(configurations))
    return np.asarray(squared_distances(features, features))


def test_branches_are_as_far_as_their_choice() -> None:
    """What one of them lacks counts as half-way, whatever else is shared."""
    inside = {"_name": "a", "u": {"_type": "uniform", "_value": [0, 1]}}
    space = SearchSpace.parse(
        {
            "m": {"_type": "choice", "_value": [inside, {"_name": "b"}]},
            "shared": {"_type": "uniform", "_value": [0, 1]},
        }
    )
    low, middle, other = {"_name": "a", "u": 0.2}, {"_name": "a", "u": 0.5}, {"_name": "b"}
    found = distances(space, *({"m": m, "shared": 0.3} for m in (low, middle, other)))
    assert found[0] == pytest.approx([0, 0.09, 1 + 0.09])
    assert found[1, 2] == pytest.approx(1)
    [row] = distances(space, {"m": other, "shared": 0.3}, {"m": other, "shared": 0.7})[:1]
    assert row == pytest.approx([0, 0.16])


def test_different_options_are_equally_far() -> None:
    few = SearchSpace.parse({"c": {"_type": "choice", "_value": list("abc")}})
    assert distances(few, {"c": "a"}, {"c": "b"}, {"c": "c"}) == pytest.approx(1 - np.eye(3))
    many = SearchSpace.parse({"c": {"_type": "choice", "_value": list(range(200))}})
    found = distances(many, *({"c": number} for number in range(200)))[np.triu_indices(200, 1)]
    assert found.min() > 0.25
    assert found.mean() == pytest.approx(1, abs=0.02)


def test_ordered_options_lie_in_a_row() -> None:
    space = SearchSpace.parse({"c": {"_type": "choice", "_value": list("abcd"), "_ordered": True}})
    found = distances(space, {"c": "a"}, {"c": "b"}, {"c": "d"})
    assert found[0] == pytest.approx([0, 1 / 16, 9 / 16])


def test_selections_that_share_inputs_are_near() -> None:
    spec = {"_type": "input_choice", "_value": {"candidates": list("abcdef"), "n_chosen": 2}}
    space = SearchSpace.parse({"i": spec})
    chosen = ([0, 1], [0, 2], [3, 4])
    found = distances(
        space, *({"i": {"_value": ["abcdef"[i] for i in each], "_idx": each}} for each in chosen)
    )
    assert found[0] == pytest.approx([0, 0.5, 1])


def test_one_value_takes_no_scale() -> None:
    assert Embedding(SearchSpace.parse(EXAMPLE_SPACES["one value"]).leaves).scales == 0


@pytest.mark.parametrize("name", EXAMPLE_SPACES)
@pytest.mark.parametrize("nu", [0.5, 2.5, math.inf])
def test_kernel_is_positive_on_every_space(name: str, nu: float) -> None:
    space, rng = SearchSpace.parse(EXAMPLE_SPACES[name]), np.random.default_rng(5)
    embedding = Embedding(space.leaves)
    features = embedding(*space.encode([space.sample(rng) for _ in range(60)]))
    for _ in range(3):
        x = features / rng.lognormal(size=embedding.scales)[embedding.owners]
        eigenvalues = np.linalg.eigvalsh(matern(squared_distances(x, x), nu))
        assert eigenvalues.min() > -1e-9
        assert eigenvalues.sum() == pytest.approx(60)


def test_pulled_back_gradient_is_that_of_the_coordinates() -> None:
    rng, embedding = np.random.default_rng(6), Embedding(NESTED.leaves)
    units, active = NESTED.encode([NESTED.sample(rng) for _ in range(8)])
    direction = rng.standard_normal((8, len(embedding.owners)))
    pulled = embedding.pull_back(units, active, direction)
    for column in range(NESTED.dimensions):
        ahead, behind = units.copy(), units.copy()
        ahead[:, column] += 1e-6
        behind[:, column] -= 1e-6
        change = ((embedding(ahead, active) - embedding(behind, active)) * direction).sum(axis=1) / 2e-6
        wanted = change if column in embedding.numeric else np.zeros(8)
        assert pulled[:, column] == pytest.approx(wanted, abs=1e-6)
