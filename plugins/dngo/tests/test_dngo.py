"""The regression against its formulae, the network and its thread, and what the tuner proposes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import multivariate_normal
from tune_dngo.network import train
from tune_dngo.regression import Precisions, Regression, caution, log_evidence, most_evident
from tune_dngo.trainings import Trainings
from tune_dngo.tuner import DNGOTuner, Network

from tune_core import AskTell, Observation, SearchSpace

SQUARE = {name: {"_type": "uniform", "_value": [-5, 5]} for name in "xy"}


def bowl(parameters: Any) -> float:
    return float((parameters["x"] - 1) ** 2 + (parameters["y"] + 2) ** 2)


def tuner_for(raw: dict[str, Any], seed: int = 1, **arguments: Any) -> DNGOTuner:
    tuner = DNGOTuner(**arguments)
    tuner.set_seed(seed)
    tuner.update_search_space(SearchSpace.parse(raw))
    return tuner


def tell(tuner: DNGOTuner, number: int, parameters: Any, value: float | None) -> None:
    tuner.register_pending(number, parameters)
    if value is not None:
        tuner.receive_trial_result(number, parameters, value)
    tuner.trial_end(number, success=value is not None)


def some_data(n: int, d: int, noise: float) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, d))
    return features, features @ rng.normal(size=d) + noise * rng.normal(size=n)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (5, 12)])  # more and fewer results than features
def test_posterior_is_that_of_the_formulae(n: int, d: int) -> None:
    features, targets = some_data(n, d, 0.3)
    alpha, beta = 0.7, 9.0
    regression = Regression(features, targets, Precisions(alpha, beta))
    covariance = np.linalg.inv(alpha * np.eye(d) + beta * features.T @ features)
    assert regression.mean == pytest.approx(beta * covariance @ features.T @ targets)
    others = np.random.default_rng(1).normal(size=(6, d))
    mean, variance = regression.predict(others)
    assert mean == pytest.approx(others @ regression.mean)
    assert variance == pytest.approx(np.diag(others @ covariance @ others.T))


@pytest.mark.parametrize(("n", "d"), [(30, 4), (5, 12)])
def test_evidence_is_the_density_of_the_targets(n: int, d: int) -> None:
    features, targets = some_data(n, d, 0.3)
    alpha, beta = 0.7, 9.0
    covariance = np.eye(n) / beta + features @ features.T / alpha
    expected = multivariate_normal(np.zeros(n), covariance).logpdf(targets)
    assert log_evidence(features, targets, Precisions(alpha, beta)) == pytest.approx(expected)


def test_evidence_agrees_with_bishop() -> None:
    """Equation 3.86, written out."""
    features, targets = some_data(20, 3, 0.5)
    alpha, beta = 2.0, 5.0
    inner = alpha * np.eye(3) + beta * features.T @ features
    mean = beta * np.linalg.solve(inner, features.T @ targets)
    errors = beta / 2 * ((targets - features @ mean) ** 2).sum() + alpha / 2 * mean @ mean
    logs = 3 / 2 * np.log(alpha) + 20 / 2 * np.log(beta) - 0.5 * np.linalg.slogdet(inner)[1]
    expected = logs - errors - 20 / 2 * np.log(2 * np.pi)
    assert log_evidence(features, targets, Precisions(alpha, beta)) == pytest.approx(expected)


def test_most_evident_is_a_maximum_and_finds_the_noise() -> None:
    features, targets = some_data(400, 5, 0.2)
    found = most_evident(features, targets)
    height = log_evidence(features, targets, found)
    for factor in (0.8, 1.25):
        assert log_evidence(features, targets, Precisions(found.alpha * factor, found.beta)) < height
        assert log_evidence(features, targets, Precisions(found.alpha, found.beta * factor)) < height
    assert found.beta**-0.5 == pytest.approx(0.2, rel=0.1)


def test_targets_that_are_all_equal_do_no_harm() -> None:
    features, _ = some_data(10, 3, 0.0)
    found = most_evident(features, np.zeros(10))
    mean, variance = Regression(features, np.zeros(10), found).predict(features)
    assert np.isfinite([*mean, *variance]).all()


def test_caution_corrects_the_variance() -> None:
    features, targets = some_data(1000, 5, 0.6)
    honest = Regression(features[:500], targets[:500], Precisions(1.0, 0.6**-2))
    assert caution(honest, features[500:], targets[500:]) == pytest.approx(1.0, abs=0.3)
    proud = Regression(features[:500], targets[:500], Precisions(1.0, 4.0 * 0.6**-2))
    assert caution(proud, features[500:], targets[500:]) == pytest.approx(4.0, rel=0.25)
    fool = Regression(features[:500], targets[:500], Precisions(1.0, 1e6))
    assert caution(fool, features[500:], targets[500:]) == 10.0


def sine_data() -> tuple[Any, Any]:
    inputs = np.random.default_rng(0).uniform(-1.7, 1.7, (60, 2))
    targets = np.sin(2 * inputs[:, 0]) + inputs[:, 1] ** 2
    return inputs, (targets - targets.mean()) / targets.std()


def test_the_basis_learns_the_function() -> None:
    inputs, targets = sine_data()
    basis = train(inputs[:45], targets[:45], 150, np.random.default_rng(1))
    assert basis is not None
    known = basis(inputs[:45])
    assert known.shape == (45, 3 * 50 + 1 + 2 + 2)
    assert np.abs(known[:, :150]).max() <= 1
    assert (known[:, 150:] == np.c_[np.ones(45), inputs[:45], inputs[:45] ** 2]).all()
    mean, _ = Regression(known, targets[:45], most_evident(known, targets[:45])).predict(basis(inputs[45:]))
    linear = np.linalg.lstsq(np.c_[inputs[:45], np.ones(45)], targets[:45])[0]
    straight = np.c_[inputs[45:], np.ones(15)] @ linear
    assert ((mean - targets[45:]) ** 2).mean() < 0.1 * ((straight - targets[45:]) ** 2).mean()


def test_training_depends_on_its_generator_alone() -> None:
    inputs, targets = sine_data()
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = train(inputs, targets, 5, np.random.default_rng(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.manual_seed(8)
    again = train(inputs, targets, 5, np.random.default_rng(1))
    other = train(inputs, targets, 5, np.random.default_rng(2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert (first(inputs) == again(inputs)).all()
    assert (first(inputs) != other(inputs)).any()


def test_an_unwanted_training_ends_at_once() -> None:
    inputs, targets = sine_data()
    answers = iter([True, True, False])
    assert train(inputs, targets, 10**9, np.random.default_rng(0), lambda: next(answers)) is None
    assert next(answers, None) is None


PATIENCE_S = 100.0


class Gate:
    """Trainings that wait until they are let go, or are not wanted any more; with `held` the first of them
    waits until the caller releases that."""

    def __init__(self, held: threading.Event | None = None) -> None:
        self.began: list[int] = []
        self.held = held
        self.open = threading.Event()
        self.trainings: Trainings[str] = Trainings(self.train)

    def train(self, number: int, wanted: Callable[[], bool]) -> str | None:
        self.began.append(number)
        if self.held is not None:
            self.held.wait(PATIENCE_S)
        while wanted():
            if self.open.wait(0.01):
                return f"network {number}"
        return None


def test_trainings_run_beside_their_caller() -> None:
    gate = Gate()
    gate.trainings.begin(1)
    gate.trainings.begin(2)
    deadline = time.monotonic() + PATIENCE_S
    while not gate.began and time.monotonic() < deadline:
        time.sleep(0.001)
    assert gate.began == [1]  # and here we are, though it has not ended
    gate.open.set()
    assert [gate.trainings.result(1), gate.trainings.result(2)] == ["network 1", "network 2"]


def test_a_training_that_is_asked_for_does_not_wait_for_older_ones() -> None:
    gate = Gate()
    gate.trainings.begin(1)
    gate.trainings.begin(2)
    answer: list[str] = []
    asking = threading.Thread(target=lambda: answer.append(gate.trainings.result(2)))
    asking.start()
    deadline = time.monotonic() + PATIENCE_S
    while 2 not in gate.began and time.monotonic() < deadline:
        time.sleep(0.001)
    gate.open.set()
    asking.join(PATIENCE_S)
    assert answer == ["network 2"]
    with pytest.raises(KeyError):
        gate.trainings.result(1)


def test_only_the_two_newest_trainings_are_of_use() -> None:
    """A resume begins all of them, one after the other."""
    gate = Gate(held=threading.Event())
    assert gate.held is not None
    for number in range(1, 200):
        gate.trainings.begin(number)
    gate.open.set()
    gate.held.set()
    assert gate.trainings.result(198) == "network 198"
    assert gate.trainings.result(199) == "network 199"
    # The first is whichever the thread found when it came to look.
    assert gate.began[-2:] == [198, 199]
    assert len(gate.began) <= 3
    with pytest.raises(KeyError, match="training 3 was given up"):
        gate.trainings.result(3)


def test_a_failure_is_raised_where_the_result_is_asked_for() -> None:
    def fail(number: int, wanted: Callable[[], bool]) -> str:
        raise ValueError("no memory")

    trainings: Trainings[str] = Trainings(fail)
    trainings.begin(1)
    with pytest.raises(ValueError, match="no memory"):
        trainings.result(1)


def test_a_program_ends_though_a_network_is_trained() -> None:
    code = (
        "from tune_dngo.trainings import Trainings\n"
        "import time\n"
        "def train(number, wanted):\n"
        "    while wanted(): time.sleep(0.01)\n"
        "Trainings(train).begin(1)\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_the_first_trials_are_random() -> None:
    tuner = tuner_for(SQUARE, trials_per_update=8, num_epochs_per_training=20)
    space = SearchSpace.parse(SQUARE)
    for number in range(8):
        parameters = tuner.generate_parameters(number)
        assert parameters == space.sample(tuner.rng(number))
        tell(tuner, number, parameters, bowl(parameters))
    assert tuner.generate_parameters(8) != space.sample(tuner.rng(8))


def test_a_network_is_trained_before_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number 2 begins at 12 of 16 results, and until 16 number 1 is used though number 2 may be ready."""
    begun: list[tuple[int, int]] = []
    used: list[tuple[int, int]] = []
    tuner = tuner_for(SQUARE, trials_per_update=8, num_epochs_per_training=2, sample_size=20)
    trainings = tuner._trainings
    assert trainings is not None
    begin, result = trainings.begin, trainings.result

    def noted_begin(number: int) -> None:
        begun.append((tuner._history.finished.n, number))
        begin(number)

    def noted_result(number: int) -> Network:
        used.append((tuner._history.finished.n, number))
        return result(number)

    monkeypatch.setattr(trainings, "begin", noted_begin)
    monkeypatch.setattr(trainings, "result", noted_result)
    for number in range(18):
        parameters = tuner.generate_parameters(number)
        tell(tuner, number, parameters, bowl(parameters))
    assert begun == [(6, 1), (14, 2)]
    assert used == [(n, n // 8) for n in range(8, 18)]


def test_proposals_do_not_depend_on_how_fast_networks_are_trained() -> None:
    def proposals(pause_s: float) -> list[Any]:
        tuner = tuner_for(SQUARE, trials_per_update=8, num_epochs_per_training=10, sample_size=40)
        proposed = []
        for number in range(26):
            proposed.append(tuner.generate_parameters(number))
            tell(tuner, number, proposed[-1], bowl(proposed[-1]))
            threading.Event().wait(pause_s)
        return proposed

    assert proposals(0.0) == proposals(0.02)


def test_a_batch_spreads() -> None:
    tuner = tuner_for(SQUARE, trials_per_update=10, num_epochs_per_training=50)
    for number in range(20):
        parameters = tuner.generate_parameters(number)
        tell(tuner, number, parameters, bowl(parameters))
    batch = []
    for number in range(100, 106):
        batch.append(tuner.generate_parameters(number))
        tuner.register_pending(number, batch[-1])
    points = np.array([[each["x"], each["y"]] for each in batch])
    apart = np.abs(points[:, None] - points).max(axis=-1) + 99 * np.eye(6)
    assert apart.min() > 1e-2


def test_no_spot_is_tried_over_and_over() -> None:
    tuner = tuner_for(SQUARE, trials_per_update=10, num_epochs_per_training=30)
    for number in range(40):
        parameters = tuner.generate_parameters(number)
        tell(tuner, number, parameters, bowl(parameters))
    units = tuner._history.finished.units
    for row in range(10, 40):
        assert np.abs(units[:row] - units[row]).max(axis=1).min() >= 0.1 * row**-0.5


def test_imported_results_count() -> None:
    tuner = tuner_for(SQUARE, trials_per_update=10, num_epochs_per_training=60)
    space, rng = SearchSpace.parse(SQUARE), np.random.default_rng(0)
    points = [space.sample(rng) for _ in range(40)]
    tuner.import_data([Observation(point, bowl(point)) for point in points])
    proposed = [tuner.generate_parameters(number) for number in range(5)]
    assert np.median([bowl(each) for each in proposed]) < np.quantile([bowl(each) for each in points], 0.2)


def test_results_outlast_a_change_of_the_space() -> None:
    tuner = tuner_for(SQUARE, trials_per_update=4, num_epochs_per_training=5)
    for number in range(12):
        parameters = tuner.generate_parameters(number)
        tell(tuner, number, parameters, bowl(parameters))
    half = SearchSpace.parse({"x": {"_type": "uniform", "_value": [0, 5]}, "y": SQUARE["y"]})
    kept = sum(units[0] >= 0.5 for units in tuner._history.finished.units)
    tuner.update_search_space(half)
    assert tuner._history.finished.n == kept > 0
    assert half.contains(tuner.generate_parameters(12))


@pytest.mark.parametrize("arguments", [{"sample_size": 1}, {"trials_per_update": 0}, {"epochs": 5}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DNGOTuner.Arguments.model_validate(arguments)


def test_dngo_beats_random_on_a_smooth_function() -> None:
    """By the mean of what it proposes, which says more than the best: of random ones it is 49."""
    raw = {f"x{i}": {"_type": "uniform", "_value": [-5, 5]} for i in range(4)}
    values = []
    for seed in range(2):
        search = AskTell("DNGO", raw, mode="minimize", seed=seed, arguments={"num_epochs_per_training": 100})
        for number in range(45):
            asked = search.ask()
            assert asked is not None
            value = sum((value - 2) ** 2 for value in asked.parameters.values())
            search.tell(asked, value)
            values += [value] if number >= 25 else []
    assert np.mean(values) < 30  # 13 with a standard error of 2.6 over seeds
