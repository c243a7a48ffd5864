"""Curve fitting: predictions of known curves, the limit in both directions, when it speaks at all.

Values are oriented: lower is better, and an accuracy arrives negated.
"""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tune_curvefitting import curves
from tune_curvefitting.assessor import CurvefittingAssessor
from tune_curvefitting.curves import FAMILIES, Family, predict

from tune_core import AskTell

STEPS = np.arange(1, 101)
# Accuracies by the formulae of the paper's families, and a plain exponential.
CURVES = {
    "pow3": 0.9 - 0.8 * STEPS**-0.7,
    "exp": 0.85 - 0.7 * np.exp(-0.15 * STEPS),
    "mmf": 0.95 - 0.9 / (1 + (0.3 * STEPS) ** 1.2),
    "weibull": 0.8 - 0.7 * np.exp(-((0.1 * STEPS) ** 0.8)),
    "logx": 0.2 + 0.12 * np.log(STEPS),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_prediction_comes_near_the_end_of_a_known_curve(name: str, noise: float) -> None:
    curve = CURVES[name]
    for seed in range(5):
        seen = curve[:20] + noise * np.random.default_rng(seed).standard_normal(20)
        predicted = predict((-seen).tolist(), 50)
        assert predicted is not None
        assert -predicted == pytest.approx(curve[49], abs=0.01 if noise == 0 else 0.06)


def test_prediction_follows_the_metric_in_scale_and_place() -> None:
    seen = -CURVES["pow3"][:15]
    predicted = predict(seen.tolist(), 40)
    assert predicted is not None
    as_loss = predict((1000 * (1 + seen)).tolist(), 40)  # a loss of 1000 * (1 - accuracy)
    assert as_loss == pytest.approx(1000 * (1 + predicted), rel=1e-6)


def test_prediction_of_a_constant_is_itself() -> None:
    assert predict([0.25] * 7, 100) == 0.25


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_family_starts_as_a_finite_rising_curve(family: Any) -> None:
    x = np.arange(1.0, 31.0)
    y = family.curve(x, *family.start(30))
    assert np.isfinite(y).all()
    assert (np.diff(y) > 0).all()
    assert -1.5 < y[0] < y[-1] < 3


def finished(values: list[float], **options: Any) -> CurvefittingAssessor:
    """An assessor that has seen one whole trial."""
    assessor = CurvefittingAssessor(**{"epoch_num": 20, **options})
    run(assessor, "done", values)
    assessor.trial_end("done", success=True)
    return assessor


def run(assessor: CurvefittingAssessor, name: str, values: Any) -> list[bool]:
    return [assessor.assess_trial(name, list(values[: n + 1])) for n in range(len(values))]


def rising_to(end: float) -> list[float]:
    """Accuracies, negated, that are at `end` after 20 results."""
    rise = 1 - np.exp(-0.3 * STEPS[:20])
    return (-end * rise / rise[-1]).tolist()


def test_a_trial_that_heads_below_the_threshold_is_stopped() -> None:
    assessor = finished(rising_to(0.9))
    assert all(run(assessor, "close", rising_to(0.88)))  # 0.95 of 0.9 is 0.855
    assert run(assessor, "poor", rising_to(0.7)) == [True] * 5 + [False] * 14 + [True]  # the 20th is its end


def test_losses_are_judged_the_other_way_round() -> None:
    falling = np.exp(-0.3 * STEPS[:20])

    def falling_to(end: float) -> list[float]:
        return (end + falling - falling[-1]).tolist()

    assessor = finished(falling_to(0.4))
    assert all(run(assessor, "close", falling_to(0.41)))  # 0.4 / 0.95 is 0.421
    assert not assessor.assess_trial("poor", falling_to(0.5)[:12])


def test_nothing_is_stopped_before_a_trial_has_succeeded() -> None:
    assessor = CurvefittingAssessor(epoch_num=20)
    assert all(run(assessor, "a", rising_to(0.9)))
    assessor.trial_end("a", success=False)
    assert all(run(assessor, "b", rising_to(0.1)))


def test_a_trial_is_judged_from_start_step_at_every_gap() -> None:
    assessor = finished(rising_to(0.9), start_step=8, gap=3)
    said = run(assessor, "poor", rising_to(0.5)[:16])
    assert [number + 1 for number, go_on in enumerate(said) if not go_on] == [8, 11, 14]
    # Started again it is judged from the beginning.
    said = run(assessor, "poor", rising_to(0.5)[:10])
    assert [number + 1 for number, go_on in enumerate(said) if not go_on] == [8]


def test_a_trial_that_is_good_enough_already_goes_on() -> None:
    assessor = finished(rising_to(0.9))
    falling_off = [-0.9 + 0.006 * n for n in range(7)]  # at 0.864, and on the way down
    predicted = predict(falling_off, 20)
    assert predicted is not None
    assert predicted > -0.855
    assert assessor.assess_trial("a", falling_off)
    assert not assessor.assess_trial("b", [*falling_off, -0.858, -0.852])


def test_the_best_of_the_finished_trials_is_the_measure() -> None:
    assessor = finished(rising_to(0.9))
    run(assessor, "worse", rising_to(0.5))
    assessor.trial_end("worse", success=True)
    assert not assessor.assess_trial("poor", rising_to(0.7)[:12])


@pytest.mark.parametrize("length", [6, 19, 999])
@pytest.mark.parametrize("kind", ["rising", "noise"])
def test_an_answer_takes_so_many_evaluations_at_most(
    length: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 60 points at most, which is a hundredth of a second in all, however long the history is."""
    points: list[int] = []

    def counted(family: Family) -> Family:
        def curve(x: Any, *parameters: Any) -> Any:
            points.append(len(x))
            return family.curve(x, *parameters)

        return family._replace(curve=curve)

    monkeypatch.setattr(curves, "FAMILIES", [counted(family) for family in FAMILIES])
    rng = np.random.default_rng(0)
    seen = -CURVES["pow3"][np.minimum(np.arange(length), 99)] if kind == "rising" else rng.random(length)
    assert predict((seen + 0.01 * rng.standard_normal(length)).tolist(), 1000) is not None
    parameters = sum(len(family.start(length)) for family in FAMILIES)
    # What the least squares may take, an evaluation more of each family than they count, and its prediction.
    assert 0 < len(points) <= 80 * parameters + 6 * len(FAMILIES)
    assert max(points) <= 60


def test_number_of_epochs_must_be_given() -> None:
    with pytest.raises(ValidationError, match="epoch_num"):
        CurvefittingAssessor.Arguments.model_validate({"start_step": 3})


def test_curvefitting_stops_trials_of_a_search() -> None:
    raw = {"x": {"_type": "uniform", "_value": [0.1, 1]}}
    search = AskTell("Random", raw, mode="maximize", assessor=CurvefittingAssessor(epoch_num=20))
    stopped = []
    for _ in range(10):
        asked = search.ask()
        assert asked is not None
        end = asked.parameters["x"]
        cut = any(not search.report(asked, -value) for value in rising_to(end))
        stopped.append((end, cut))
        search.tell(asked, None if cut else end)
    assert not stopped[0][1]
    best = 0.0
    for end, cut in stopped:
        if end < 0.9 * best or end > best:  # away from the limit of 0.95
            assert cut == (end < best)
        best = max(best, end)
