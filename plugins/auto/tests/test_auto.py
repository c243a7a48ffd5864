"""Auto: which algorithm it asks, when, and what it says about it."""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tune_auto.tuner import GAIN, LEAST, MOST, AutoTuner, Way, has_settled, share_of_tpe
from tune_tpe.tuner import TPETuner

from tune_core import Objectives, Score
from tune_core.plugins import plugins
from tune_core.space import SearchSpace

SQUARE = {name: {"_type": "uniform", "_value": [0, 1]} for name in "xy"}


def tuner_for(raw: dict[str, Any], seed: int = 1) -> AutoTuner:
    tuner = AutoTuner()
    tuner.set_seed(seed)
    tuner.update_search_space(SearchSpace.parse(raw))
    return tuner


def tell(tuner: AutoTuner, number: int, parameters: Any, value: float) -> None:
    tuner.register_pending(number, parameters)
    tuner.receive_trial_result(number, parameters, value)
    tuner.trial_end(number, success=True)


def fed(loss: Callable[[Any], float], raw: dict[str, Any] = SQUARE, n: int = 40, seed: int = 1) -> AutoTuner:
    """A tuner that has the results of `n` random configurations."""
    tuner, space, rng = tuner_for(raw, seed), SearchSpace.parse(raw), np.random.default_rng(seed)
    for number in range(n):
        parameters = space.sample(rng)
        tell(tuner, number, parameters, loss(parameters))
    return tuner


def ways(tuner: AutoTuner, n: int = 200) -> Counter[Way]:
    return Counter(tuner._way(1000 + number) for number in range(n))


def bowl(p: Any) -> float:
    return float((p["x"] - 0.3) ** 2 + (p["y"] - 0.6) ** 2)


def test_auto_asks_the_process_where_it_predicts() -> None:
    found = ways(fed(bowl))
    # 0.03 of 200 are 6; 6 sigma: fails by chance for one seed in 1e7.
    assert found["TPE"] <= 6 + 15
    assert found["GP"] + found["GP exploring"] == 200 - found["TPE"]


def test_auto_asks_tpe_where_nothing_is_predicted() -> None:
    rng = np.random.default_rng(0)
    assert ways(fed(lambda _: float(rng.random())))["TPE"] > 100


def test_auto_proposes_what_the_one_asked_would() -> None:
    tuner = fed(bowl)
    for number in range(1000, 1040):
        asked = {
            "TPE": tuner._tpe.generate_parameters,
            "GP": tuner._gp.generate_parameters,
            "GP exploring": tuner._explore,
        }[tuner._way(number)]
        assert tuner.generate_parameters(number) == asked(number)


def test_auto_begins_with_a_design() -> None:
    tuner = tuner_for(SQUARE)
    assert ways(tuner, 10) == {"start": 10}
    assert tuner.generate_parameters(0) == {"x": 0.5, "y": 0.5}


@pytest.mark.parametrize(
    ("explained", "share"), [(-3.0, MOST), (0.0, MOST), (1.0, LEAST), (0.9, LEAST)], ids=str
)
def test_share_of_tpe_falls_with_what_is_explained(explained: float, share: float) -> None:
    assert share_of_tpe(explained, 0.0) == share
    shares = [share_of_tpe(x, 0.0) for x in np.linspace(-1, 1, 50)]
    assert shares == sorted(shares, reverse=True)


def test_share_of_tpe_grows_with_noise_to_a_half() -> None:
    shares = [share_of_tpe(0.9, noise) for noise in np.linspace(0, 3, 50)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (LEAST, 0.5)
    assert share_of_tpe(-1.0, 3.0) == MOST


def test_search_has_settled_when_gains_are_small() -> None:
    falling = [1.0 / (1 + number) for number in range(30)]
    assert not has_settled(falling)
    assert has_settled([*falling, *[falling[-1] - 1e-6] * 10])
    assert not has_settled([*falling, *[falling[-1] - 10 * GAIN] * 10])
    assert not has_settled([1.0] * 5)


def test_settled_search_explores_half_of_the_time() -> None:
    tuner = fed(bowl)
    for number in range(100, 120):
        tell(tuner, number, {"x": 0.3 + number * 1e-6, "y": 0.6}, 1e-9)
    found = ways(tuner)
    # 6 sigma of 200 halves: 43.
    assert abs(found["GP exploring"] - found["GP"]) <= 2 * 43


def test_settled_search_looks_into_the_other_branches() -> None:
    inside = {"u": {"_type": "uniform", "_value": [0, 1]}}
    raw = {"m": {"_type": "choice", "_value": [{"_name": name, **inside} for name in "abc"]}}
    tuner = fed(lambda p: (p["m"]["u"] - 0.5) ** 2 + (p["m"]["_name"] != "b"), raw)
    found = Counter(tuner._explore(1000 + number)["m"]["_name"] for number in range(20))
    assert set(found) == {"a", "c"}


def test_auto_says_what_it_picked_and_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tune_auto"):
        tuner = tuner_for(SQUARE)
        tuner.generate_parameters(0)
        rng = np.random.default_rng(0)
        ways(fed(lambda _: float(rng.random())), 5)
        ways(fed(bowl), 5)
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == len(set(texts)) == 3
    assert "Latin hypercube" in texts[0]
    assert "TPE, since a Gaussian process predicts less" in texts[1]
    assert "Gaussian process, which predicts" in texts[2]


@pytest.mark.parametrize(
    ("modes", "trials", "begin"),
    [
        ("minimize", 100, "a Latin hypercube of 6, then a Gaussian process"),
        ("minimize", None, "a Latin hypercube of 6, then a Gaussian process"),
        ("minimize", 6, "a Latin hypercube throughout, since a model needs more than 6 trials"),
        ({"a": "minimize", "b": "maximize"}, 100, "TPE, which looks for a whole front"),
    ],
    ids=str,
)
def test_auto_says_beforehand_what_it_will_do(modes: Any, trials: int | None, begin: str) -> None:
    assert tuner_for(SQUARE).remark(Objectives.of(modes), trials).startswith(begin)


def test_several_objectives_are_tpes() -> None:
    tuner, tpe, rng = tuner_for(SQUARE), TPETuner(), np.random.default_rng(0)
    tpe.set_seed(1)
    tpe.update_search_space(SearchSpace.parse(SQUARE))
    for number in range(20):
        parameters = SearchSpace.parse(SQUARE).sample(rng)
        score = Score((parameters["x"], 1 - parameters["x"] * parameters["y"]))
        for one in (tuner, tpe):
            one.register_pending(number, parameters)
            one.receive_trial_result(number, parameters, score)
            one.trial_end(number, success=True)
    for number in range(20, 30):
        assert tuner.generate_parameters(number) == tpe.generate_parameters(number)


def test_auto_rebuilt_from_what_was_registered_goes_on_the_same() -> None:
    rng = np.random.default_rng(5)
    tuner, done = tuner_for(SQUARE), []
    for number in range(45):
        parameters = tuner.generate_parameters(number)
        done.append((parameters, bowl(parameters) + 0.2 * float(rng.standard_normal())))
        tell(tuner, number, *done[-1])
    rebuilt = tuner_for(SQUARE)
    for number, (parameters, value) in enumerate(done):
        tell(rebuilt, number, parameters, value)
    assert [rebuilt.generate_parameters(n) for n in range(45, 55)] == [
        tuner.generate_parameters(n) for n in range(45, 55)
    ]


def test_auto_is_what_a_configuration_without_a_tuner_gets() -> None:
    assert plugins().preferred("tuner").driver.name == "Auto"
