"""The edit distance by hand, the kernel's positive definiteness, the Gaussian process in closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tune_networkmorphism.distance import Outline, distances, outline, skip_distance
from tune_networkmorphism.generator import convolutional, multilayer_perceptron
from tune_networkmorphism.graph import Graph
from tune_networkmorphism.morphs import Deepen, Skipping, Widen, skip_sources, skip_targets
from tune_networkmorphism.search import random_morph
from tune_networkmorphism.surrogate import Posterior, Surrogate, nearest_positive, standardised

FIRST = convolutional((2, 12, 12), 3, length=3, width=4)


def convs(*units: int, kernel: int = 3) -> Outline:
    return Outline(tuple((1, each, kernel) for each in units), ())


def apart(one: Outline, other: Outline) -> float:
    return float(distances([one], [other])[0, 0])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (convs(64, 64), convs(64, 64), 0.0),
        (convs(64, 64), convs(64, 128), 0.5),
        (convs(64, 64), convs(64), 1.0),
        (convs(), convs(64, 64, 64), 3.0),
        (convs(16, 64), convs(64, 16), 1.5),  # in order: 3/4 twice; out of order it would be nothing
        (convs(10, 64), convs(64, 100), 54 / 64 + 0.36),  # cheaper than to take one out and put one in
        (convs(8, 32, 64), convs(32, 64), 1.0),  # the first is taken out
        (convs(64), convs(64, kernel=5), 0.4),
        (convs(64), Outline(((2, 64, 0),), ()), 2.0),  # no change makes a conv dense
        (Outline(((1, 64, 3), (2, 32, 0)), ()), Outline(((1, 64, 3), (2, 64, 0)), ()), 0.5),
    ],
)
def test_edit_distance_of_layers_by_hand(one: Outline, other: Outline, expected: float) -> None:
    assert apart(one, other) == pytest.approx(expected)
    assert apart(other, one) == pytest.approx(expected)


def by_recursion(a: tuple[tuple[int, int, int], ...], b: tuple[tuple[int, int, int], ...]) -> float:
    if not a or not b:
        return float(len(a) + len(b))
    (kind, w, k), (other, v, m) = a[-1], b[-1]
    change = 2.0 if kind != other else max(abs(w - v) / max(w, v), abs(k - m) / max(k, m, 1))
    return min(
        by_recursion(a[:-1], b[:-1]) + change, by_recursion(a[:-1], b) + 1, by_recursion(a, b[:-1]) + 1
    )


def test_edit_distances_of_all_pairs_are_those_of_each() -> None:
    rng = np.random.default_rng(0)

    def some() -> Outline:
        count = int(rng.integers(0, 6))
        return Outline(
            tuple((int(rng.integers(1, 3)), 2 ** int(rng.integers(7)), 3) for _ in range(count)), ()
        )

    left, right = [some() for _ in range(9)], [some() for _ in range(7)]
    found = distances(left, right)
    expected = [[by_recursion(one.layers, other.layers) for other in right] for one in left]
    assert found == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((), (), 0.0),
        ((("add", 1, 2),), (), 1.0),
        ((("add", 1, 2),), (("add", 1, 2),), 0.0),
        ((("add", 1, 2),), (("concat", 1, 2),), 1.0),
        ((("add", 1, 2),), (("add", 2, 4),), 3 / 6),
        # The second is matched with the first: 1/4 and one left over, not 3/5 and one left over.
        ((("add", 1, 2), ("add", 2, 1)), (("add", 2, 2),), 1 / 4 + 1),
        # Crosswise is cheaper than in order.
        ((("add", 1, 1), ("add", 5, 5)), (("add", 5, 5), ("add", 1, 1)), 0.0),
        ((("add", 0, 0),), (("add", 0, 0), ("add", 1, 1)), 1.0),
    ],
)
def test_distance_of_connections_by_hand(
    one: tuple[tuple[str, int, int], ...], other: tuple[tuple[str, int, int], ...], expected: float
) -> None:
    assert skip_distance(one, other) == pytest.approx(expected)
    assert skip_distance(other, one) == pytest.approx(expected)


def test_connections_are_matched_as_is_cheapest() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        one, other = (
            tuple(("add", int(rng.integers(9)), int(rng.integers(1, 9))) for _ in range(count))
            for count in (3, 4)
        )
        tries = [
            sum(skip_distance((a,), (b,)) for a, b in zip(one, chosen, strict=True))
            for chosen in itertools.permutations(other, 3)
        ]
        assert skip_distance(one, other) == pytest.approx(min(tries) + 1)


def test_morphs_are_as_far_as_they_change() -> None:
    home = outline(FIRST)
    assert home.layers == ((1, 4, 3), (1, 4, 3), (1, 4, 3), (2, 4, 0), (2, 3, 0))
    assert apart(home, outline(Widen(1, 8).apply(FIRST))) == pytest.approx(0.5)
    assert apart(home, outline(Deepen(3, 3).apply(FIRST))) == pytest.approx(1.0)
    target = skip_targets(FIRST)[2]
    skip = Skipping(skip_sources(FIRST, target)[0], target, "add").apply(FIRST)
    assert outline(skip).skips == (("add", 1, 2),)
    assert apart(home, outline(skip)) == pytest.approx(1.0)


def grown(count: int, seed: int = 0) -> list[Graph]:
    rng, graphs = np.random.default_rng(seed), [FIRST, multilayer_perceptron(5, 3, 2, 4)]
    while len(graphs) < count:
        step = random_morph(graphs[int(rng.integers(len(graphs)))], rng, 10**6)
        if step is not None:
            graphs.append(step[1])
    return graphs


def test_edit_distance_alone_would_make_no_kernel() -> None:
    """Of these networks exp(-d^2) has negative eigenvalues, hence the nearest positive one."""
    many = [outline(graph) for graph in grown(80)]
    found = distances(many, many)
    assert found == pytest.approx(found.T)
    plain = np.exp(-((found / np.median(found)) ** 2))
    assert np.linalg.eigvalsh(plain).min() < -1e-4
    nearest = nearest_positive(plain)
    assert np.linalg.eigvalsh(nearest).min() > -1e-12
    # What is taken away are the negative eigenvalues, and nothing else.
    values = np.linalg.eigvalsh(plain)
    assert np.linalg.norm(nearest - plain) == pytest.approx(np.linalg.norm(values[values < 0]))


@pytest.mark.parametrize("seed", range(3))
def test_kernel_of_any_networks_is_positive_and_nearly_unchanged(seed: int) -> None:
    many = [outline(graph) for graph in grown(70, seed)]
    found = distances(many, many)
    for share in (0.25, 1.0, 4.0):
        kernel = np.exp(-found / (share * np.median(found)))
        nearest = nearest_positive(kernel)
        assert np.linalg.eigvalsh(nearest).min() > -1e-12
        assert np.abs(nearest - kernel).max() < 0.02
    # Networks that the model does not know, of which some are what it knows
    surrogate = Surrogate(many[:20], list(range(20)), many[20:25])
    mean, deviation = surrogate.predict(many)
    assert np.isfinite(mean).all()
    assert deviation.min() >= 0.0
    assert deviation.max() <= 1.0
    assert deviation[:25].max() < deviation[25:].max()


def test_posterior_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    x, z, y = rng.normal(size=(6, 2)), rng.normal(size=(4, 2)), rng.normal(size=6)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-np.abs(a[:, None] - b[None]).sum(axis=-1) / 0.7)

    posterior = Posterior.of(kernel(x, x), y, 0.1)
    inverse = np.linalg.inv(kernel(x, x) + 0.1 * np.eye(6))
    mean, deviation = posterior.at(kernel(z, x))
    assert mean == pytest.approx(kernel(z, x) @ inverse @ y)
    assert deviation**2 == pytest.approx(1 - np.diag(kernel(z, x) @ inverse @ kernel(x, z)))
    _, logdet = np.linalg.slogdet(2 * np.pi * (kernel(x, x) + 0.1 * np.eye(6)))
    assert posterior.log_likelihood(y) == pytest.approx(-0.5 * (y @ inverse @ y + logdet))


def test_running_networks_take_away_the_deviation_alone() -> None:
    graphs = [outline(graph) for graph in grown(14)]
    values = [float(len(each.layers)) for each in graphs[:8]]
    without, beside = Surrogate(graphs[:8], values), Surrogate(graphs[:8], values, graphs[8:])
    assert (beside.predict(graphs[8:])[1] < 0.6 * without.predict(graphs[8:])[1] + 0.1).all()


def test_surrogate_learns_what_depends_on_the_network() -> None:
    graphs = [outline(graph) for graph in grown(90)]
    values = np.array([float(len(each.layers)) + 3 * len(each.skips) for each in graphs])
    mean, deviation = Surrogate(graphs[:60], values[:60].tolist()).predict(graphs[60:])
    assert np.corrcoef(mean, values[60:])[0, 1] > 0.8
    assert (deviation >= 0).all()


def test_unknown_networks_are_expected_to_be_bad() -> None:
    """Or a confidence bound would go as far as it may, again and again."""
    near, far = outline(FIRST), Outline(tuple((1, 4000, 5) for _ in range(90)), (("concat", 50, 9),) * 30)
    surrogate = Surrogate([near, outline(Widen(1, 5).apply(FIRST))], [1.0, 2.0])
    mean, deviation = surrogate.predict([near, far])
    assert mean[1] == pytest.approx(2.0, abs=0.05)
    assert deviation[1] == pytest.approx(1.0, abs=0.05)
    assert mean[0] < 0.0


@pytest.mark.parametrize("values", [[0.0], [1e300, -1e300], [5.0] * 4, [1e-320, 0.0], [1.0, 2.0, 3.0, 1e300]])
def test_standardised_results_are_finite(values: list[float]) -> None:
    found = standardised(np.array(values))
    assert np.isfinite(found).all()
    assert abs(found.mean()) < 1e-9
    if len(set(values)) > 1 and max(map(abs, values)) > 1e-300:
        assert found.std() == pytest.approx(1.0)


def test_one_disaster_hides_no_difference() -> None:
    found = standardised(np.array([1.0, 2.0, 3.0, 4.0, 1e12]))
    assert found[1] - found[0] > 0.2
    assert found[4] == found.max()
