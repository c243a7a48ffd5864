"""The tuner: what it proposes first and then, what it learns from, what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tune_networkmorphism import json_to_graph
from tune_networkmorphism.graph import Graph
from tune_networkmorphism.morphs import morph_from_json
from tune_networkmorphism.search import Candidate, anneal, wander
from tune_networkmorphism.tuner import NetworkMorphismTuner

from tune_core import AskTell, NoMoreTrial, Objectives, Observation, SearchSpace, SearchSpaceError, Tuner
from tune_core.config import AlgorithmConfig, choose
from tune_core.errors import ConfigError

SMALL: dict[str, Any] = {"input_width": 12, "default_model_width": 8, "n_output_node": 2, "t_min": 0.05}


def search(seed: int = 0, **options: Any) -> AskTell:
    return AskTell("NetworkMorphism", {}, mode="minimize", seed=seed, arguments={**SMALL, **options})


def ask(study: AskTell) -> Any:
    asked = study.ask()
    assert asked is not None
    return asked


def test_first_proposal_is_the_plain_network() -> None:
    first = ask(search(default_model_len=2)).parameters
    assert first["network"] == "conv3-8 pool conv3-8 pool mean dense8 dense2, 930 weights"
    assert (first["parent"], first["morphs"]) == (None, [])
    assert json_to_graph(first).input_shape == (3, 12, 12)
    rows = ask(search(task="common")).parameters
    assert rows["network"] == "dense8 dense8 dense8 dense2, 266 weights"
    assert json_to_graph(rows).input_shape == (12,)


def test_nothing_waits_for_the_first_result() -> None:
    study = search()
    asked = [ask(study) for _ in range(8)]
    assert len({json_to_graph(each.parameters).key for each in asked}) == 8
    assert [each.parameters["parent"] for each in asked] == [None] * 8


def test_children_name_the_trial_they_grow_out_of_and_how() -> None:
    study, graphs = search(), {}
    for number in range(12):
        asked = ask(study)
        graphs[number] = json_to_graph(asked.parameters)
        if number:
            parent = asked.parameters["parent"]
            graph = graphs[parent]
            for each in asked.parameters["morphs"]:
                graph = morph_from_json(each).apply(graph)
            assert 0 <= parent < number
            assert graph == graphs[number]
        study.tell(asked, float(number % 5))


def test_parent_is_a_trial_that_has_weights() -> None:
    """Not one that failed or runs, nor one of another experiment."""
    study = search()
    others = [ask(search(seed=seed)).parameters for seed in range(2)]
    study.add([(others[0], -5.0)])
    assert ask(study).parameters["parent"] is None  # of what was imported, whose weights are elsewhere
    for number in range(10):
        asked = ask(study)
        study.tell(asked, None if number % 2 else float(number))
        parent = asked.parameters["parent"]
        assert parent is None or (parent - 1) % 2 == 0


def test_what_was_imported_is_learnt_from_and_not_repeated() -> None:
    donor, study = search(), search()
    points = []
    for _ in range(8):
        asked = ask(donor)
        points.append((asked.parameters, score(asked.parameters)))
        donor.tell(asked, points[-1][1])
    study.add(points)
    known = {json_to_graph(parameters).key for parameters, _ in points}
    assert json_to_graph(ask(study).parameters).key not in known


def test_no_network_is_proposed_twice() -> None:
    study, seen = search(), set()
    for number in range(40):
        asked = ask(study)
        seen.add(json_to_graph(asked.parameters).key)
        study.tell(asked, None if number % 7 == 3 else score(asked.parameters))
    assert len(seen) == 40


@pytest.mark.parametrize("most", [3_000, 60_000])
def test_no_network_is_larger_than_allowed(most: int) -> None:
    study = search(max_model_size=most)
    for _ in range(12):
        asked = ask(study)
        assert json_to_graph(asked.parameters).weights <= most
        study.tell(asked, -json_to_graph(asked.parameters).weights)


def test_search_ends_where_nothing_can_grow() -> None:
    study = search(max_model_size=1530)
    first = ask(study)
    assert json_to_graph(first.parameters).weights == 1530
    assert study.ask() is None  # the first may yet have children
    study.tell(first, 1.0)
    with pytest.raises(NoMoreTrial, match="at most 1,530 weights was found that was not tried"):
        study.ask()


def test_failed_networks_are_avoided() -> None:
    """Of two kinds of children the ones that fail are proposed less."""
    study = search(task="common")
    tried = []
    for _ in range(30):
        asked = ask(study)
        deep = len(json_to_graph(asked.parameters).trunk) > 14
        tried.append(deep)
        study.tell(asked, None if deep else 1.0 + 0.01 * len(json_to_graph(asked.parameters).trunk))
    assert sum(tried[15:]) < 8


def score(parameters: Any) -> float:
    """How far a network is from five convs of about 30 filters with one connection."""
    graph = json_to_graph(parameters)
    units = [graph.layers[each].units for each in graph.trunk if graph.layers[each].kind == "conv"]
    hidden = [each for each in graph.trunk if graph.layers[each].kind == "dense"]
    widths = float(np.mean([abs(math.log2(each / 30)) for each in units]))
    return abs(len(units) - 5) + 2 * widths + abs(len(graph.skips) - 1) + 0.5 * abs(len(hidden) - 2)


class Wanders(Tuner):
    """Random morphs of random networks that were tried: what there is without a model."""

    needs_space = False

    def __init__(self) -> None:
        self._first = NetworkMorphismTuner(**SMALL)._first
        self._tried: list[Graph] = []

    def update_search_space(self, search_space: SearchSpace) -> None:
        pass

    def generate_parameters(self, parameter_id: int) -> Any:
        if not self._tried:
            return {"graph": self._first.to_json()}
        roots = [Candidate(None, (), graph) for graph in self._tried]
        found = wander(roots, {graph.key for graph in self._tried}, self.rng(parameter_id), 1 << 24)
        assert found is not None
        return {"graph": found.graph.to_json()}

    def register_pending(self, parameter_id: int, parameters: Any) -> None:
        self._tried.append(json_to_graph(parameters))

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: float) -> None:
        pass


def best_of(study: AskTell, trials: int) -> float:
    for _ in range(trials):
        asked = ask(study)
        study.tell(asked, score(asked.parameters))
    assert study.best is not None
    assert study.best.value is not None
    return study.best.value


def test_search_beats_random_morphs() -> None:
    # Seeds: 0.4 to 0.8, and 3.6 to 4.3 at random.
    ours = [best_of(search(seed, t_min=0.01), 20) for seed in range(3)]
    random = [best_of(AskTell(Wanders(), {}, mode="minimize", seed=seed), 20) for seed in range(3)]
    assert all(one < other for one, other in zip(ours, random, strict=True))
    assert np.mean(ours) < 0.5 * np.mean(random)


def test_annealing_finds_the_most_promising_of_the_tree() -> None:
    tuner = NetworkMorphismTuner(**SMALL)
    root = Candidate(3, (), tuner._first)

    def promise(graphs: Any) -> Any:
        return np.array([score({"graph": graph.to_json()}) for graph in graphs])

    found = [
        anneal([root], promise, set(), np.random.default_rng(seed), coldest=1e-4, largest=1 << 20)
        for seed in range(3)
    ]
    start = score({"graph": tuner._first.to_json()})
    for each in found:
        assert each is not None
        assert each.root == 3
        assert each.graph.key != root.graph.key
        assert 1 <= len(each.morphs) <= 5
        assert promise([each.graph])[0] < start - 3
    again = anneal([root], promise, set(), np.random.default_rng(0), coldest=1e-4, largest=1 << 20)
    assert again == found[0]


def test_graph_of_another_task_is_not_taken() -> None:
    tuner = NetworkMorphismTuner(**SMALL)
    other = NetworkMorphismTuner(**{**SMALL, "n_output_node": 3})._first.to_json()
    assert tuner.takes({"graph": tuner._first.to_json()})
    with pytest.raises(SearchSpaceError, match=r"it gives \[3\], where this experiment has \[2\]"):
        tuner.takes({"graph": other})
    with pytest.raises(SearchSpaceError, match=r"it reads \[12\], where this experiment has \[3, 12, 12\]"):
        tuner.takes({"graph": NetworkMorphismTuner(task="common", input_width=12)._first.to_json()})
    with pytest.raises(SearchSpaceError, match="version: None is not 1"):
        tuner.takes({"graph": {}})


def test_users_own_network_is_a_parent_like_any_other() -> None:
    tuner = NetworkMorphismTuner(**SMALL)
    tuner.set_seed(0)
    own = NetworkMorphismTuner(**{**SMALL, "default_model_len": 5})._first.to_json()
    tuner.register_pending(0, {"graph": own})
    tuner.receive_trial_result(0, {"graph": own}, 1.0)
    tuner.trial_end(0, success=True)
    child = tuner.generate_parameters(1)
    assert child is not None
    assert child["parent"] == 0


def test_data_of_other_experiments_is_imported_as_observations() -> None:
    tuner = NetworkMorphismTuner(**SMALL)
    tuner.set_seed(0)
    tuner.import_data([Observation({"graph": tuner._first.to_json()}, 0.5)])
    child = tuner.generate_parameters(0)
    assert child is not None
    assert (child["parent"], child["morphs"]) == (None, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "nlp"}, "'nlp' is not one of 'cv' or 'common'"),
        ({"default_model_width": 1 << 12}, "the first network has .* more than max_model_size"),
        ({"t_min": 0}, "t_min: 0"),
        ({"input_with": 3}, "did you mean 'input_width'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    config = AlgorithmConfig.model_validate({"name": "networkmorphism", "classArgs": arguments})
    with pytest.raises(ConfigError, match=message):
        choose("tuner", config).make()


def test_validation_says_what_networks_read() -> None:
    text = NetworkMorphismTuner(**SMALL, default_model_len=2).remark(Objectives(), None)
    assert text == (
        "networks read images of 3 by 12 by 12 and give 2 numbers; "
        "the first is conv3-8 pool conv3-8 pool mean dense8 dense2, 930 weights"
    )
    rows = NetworkMorphismTuner(task="common", input_width=7).remark(Objectives(), 5)
    assert rows.startswith("networks read rows of 7 features and give 10 numbers; the first is dense64")


def test_arguments_of_nni_are_accepted() -> None:
    nnis = {
        "task": "cv",
        "input_width": 32,
        "input_channel": 3,
        "n_output_node": 10,
        "algorithm_name": "Bayesian",
        "optimize_mode": "maximize",
        "path": "model_path",
        "verbose": True,
        "beta": 2.576,
        "t_min": 0.0001,
        "max_model_size": 2**24,
        "default_model_len": 3,
        "default_model_width": 64,
    }
    chosen = choose("tuner", AlgorithmConfig.model_validate({"name": "NetworkMorphism", "classArgs": nnis}))
    assert isinstance(chosen.make(), NetworkMorphismTuner)
    assert {name: nnis[name] for name in chosen.arguments} == chosen.arguments
