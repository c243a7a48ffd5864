"""Pareto fronts, ranks and hypervolumes against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from effort import instructions, peak_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_core.front import Front, dominates, hypervolume, non_dominated, ranks

# Few values, so that ties and equal points are frequent.
POINTS = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(0, 4).map(float)] * m), min_size=1, max_size=40)
)


def brute_force(points: list[tuple[float, ...]]) -> list[bool]:
    return [not any(dominates(other, point) for other in points) for point in points]


@settings(deadline=None)
@given(POINTS)
def test_non_dominated_is_what_the_definition_says(points: list[tuple[float, ...]]) -> None:
    assert non_dominated(points).tolist() == brute_force(points)


@pytest.mark.parametrize("objectives", [2, 3, 5])
def test_non_dominated_is_right_beyond_one_block(objectives: int) -> None:
    points = np.random.default_rng(objectives).random((700, objectives)).round(2)
    assert non_dominated(points).tolist() == brute_force([tuple(point) for point in points.tolist()])


@settings(deadline=None)
@given(POINTS)
def test_growing_front_is_the_front(points: list[tuple[float, ...]]) -> None:
    front: Front[int] = Front()
    for number, point in enumerate(points):
        front.add(point, number)
    keep = brute_force(points)
    assert list(front) == sorted(np.flatnonzero(keep).tolist(), key=lambda number: (points[number], number))


@settings(deadline=None)
@given(POINTS, st.data())
def test_ranks_peel_front_after_front_and_then_the_infeasible(
    points: list[tuple[float, ...]], data: st.DataObject
) -> None:
    violations = data.draw(
        st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5]), min_size=len(points), max_size=len(points))
    )
    found = ranks(points, violations)
    left = [number for number, violation in enumerate(violations) if not violation]
    expected = {}
    level = 0
    while left:
        keep = brute_force([points[number] for number in left])
        expected |= {number: level for number, stays in zip(left, keep, strict=True) if stays}
        left = [number for number, stays in zip(left, keep, strict=True) if not stays]
        level += 1
    for violation in sorted(set(violations) - {0.0}):
        expected |= {number: level for number, each in enumerate(violations) if each == violation}
        level += 1
    assert found.tolist() == [expected[number] for number in range(len(points))]


def test_ranks_stop_when_enough_are_ranked() -> None:
    line = [(float(number), float(number)) for number in range(10)]
    assert ranks(line, enough=3).tolist() == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]


def test_front_of_a_hundred_thousand_is_quick() -> None:
    points = np.random.default_rng(0).random((100_000, 2))
    points[:, 1] += 1.0 / points[:, 0]  # a front of many
    assert non_dominated(points).sum() > 20
    # Whole arrays at once, and not each with each: 0.05 s.
    assert instructions(lambda: non_dominated(points)) < 2_000
    assert peak_bytes(lambda: non_dominated(points)) < 20 * points.nbytes


@pytest.mark.parametrize(
    ("points", "reference", "volume"),
    [
        ([(1.0,)], (3.0,), 2.0),
        ([(0.0, 0.0)], (2.0, 3.0), 6.0),
        ([(0.0, 2.0), (1.0, 1.0), (2.0, 0.0)], (3.0, 3.0), 3.0 + 2.0 + 1.0),
        ([(0.0, 2.0), (0.0, 2.0), (1.0, 2.5)], (3.0, 3.0), 3.0),
        ([(0.0, 3.0), (4.0, 0.0)], (3.0, 3.0), 0.0),
        ([(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)], (2.0, 2.0, 2.0), 7.0),
        ([], (1.0, 1.0), 0.0),
    ],
)
def test_hypervolume_of_known_shapes(
    points: list[tuple[float, ...]], reference: tuple[float, ...], volume: float
) -> None:
    assert hypervolume(points, reference) == pytest.approx(volume)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_hypervolume_is_the_share_of_points_dominated(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    points = rng.random((12, objectives))
    probes = rng.random((200_000, objectives))
    covered = (points[:, None, :] <= probes).all(axis=2).any(axis=0).mean()
    # 6 sigma of a share of 200,000 draws: fails by chance about twice in 1e9 runs
    assert hypervolume(points, np.ones(objectives)) == pytest.approx(covered, abs=6 * 0.5 / 200_000**0.5)
