"""The tuner: what it proposes, what it learns from, and that it can be replayed."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from effort import instructions, peak_bytes
from pydantic import ValidationError
from tune_gp.history import History, refit_after, thin
from tune_gp.search import Branch, reach
from tune_gp.tuner import GPTuner

from tune_core import Observation
from tune_core.algorithms.compose import TunerAdvisor
from tune_core.space import SearchSpace
from tune_core.trial import TrialState

FLAT = {
    "x": {"_type": "uniform", "_value": [-5, 5]},
    "lr": {"_type": "loguniform", "_value": [1e-5, 1]},
    "n": {"_type": "randint", "_value": [0, 20]},
    "act": {"_type": "choice", "_value": ["relu", "tanh", "elu"]},
}
NESTED = {
    "layer": {
        "_type": "choice",
        "_value": [
            {"_name": "none"},
            {
                "_name": "conv",
                "size": {"_type": "quniform", "_value": [1, 9, 2]},
                "d": {"_type": "normal", "_value": [0, 1]},
            },
            {"_name": "deep", "u": {"_type": "uniform", "_value": [0, 1]}},
        ],
    },
    "op": {"_type": "layer_choice", "_value": ["p", "q"]},
}


def tuner_for(raw: dict[str, Any], seed: int = 1, **arguments: Any) -> GPTuner:
    tuner = GPTuner(**arguments)
    tuner.set_seed(seed)
    tuner.update_search_space(SearchSpace.parse(raw))
    return tuner


def tell(tuner: GPTuner, number: int, parameters: Any, value: float | None) -> None:
    tuner.register_pending(number, parameters)
    if value is not None:
        tuner.receive_trial_result(number, parameters, value)
    tuner.trial_end(number, success=value is not None)


def drive(tuner: GPTuner, objective: Callable[[Any], float | None], n: int) -> list[tuple[Any, float | None]]:
    done = []
    for number in range(n):
        parameters = tuner.generate_parameters(number)
        done.append((parameters, objective(parameters)))
        tell(tuner, number, *done[-1])
    return done


def flat_loss(p: Any) -> float:
    return float(
        (p["x"] - 2) ** 2 + (math.log10(p["lr"]) + 3) ** 2 + abs(p["n"] - 7) / 4 + (p["act"] != "elu")
    )


def nested_loss(p: Any) -> float:
    layer = p["layer"]
    base = {"none": 3.0, "conv": 1.0, "deep": 4.0}[layer["_name"]]
    if layer["_name"] == "conv":
        base += abs(layer["size"] - 5) / 4 + abs(layer["d"] - 1)
    return base + (p["op"]["_value"] != "q")


def bowl(p: Any) -> float:
    return float((p["x"] - 0.3) ** 2 + (p["y"] - 0.6) ** 2)


def square(low: float = 0, high: float = 1) -> dict[str, Any]:
    return {name: {"_type": "uniform", "_value": [low, high]} for name in "xy"}


@pytest.mark.parametrize("utility", ["ei", "ucb", "poi"])
def test_gp_finds_the_bottom_of_a_mixed_space(utility: str) -> None:
    """Random search is at 1.9 on average after 40 trials."""
    arguments = {"ei": {}, "ucb": {"kappa": 2.0}, "poi": {"xi": 0.3}}[utility]
    for seed in range(2):
        done = drive(tuner_for(FLAT, seed, utility=utility, **arguments), flat_loss, 40)
        assert min(value for _, value in done if value is not None) < 0.3


def test_gp_concentrates_on_the_better_branch() -> None:
    for seed in range(3):
        done = drive(tuner_for(NESTED, seed), nested_loss, 40)
        late = Counter(parameters["layer"]["_name"] for parameters, _ in done[15:])
        assert late["conv"] > 15
        assert min(value for _, value in done if value is not None) < 1.3


def test_gp_looks_into_a_branch_on_demand() -> None:
    """There it improves on the best of that branch, though another one is better."""
    tuner = tuner_for(NESTED)

    def loss(p: Any) -> float:
        return nested_loss(p) + (p["layer"].get("u", 0.7) - 0.7) ** 2

    drive(tuner, loss, 30)
    found = []
    for number in range(100, 110):
        found.append(tuner.propose(number, "ei", 0.0, Branch(0, 2, 3)))
        tell(tuner, number, found[-1], loss(found[-1]))
    assert {parameters["layer"]["_name"] for parameters in found} == {"deep"}
    assert min(loss(parameters) for parameters in found) < 4.01


def test_gp_is_precise_on_a_smooth_function() -> None:
    for seed in range(3):
        assert min(v for _, v in drive(tuner_for(square(), seed), bowl, 30) if v is not None) < 1e-5


def test_gp_rebuilt_from_what_was_registered_goes_on_the_same() -> None:
    """To the last bit, though it was asked at every result once and never before the last the other time."""
    lived = tuner_for(NESTED, 7)
    done = drive(lived, lambda p: None if p["op"]["_value"] == "p" else nested_loss(p), 45)
    running = [lived.generate_parameters(number) for number in (45, 46)]
    rebuilt = tuner_for(NESTED, 7)
    for number, (parameters, value) in enumerate(done):
        tell(rebuilt, number, parameters, value)
    for number, parameters in enumerate(running):
        lived.register_pending(100 + number, parameters)
        rebuilt.register_pending(100 + number, parameters)
    assert [rebuilt.generate_parameters(n) for n in (47, 48)] == [
        lived.generate_parameters(n) for n in (47, 48)
    ]


def test_first_proposals_meet_every_part_of_every_range() -> None:
    tuner = tuner_for({"x": FLAT["x"], "act": FLAT["act"]}, cold_start_num=12)
    assert tuner.generate_parameters(0)["x"] == 0
    points = [tuner.generate_parameters(number) for number in range(1, 13)]
    assert sorted(int((point["x"] + 5) / 10 * 12) for point in points) == list(range(12))
    assert Counter(point["act"] for point in points) == {"relu": 4, "tanh": 4, "elu": 4}


def test_startup_ends_when_what_is_needed_is_under_way() -> None:
    """Ten parameters want ten results: six that are there, and four that run."""
    raw = {f"x{number}": {"_type": "uniform", "_value": [0, 1]} for number in range(10)}
    tuner, strict = tuner_for(raw), tuner_for(raw, cold_start_num=6)
    for number in range(10):
        for one in (tuner, strict):
            one.register_pending(number, one.generate_parameters(number))
    for number in range(5):
        for one in (tuner, strict):
            one.receive_trial_result(number, {}, float(number))
    assert tuner.is_starting
    tuner.receive_trial_result(5, {}, 5.0)
    assert not tuner.is_starting
    tuner.trial_end(9, success=False)
    assert tuner.is_starting
    assert strict.is_starting
    strict.receive_trial_result(5, {}, 5.0)
    assert not strict.is_starting


def test_running_trials_push_proposals_away() -> None:
    tuner = tuner_for(square())
    drive(tuner, bowl, 30)
    batch = []
    for number in range(30, 38):
        batch.append(tuner.generate_parameters(number))
        tuner.register_pending(number, batch[-1])
    points = np.array([[p["x"], p["y"]] for p in batch])
    gaps = np.abs(points[:, None] - points).max(axis=2)[np.triu_indices(8, 1)]
    assert gaps.min() > 1e-3


def test_batch_explores_half_of_the_time_once_the_model_is_grown() -> None:
    tuner = tuner_for(square())
    done = drive(tuner, bowl, 18)
    assert not any(tuner._explores(number) for number in range(100))  # nothing runs
    tuner.register_pending(18, {"x": 0.9, "y": 0.9})
    assert abs(sum(tuner._explores(number) for number in range(400)) - 200) < 60  # 6 sigma
    for other, results in ((tuner_for(square()), 17), (tuner_for(square(), utility="poi"), 18)):
        for number, (parameters, value) in enumerate(done[:results]):
            tell(other, number, parameters, value)
        other.register_pending(18, {"x": 0.9, "y": 0.9})
        assert not any(other._explores(number) for number in range(100))


def test_region_without_results_is_left() -> None:
    """Trials beyond 0.5 fail; the best of what would be there pulls in vain."""
    tuner = tuner_for(square())
    done = drive(tuner, lambda p: None if p["x"] > 0.5 else (p["x"] - 0.9) ** 2 + p["y"], 50)
    late = [parameters["x"] > 0.5 for parameters, _ in done[25:]]
    assert sum(late) <= 18  # without the failed trials in the model all 25
    assert min(value for _, value in done if value is not None) < 0.2


def test_failures_at_random_change_little() -> None:
    rng = np.random.default_rng(0)
    done = drive(tuner_for(square()), lambda p: None if rng.random() < 0.2 else bowl(p), 40)
    assert min(value for _, value in done if value is not None) < 1e-3


def test_noise_is_not_chased() -> None:
    """The model's best is near the true one, though some result was better by luck."""
    rng = np.random.default_rng(3)
    tuner = tuner_for(square())
    drive(tuner, lambda p: 10 * bowl(p) + 0.3 * rng.standard_normal(), 60)
    belief = tuner.believe()
    [best] = tuner._space.decode(tuner._history.finished.units[belief.rows[[belief.means.argmin()]]])
    assert bowl(best) < 0.03
    assert belief.process.hyper.noise > 0.01


def test_gp_does_not_repeat_itself_in_a_finite_space() -> None:
    space = {name: {"_type": "randint", "_value": [0, 6]} for name in "abc"}
    done = drive(tuner_for(space), lambda p: float(p["a"] + p["b"] + p["c"]), 60)
    assert len({tuple(parameters.values()) for parameters, _ in done[8:]}) == 52


def test_forbidden_combinations_are_not_proposed() -> None:
    raw = {**FLAT, "_forbidden": [{"act": "elu", "x": {"min": 1}}, {"n": {"max": 6}}]}
    tuner = tuner_for(raw)
    space = SearchSpace.parse(raw)
    advisor = TunerAdvisor(tuner)
    advisor.update_search_space(space)
    repaired = 0
    for number in range(40):
        own = tuner.generate_parameters(number)
        parameters = advisor.propose(number)
        assert parameters is not None
        repaired += number > 8 and own != parameters
        advisor.register_pending(number, parameters)
        advisor.trial_end(number, TrialState.SUCCEEDED, flat_loss(parameters))
    assert repaired == 0


def test_ordered_choice_is_a_number() -> None:
    """What lies between the best two is tried next, though it was never seen."""
    options = [f"size {number}" for number in range(40)]

    def tries(**more: Any) -> int:
        tuner = tuner_for({"size": {"_type": "choice", "_value": options, **more}}, cold_start_num=2)
        for number in range(0, 40, 2):
            if abs(number - 21) > 4:
                tell(tuner, number, {"size": options[number]}, float(abs(number - 21)))
        proposals = [tuner.generate_parameters(100 + number) for number in range(20)]
        return sum(abs(options.index(each["size"]) - 21) <= 4 for each in proposals)

    assert tries(_ordered=True) >= 19
    assert tries() < 15


def test_changed_search_space_keeps_the_results_that_fit() -> None:
    tuner = tuner_for(FLAT)
    drive(tuner, flat_loss, 30)
    tuner.update_search_space(SearchSpace.parse({**FLAT, "x": {"_type": "uniform", "_value": [-5, 50]}}))
    assert tuner._history.finished.n == 30
    space = SearchSpace.parse({**FLAT, "x": {"_type": "uniform", "_value": [-5, 50]}})
    finished = tuner._history.finished
    for parameters, value in zip(space.decode(finished.units), finished.values, strict=True):
        assert flat_loss(parameters) == pytest.approx(value)
    running = tuner.generate_parameters(31)
    tuner.register_pending(31, running)
    tuner.update_search_space(SearchSpace.parse({"other": FLAT["x"]}))
    tuner.receive_trial_result(31, running, 1.0)  # started under a space that it fits no longer
    tuner.trial_end(31, success=True)
    assert tuner._history.finished.n == 0
    assert set(tuner.generate_parameters(32)) == {"other"}


def test_imported_results_replace_the_start() -> None:
    space, rng = SearchSpace.parse(FLAT), np.random.default_rng(2)
    points = [space.sample(rng) for _ in range(60)]
    tuner = tuner_for(FLAT)
    tuner.import_data([Observation(point, flat_loss(point)) for point in points])
    assert flat_loss(tuner.generate_parameters(0)) < min(flat_loss(point) for point in points)


def test_alpha_is_the_least_noise() -> None:
    """A model that takes differences of a result's size for noise sees none."""
    quiet, deaf = (tuner_for(square(), alpha=alpha) for alpha in (1e-6, 1e3))
    for tuner in (quiet, deaf):
        for number in range(20):
            point = {"x": (number * 0.37) % 1, "y": (number * 0.61) % 1}
            tell(tuner, number, point, bowl(point))
    beliefs = [tuner.believe() for tuner in (quiet, deaf)]
    means = [
        each.process.covariance(each.embedding(*_all(tuner))) @ each.weights
        for each, tuner in zip(beliefs, (quiet, deaf), strict=True)
    ]
    assert np.ptp(means[0]) > 2.5
    assert np.ptp(means[1]) < 0.2


def _all(tuner: GPTuner) -> tuple[Any, Any]:
    return tuner._history.finished.units, tuner._history.finished.active


def test_xi_and_kappa_widen_the_search() -> None:
    def spread(**arguments: Any) -> float:
        tuner = tuner_for(square(), **arguments)
        for number in range(25):
            point = {"x": (number * 0.37) % 1, "y": (number * 0.61) % 1}
            tell(tuner, number, point, bowl(point))
        return float(np.mean([bowl(tuner.generate_parameters(50 + number)) for number in range(5)]))

    assert spread(utility="ucb", kappa=50.0) > spread(utility="ucb", kappa=0.0) + 0.02
    assert spread(utility="poi", xi=0.5) > spread(utility="poi", xi=0.0) + 0.02


def test_arguments_take_whole_numbers_for_real_ones() -> None:
    assert GPTuner.Arguments.model_validate({"kappa": 5, "xi": 0, "utility": "ucb"}).kappa == 5.0


@pytest.mark.parametrize(
    "bad", [{"utility": "pi"}, {"nu": 0}, {"alpha": 0}, {"cold_start_num": 0}, {"kapa": 1}]
)
def test_arguments_refuse_what_they_do_not_know(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GPTuner.Arguments.model_validate(bad)


def test_thinned_results_are_the_best_the_newest_and_a_spread() -> None:
    values = np.random.default_rng(0).permutation(1000).astype(float)
    rows = thin(values, 200)
    assert len(rows) == len(set(rows.tolist())) == 200
    assert (np.diff(rows) > 0).all()
    assert set(range(950, 1000)) <= set(rows.tolist())
    assert set(np.argsort(values[:950])[:100].tolist()) <= set(rows.tolist())
    assert np.percentile(values[rows], 95) > 900
    assert thin(values[:150], 200).tolist() == list(range(150))


def test_fits_become_rarer() -> None:
    n, fits = 1, 0
    while n < 1000:
        n, fits = refit_after(n), fits + 1
    assert fits < 120
    assert refit_after(10_000) == 10_025


def test_reach_grows_until_it_is_everywhere() -> None:
    found = [reach(n, 10) for n in range(0, 70, 5)]
    assert found == sorted(found)
    assert found[0] == 0.2
    assert reach(55, 10) == 1.0


def test_history_tells_failed_from_finished() -> None:
    history = History(1)
    units, active = np.array([0.5]), np.array([True])
    for number in (1, 2, 3):
        history.start(number, units + number / 10, active)
    history.finish(1, -3.0)
    history.fail(1)
    history.fail(2)
    history.finish(9, 1.0)  # not in the space
    assert (history.finished.values.tolist(), history.failed.n, [*history.pending]) == ([-3.0], 1, [3])


def test_effort_of_an_ask_does_not_grow_with_history() -> None:
    space, rng = SearchSpace.parse(FLAT), np.random.default_rng(0)
    tuner = tuner_for(FLAT, most_modelled=60)

    def fill(start: int, stop: int) -> None:
        for number in range(start, stop):
            tell(tuner, number, space.sample(rng), float(rng.random()))

    def ask_and_tell(start: int) -> None:
        for number in range(start, start + 5):
            tell(tuner, number, tuner.generate_parameters(number), float(rng.random()))

    fill(0, 100)
    first = instructions(lambda: ask_and_tell(100)), peak_bytes(lambda: ask_and_tell(105))
    fill(110, 1000)
    assert instructions(lambda: ask_and_tell(1000)) < 3 * first[0]  # a fit takes as many steps as it takes
    assert (
        peak_bytes(lambda: ask_and_tell(1005)) < 2 * first[1]
    )  # a model of all results: thirty times as much
