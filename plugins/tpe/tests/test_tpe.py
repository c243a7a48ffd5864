"""The tuner: what it proposes, what it learns from, and that it can be replayed."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from effort import instructions, peak_bytes
from pydantic import ValidationError
from tune_tpe.arguments import TpeArguments
from tune_tpe.tuner import TPETuner

from tune_core import Observation
from tune_core.space import SearchSpace

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
            {
                "_name": "deep",
                "in": {
                    "_type": "choice",
                    "_value": [{"_name": "a", "u": {"_type": "uniform", "_value": [0, 1]}}, {"_name": "b"}],
                },
            },
        ],
    },
    "op": {"_type": "layer_choice", "_value": ["p", "q"]},
    "wd": {"_type": "qlognormal", "_value": [1, 1, 0.5]},
}
NNI = {
    "multivariate": False,
    "constant_liar_type": "best",
    "n_startup_jobs": 20,
    "n_ei_candidates": 24,
    "linear_forgetting": 25,
    "prior_weight": 1.0,
    "gamma": 0.25,
}


def tuner_for(space: SearchSpace, seed: int = 1, **args: Any) -> TPETuner:
    tuner = TPETuner(args)
    tuner.set_seed(seed)
    tuner.update_search_space(space)
    return tuner


def tell(tuner: TPETuner, number: int, parameters: Any, value: float) -> None:
    tuner.register_pending(number, parameters)
    tuner.receive_trial_result(number, parameters, value)
    tuner.trial_end(number, success=True)


def drive(tuner: TPETuner, objective: Callable[[Any], float], n: int) -> list[tuple[Any, float]]:
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
    return base + (p["op"]["_value"] != "q") + abs(p["wd"] - 4) / 4


@pytest.mark.parametrize("args", [{}, NNI], ids=["joint", "nni"])
@pytest.mark.parametrize(("raw", "loss"), [(FLAT, flat_loss), (NESTED, nested_loss)], ids=["flat", "nested"])
def test_tpe_proposes_within_the_space_and_does_better_than_random(
    raw: Any, loss: Callable[[Any], float], args: dict[str, Any]
) -> None:
    space, rng = SearchSpace.parse(raw), np.random.default_rng(0)
    at_random = np.mean([loss(space.sample(rng)) for _ in range(1000)])
    late = []
    for seed in range(4):
        done = drive(tuner_for(space, seed, **args), loss, 80)
        assert all(space.contains(parameters) for parameters, _ in done)
        late += [value for _, value in done[40:]]
    assert np.mean(late) < 0.85 * at_random


# The example in NNI's documents has a prior without weight.
@pytest.mark.parametrize("args", [{}, NNI], ids=["joint", "nni"])
@pytest.mark.parametrize(("raw", "loss"), [(FLAT, flat_loss), (NESTED, nested_loss)], ids=["flat", "nested"])
def test_tpe_does_without_the_prior(raw: Any, loss: Callable[[Any], float], args: dict[str, Any]) -> None:
    space, rng = SearchSpace.parse(raw), np.random.default_rng(0)
    at_random = np.mean([loss(space.sample(rng)) for _ in range(1000)])
    given = {**args, "prior_weight": 0, "n_startup_jobs": 10}
    late = []
    for seed in range(4):
        done = drive(tuner_for(space, seed, **given), loss, 60)
        assert all(space.contains(parameters) for parameters, _ in done)
        late += [value for _, value in done[30:]]
    assert np.mean(late) < 0.85 * at_random


def test_tpe_concentrates_on_the_better_branch() -> None:
    done = drive(tuner_for(SearchSpace.parse(NESTED)), nested_loss, 100)
    late = Counter(parameters["layer"]["_name"] for parameters, _ in done[50:])
    assert late["conv"] > 30


@pytest.mark.parametrize("args", [{}, NNI], ids=["joint", "nni"])
def test_tpe_rebuilt_from_what_was_registered_goes_on_the_same(args: dict[str, Any]) -> None:
    space = SearchSpace.parse(NESTED)
    lived = tuner_for(space, 7, **args)
    done = drive(lived, nested_loss, 30)
    running = lived.generate_parameters(30)
    lived.register_pending(30, running)
    rebuilt = tuner_for(space, 7, **args)
    for number, (parameters, value) in enumerate(done):
        tell(rebuilt, number, parameters, value)
    rebuilt.register_pending(30, running)
    assert [rebuilt.generate_parameters(n) for n in (31, 32)] == [
        lived.generate_parameters(n) for n in (31, 32)
    ]
    other = tuner_for(space, 8, **args)
    assert other.generate_parameters(0) != tuner_for(space, 7, **args).generate_parameters(0)


def test_proposing_leaves_no_trace() -> None:
    tuner = tuner_for(SearchSpace.parse(FLAT))
    drive(tuner, flat_loss, 20)
    first = tuner.generate_parameters(20)
    tuner.generate_parameters(21)
    assert tuner.generate_parameters(20) == first


def test_first_proposals_meet_every_part_of_every_range() -> None:
    space = SearchSpace.parse({"x": FLAT["x"], "act": FLAT["act"]})
    tuner = tuner_for(space, n_startup_jobs=12)
    points = [tuner.generate_parameters(number) for number in range(12)]
    assert sorted(int((point["x"] + 5) / 10 * 12) for point in points) == list(range(12))
    assert Counter(point["act"] for point in points) == {"relu": 4, "tanh": 4, "elu": 4}


def test_startup_ends_with_results_not_with_proposals() -> None:
    space = SearchSpace.parse(FLAT)
    design = [tuner_for(space, 3, n_startup_jobs=5).generate_parameters(number) for number in range(10)]
    tuner = tuner_for(space, 3, n_startup_jobs=5)
    for number in range(4):
        tell(tuner, number, design[number], 1.0)
    assert tuner.generate_parameters(9) == design[9]
    tell(tuner, 4, design[4], 1.0)
    assert tuner.generate_parameters(9) != design[9]


def test_startup_ends_when_what_is_needed_is_under_way() -> None:
    """Ten parameters want ten results: six that are there, and four that run."""
    space = SearchSpace.parse({f"x{number}": FLAT["x"] for number in range(10)})
    design = [tuner_for(space, 3, n_startup_jobs=10).generate_parameters(number) for number in range(15)]
    tuner = tuner_for(space, 3)
    for number in range(10):
        tuner.register_pending(number, design[number])
    for number in range(5):
        tuner.receive_trial_result(number, design[number], 1.0)
    assert tuner.generate_parameters(14) == design[14]
    tuner.receive_trial_result(5, design[5], 1.0)
    assert tuner.generate_parameters(14) != design[14]
    tuner.trial_end(9, success=False)
    assert tuner.generate_parameters(14) == design[14]


def test_running_trials_push_proposals_away() -> None:
    space = SearchSpace.parse(
        {"x": {"_type": "uniform", "_value": [0, 1]}, "y": {"_type": "uniform", "_value": [0, 1]}}
    )

    def spread(liar: str | None) -> float:
        distances = []
        for seed in range(6):
            tuner = tuner_for(space, seed, constant_liar_type=liar)
            drive(tuner, lambda p: (p["x"] - 0.3) ** 2 + (p["y"] - 0.6) ** 2, 30)
            points = []
            for number in range(30, 38):
                points.append(tuner.generate_parameters(number))
                tuner.register_pending(number, points[-1])
            batch = np.array([[p["x"], p["y"]] for p in points])
            distances.append(np.abs(batch[:, None] - batch).sum(axis=2)[np.triu_indices(8, 1)].mean())
        return float(np.mean(distances))

    assert spread("worst") > 1.3 * spread("best")


def test_failed_trial_leaves_no_result() -> None:
    space = SearchSpace.parse(FLAT)
    tuner, same = tuner_for(space), tuner_for(space)
    done = drive(tuner, flat_loss, 20)
    for number, (parameters, value) in enumerate(done):
        tell(same, number, parameters, value)
    near = same.generate_parameters(21)
    near["x"] += 1e-3
    tuner.register_pending(20, near)
    assert tuner.generate_parameters(21) != same.generate_parameters(21)
    tuner.trial_end(20, success=False)
    assert tuner.generate_parameters(21) == same.generate_parameters(21)


def test_tpe_avoids_what_was_on_trial_in_a_finite_space() -> None:
    space = SearchSpace.parse({name: {"_type": "randint", "_value": [0, 6]} for name in "abc"})
    done = drive(tuner_for(space), lambda p: float(p["a"] + p["b"] + p["c"]), 60)
    assert len({space.key(parameters) for parameters, _ in done}) > 55


def test_changed_search_space_keeps_the_results_that_fit() -> None:
    tuner = tuner_for(SearchSpace.parse(FLAT))
    done = drive(tuner, flat_loss, 40)
    running = tuner.generate_parameters(40)
    tuner.register_pending(40, running)
    wider = {**FLAT, "act": {"_type": "choice", "_value": ["new", "relu", "tanh", "elu"]}}
    tuner.update_search_space(SearchSpace.parse(wider))
    fresh = tuner_for(SearchSpace.parse(wider))
    for number, (parameters, value) in enumerate(done):
        tell(fresh, number, parameters, value)
    fresh.register_pending(40, running)
    left, right = tuner.generate_parameters(41), fresh.generate_parameters(41)
    assert left == {**right, "x": pytest.approx(right["x"]), "lr": pytest.approx(right["lr"])}
    tuner.update_search_space(SearchSpace.parse({"other": FLAT["x"]}))
    tuner.receive_trial_result(40, running, 1.0)  # started under a space that it fits no longer
    tuner.trial_end(40, success=True)
    assert set(tuner.generate_parameters(42)) == {"other"}


def test_imported_results_replace_the_start() -> None:
    space = SearchSpace.parse(FLAT)
    rng = np.random.default_rng(2)
    points = [space.sample(rng) for _ in range(60)]
    tuner = tuner_for(space)
    tuner.import_data([Observation(point, flat_loss(point)) for point in points])
    proposed = [flat_loss(tuner.generate_parameters(number)) for number in range(30)]
    assert np.median(proposed) < 0.5 * np.median([flat_loss(point) for point in points])


def test_trials_outside_the_space_teach_nothing() -> None:
    space = SearchSpace.parse(FLAT)
    tuner, same = tuner_for(space), tuner_for(space)
    drive(tuner, flat_loss, 20)
    drive(same, flat_loss, 20)
    tell(tuner, 20, {"x": 99, "lr": 1e-3, "n": 7, "act": "elu"}, -5.0)
    assert tuner.generate_parameters(21) == same.generate_parameters(21)


@pytest.mark.parametrize("values", [[1.0] * 40, [1e308, -1e308] * 20, [0.0, 5e-324] * 20])
def test_tpe_copes_with_any_finite_results(values: list[float]) -> None:
    space = SearchSpace.parse(FLAT)
    for args in ({}, {"constant_liar_type": "mean"}, NNI):
        tuner = tuner_for(space, **args)
        for number, value in enumerate(values):
            tell(tuner, number, tuner.generate_parameters(number), value)
            tuner.register_pending(1000 + number, tuner.generate_parameters(1000 + number))
        assert space.contains(tuner.generate_parameters(2000))


@pytest.mark.parametrize(
    ("given", "liar"),
    [
        ("best", "best"),
        ("Worst", "worst"),
        ("none", None),
        ("None", None),
        (None, None),
        ("min", "best"),
        ("max", "worst"),
    ],
)
def test_constant_liar_takes_nnis_names(given: str | None, liar: str | None) -> None:
    assert TpeArguments(constant_liar_type=given).constant_liar_type == liar  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", [{"gamma": 0}, {"n_startup_jobs": 0}, {"constant_liar_type": "liar"}, {"gama": 0.3}]
)
def test_arguments_refuse_what_they_do_not_know(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TPETuner.Arguments.model_validate({"tpe_args": bad})


def test_nni_categorical_choice_follows_smoothed_counts() -> None:
    """With l ~ counts + prior weight, the option most over-represented among the good is proposed."""
    space = SearchSpace.parse({"c": {"_type": "choice", "_value": list("abcd")}})
    tuner = tuner_for(space, **{**NNI, "n_startup_jobs": 5})
    for number in range(40):
        tell(tuner, number, {"c": "abcd"[number % 4]}, 0.0 if number % 4 == 2 else 1.0)
    assert [tuner.generate_parameters(100 + number)["c"] for number in range(5)] == ["c"] * 5


def test_ask_and_tell_does_not_grow_with_history() -> None:
    space = SearchSpace.parse(FLAT)
    tuner, rng = tuner_for(space), np.random.default_rng(0)

    def fill(start: int, stop: int) -> None:
        for number in range(start, stop):
            tell(tuner, number, space.sample(rng), float(rng.random()))

    def ask_and_tell(start: int) -> None:
        for number in range(start, start + 5):
            tell(tuner, number, tuner.generate_parameters(number), float(rng.random()))

    fill(0, 300)
    first = instructions(lambda: ask_and_tell(300)), peak_bytes(lambda: ask_and_tell(305))
    fill(310, 2000)
    # Work for each trial, in Python or in arrays, would be seven times as much.
    assert instructions(lambda: ask_and_tell(2000)) < 1.2 * first[0]
    assert peak_bytes(lambda: ask_and_tell(2005)) < 1.5 * first[1]


def test_old_way_to_say_what_running_trials_count_as() -> None:
    def liar(**arguments: Any) -> str | None:
        return TPETuner(**arguments)._args.constant_liar_type

    assert liar(parallel_optimize=True) == "best"
    assert liar(parallel_optimize=True, constant_liar_type="max") == "worst"
    assert liar(parallel_optimize=False, constant_liar_type="mean") == liar()
    assert liar(parallel_optimize=True, tpe_args={"constant_liar_type": None}) is None
