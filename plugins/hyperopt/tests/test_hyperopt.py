"""The adapters against hyperopt itself, and the distribution of each type against that of our spaces."""

from collections import Counter
from typing import Any

import hyperopt
import numpy as np
import pytest
from hyperopt import hp
from hyperopt.base import Domain
from tune_hyperopt.translation import Translation
from tune_hyperopt.tuners import HyperoptAnnealTuner, HyperoptRandomTuner, HyperoptTPETuner

from tune_core import AskTell, SearchSpace, Tuner
from tune_core.testing import EXAMPLE_SPACES

DRAWS = 1500
# Kolmogorov and Smirnov for two samples: 2 exp(-2 * 750 * 0.115**2) is 5e-9.
FARTHEST = 0.115


def tuner_for(tuner: Tuner, space: SearchSpace, seed: int = 0) -> Tuner:
    tuner.set_seed(seed)
    tuner.update_search_space(space)
    return tuner


def spec(kind: str, *value: Any, **more: Any) -> dict[str, Any]:
    return {"_type": kind, "_value": list(value), **more}


TYPES = {
    "choice": spec("choice", "a", "b", "c", "d"),
    "ordered": spec("choice", "small", "medium", "large", _ordered=True),
    "randint": spec("randint", -3, 5),
    "uniform": spec("uniform", -2, 3),
    "quniform": spec("quniform", 1, 10, 2),
    "loguniform": spec("loguniform", 1e-4, 10),
    "qloguniform": spec("qloguniform", 1, 256, 8),
    "normal": spec("normal", 3, 0.5),
    "qnormal": spec("qnormal", 0, 10, 2),
    "lognormal": spec("lognormal", 0, 1),
    "qlognormal": spec("qlognormal", 2, 1, 1),
}


def test_each_type_is_distributed_as_in_our_space() -> None:
    space = SearchSpace.parse(TYPES)
    tuner = tuner_for(HyperoptRandomTuner(), space)
    rng = np.random.default_rng(1)
    ours, _ = space.encode([space.sample(rng) for _ in range(DRAWS)])
    theirs, _ = space.encode([tuner.generate_parameters(number) for number in range(DRAWS)])
    for leaf in space.leaves:
        assert _distance(ours[:, leaf.index], theirs[:, leaf.index]) < FARTHEST, leaf.name


def _distance(first: Any, second: Any) -> float:
    """The greatest between two empirical distribution functions."""
    at = np.concatenate([first, second])
    ranks = [np.searchsorted(np.sort(sample), at, side="right") / len(sample) for sample in (first, second)]
    return float(np.abs(ranks[0] - ranks[1]).max())


def test_branches_are_as_likely_and_hold_the_same() -> None:
    space = SearchSpace.parse(EXAMPLE_SPACES["nested"])
    tuner = tuner_for(HyperoptRandomTuner(), space)
    found = [tuner.generate_parameters(number) for number in range(900)]
    counts = Counter(each["model"]["_name"] for each in found)
    assert [counts[name] for name in ("linear", "forest", "network")] == pytest.approx(
        [300] * 3, abs=85
    )  # 6 sigma
    for each in found:
        space.check(each)
        point = Translation(space).point(each)
        _, active = space.encode([each])
        assert [bool(point[str(leaf.index)]) for leaf in space.leaves] == active[0].tolist()


@pytest.mark.parametrize("name", list(EXAMPLE_SPACES))
def test_point_and_configuration_are_inverse(name: str) -> None:
    space = SearchSpace.parse(EXAMPLE_SPACES[name])
    translation, rng = Translation(space), np.random.default_rng(2)
    for _ in range(100):
        parameters = space.sample(rng)
        assert translation.parameters(translation.point(parameters)) == parameters


def loss(x: float, y: float) -> float:
    return (x - 1) ** 2 + (y + 2) ** 2


@pytest.mark.parametrize(
    ("tuner", "suggest"),
    [(HyperoptTPETuner(), hyperopt.tpe.suggest), (HyperoptAnnealTuner(), hyperopt.anneal.suggest)],
)
def test_proposals_are_hyperopts_own_on_the_same_seeds(tuner: Tuner, suggest: Any) -> None:
    raw = {"x": spec("uniform", -5, 10), "y": spec("normal", 0, 3)}
    tuner_for(tuner, SearchSpace.parse(raw), seed=7)
    domain = Domain(lambda _: 0.0, {"x": hp.uniform("x", -5, 10), "y": hp.normal("y", 0, 3)})
    trials = hyperopt.Trials()
    for number in range(40):
        ours = tuner.generate_parameters(number)
        seed = int(tuner.rng(number).integers(2**32))
        [theirs] = suggest([number], domain, trials, seed)
        values = {label: value for label, [value] in theirs["misc"]["vals"].items()}
        assert ours == pytest.approx(values, rel=1e-12), number
        value = loss(**values)
        theirs |= {"state": hyperopt.JOB_STATE_DONE, "result": {"status": "ok", "loss": value}}
        trials.insert_trial_docs([theirs])
        trials.refresh()
        tuner.register_pending(number, ours)
        tuner.receive_trial_result(number, ours, value)
        tuner.trial_end(number, success=True)


def learnt(tuner: Tuner, losses: list[float]) -> Tuner:
    """A tuner that knows results at the points (number + 0.5) / 40 of a line."""
    tuner_for(tuner, SearchSpace.parse({"x": spec("uniform", 0, 1)}))
    for number, value in enumerate(losses):
        x = {"x": (number + 0.5) / 40}
        tuner.register_pending(number, x)
        tuner.receive_trial_result(number, x, value)
        tuner.trial_end(number, success=True)
    return tuner


def proposals(tuner: Tuner) -> list[Any]:
    return [tuner.generate_parameters(number) for number in range(100, 120)]


def test_tpe_keeps_away_from_running_trials() -> None:
    tuner = learnt(HyperoptTPETuner(), [abs(number - 19.5) for number in range(40)])
    free = sum(abs(each["x"] - 0.5) < 0.02 for each in proposals(tuner))
    for number in range(40, 60):
        tuner.register_pending(number, {"x": 0.5 + (number - 50) * 1e-3})
    crowded = sum(abs(each["x"] - 0.5) < 0.02 for each in proposals(tuner))
    assert free >= 10
    assert crowded <= 1


@pytest.mark.parametrize(
    ("liar", "lie"), [("min", 0.0), ("best", 0.0), ("max", 29.0), ("worst", 29.0), ("mean", 14.5)]
)
@pytest.mark.parametrize("kind", [HyperoptTPETuner, HyperoptAnnealTuner])
def test_a_lie_is_as_good_as_that_result(kind: Any, liar: str, lie: float) -> None:
    losses = [float(number) for number in range(30)]
    lying = learnt(kind(parallel_optimize=True, constant_liar_type=liar), losses)
    told, honest = learnt(kind(), losses), learnt(kind(), losses)
    for tuner in (lying, told, honest):
        tuner.register_pending(30, {"x": 0.9})
    told.receive_trial_result(30, {"x": 0.9}, lie)
    told.trial_end(30, success=True)
    assert proposals(lying) == proposals(told)
    assert lying._lie() == pytest.approx(lie)
    assert (proposals(lying) == proposals(honest)) == (lie > 0)  # which is not among the good ones


def test_failed_trials_repel_as_running_ones_do() -> None:
    space = SearchSpace.parse({"x": spec("choice", "good", "broken")})
    tuner = tuner_for(HyperoptTPETuner(n_startup_jobs=5), space)
    for number in range(30):
        x = {"x": "broken" if number % 2 else "good"}
        tuner.register_pending(number, x)
        if x["x"] == "good":
            tuner.receive_trial_result(number, x, float(number))
        tuner.trial_end(number, success=x["x"] == "good")
    found = Counter(tuner.generate_parameters(number)["x"] for number in range(30, 70))
    assert found["good"] >= 36


@pytest.mark.parametrize("name", ["HyperoptTPE", "HyperoptAnneal"])
def test_it_beats_random_on_a_smooth_function(name: str) -> None:
    """By the mean of what it proposes, which says more than the best: of random ones it is 100 / 3."""
    raw = {f"x{i}": spec("uniform", -5, 5) for i in range(4)}

    def late(seed: int) -> float:
        search, values = AskTell(name, raw, mode="minimize", seed=seed), []
        for _ in range(60):
            asked = search.ask()
            assert asked is not None
            values.append(sum(value**2 for value in asked.parameters.values()))
            search.tell(asked, values[-1])
        return float(np.mean(values[30:]))

    # TPE: 24 with a standard error of 1 over seeds.
    assert np.mean([late(seed) for seed in range(6)]) < 30


def test_arguments_of_nni_and_of_hyperopt_are_taken() -> None:
    arguments = {"parallel_optimize": True, "constant_liar_type": "max", "n_EI_candidates": 50, "gamma": 0.5}
    assert AskTell("HyperoptTPE", TYPES, arguments=arguments).ask() is not None
    assert AskTell("TPE_legacy", TYPES, arguments=arguments).ask() is not None
    assert AskTell("HyperoptAnneal", TYPES, arguments={"shrink_coef": 0.2}).ask() is not None
