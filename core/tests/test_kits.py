"""The conformance kits: good plugins pass, and each kind of bad one is caught."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tune_core.algorithms.base import Advisor, Assessor, Tuner
from tune_core.algorithms.compose import TunerAdvisor
from tune_core.nas import NasTrainer
from tune_core.space import SearchSpace
from tune_core.testing import AdvisorContract, AssessorContract, NasTrainerContract, TunerContract
from tune_core.trial import Parameters


class Draws(Tuner):
    def update_search_space(self, search_space: SearchSpace) -> None:
        self.space = search_space

    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        return self.space.sample(self.rng(parameter_id))

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        pass


class Patient(Assessor):
    def assess_trial(self, trial_id: str, history: Any) -> bool:
        return True


class TinySearch(NasTrainer):
    """Moves a weight for each of two choices: all that a one-shot search does, without a network."""

    def __init__(self) -> None:
        self.epoch = 0
        self.weights = {"cell/op": [0.0, 0.0, 0.0], "cell/input": [0.0, 0.0]}

    def fit(self) -> None:
        draws = random.Random(self.epoch)
        while self.epoch < 3:
            for weights in self.weights.values():
                weights[draws.randrange(len(weights))] += 1.0
            self.epoch += 1

    def export(self) -> dict[str, Any]:
        return {key: weights.index(max(weights)) for key, weights in self.weights.items()}

    def status(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "weights": self.weights}

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.status()), encoding="utf-8")

    def load(self, path: Path) -> None:
        state = json.loads(path.read_text(encoding="utf-8"))
        self.epoch, self.weights = state["epoch"], state["weights"]


class TestTunerKit(TunerContract):
    def make_tuner(self) -> Tuner:
        return Draws()


class TestAssessorKit(AssessorContract):
    def make_assessor(self) -> Assessor:
        return Patient()


class TestAdvisorKit(AdvisorContract):
    def make_advisor(self) -> Advisor:
        return TunerAdvisor(Draws(), Patient())


class TestNasTrainerKit(NasTrainerContract):
    def make_trainer(self) -> NasTrainer:
        return TinySearch()


class OwnDice(Draws):
    """Randomness that does not come from the kernel."""

    def generate_parameters(self, parameter_id: int) -> Parameters:
        return self.space.sample(__import__("numpy").random.default_rng())


class Forgets(Draws):
    """State that replay cannot bring back: it claims that proposals leave no trace."""

    replays_proposals = False
    asked = 0

    def generate_parameters(self, parameter_id: int) -> Parameters:
        self.asked += 1
        return self.space.sample(self.rng(self.asked))


class Outside(Draws):
    def generate_parameters(self, parameter_id: int) -> Parameters:
        return dict.fromkeys(self.space.names, 10**9)


class NumpyTypes(Draws):
    def generate_parameters(self, parameter_id: int) -> Parameters:
        import numpy as np

        parameters = self.space.sample(self.rng(parameter_id))
        return {key: np.float64(v) if isinstance(v, float) else v for key, v in parameters.items()}


class NeverAgain(Draws):
    """Waits for results of trials that all failed."""

    results = 0

    def generate_parameters(self, parameter_id: int) -> Parameters | None:
        return super().generate_parameters(parameter_id) if parameter_id < 3 or self.results else None

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self.results += 1


class KeepsTheDictionary(Draws):
    """Gives out its own dictionary, which the caller may change."""

    def generate_parameters(self, parameter_id: int) -> Parameters:
        if not hasattr(self, "mine"):
            self.mine = super().generate_parameters(parameter_id) or {}
            return self.mine
        fresh = super().generate_parameters(parameter_id) or {}
        return fresh if self.mine else {}


class DividesByTheSpread(Draws):
    values: tuple[float, ...] = ()

    def receive_trial_result(self, parameter_id: int, parameters: Parameters, value: float) -> None:
        self.values += (value,)
        _ = 1 / (max(self.values) - min(self.values)) if len(self.values) > 3 else 0


class OldSpace(Draws):
    def update_search_space(self, search_space: SearchSpace) -> None:
        self.space = getattr(self, "space", search_space)


@pytest.mark.parametrize(
    ("bad", "caught_by"),
    [
        (OwnDice, "test_same_seed_gives_the_same_proposals"),
        (Forgets, "test_replaying_the_calls_restores_the_tuner"),
        (Outside, "test_proposals_lie_in_the_space"),
        (NumpyTypes, "test_proposals_lie_in_the_space"),
        (NeverAgain, "test_only_failures_do_no_harm"),
        (KeepsTheDictionary, "test_proposals_are_the_callers_to_change"),
        (OldSpace, "test_new_search_space_is_obeyed"),
    ],
)
def test_bad_tuners_are_caught(bad: type[Tuner], caught_by: str) -> None:
    class Kit(TunerContract):
        def make_tuner(self) -> Tuner:
            return bad()

    with pytest.raises(AssertionError):
        getattr(Kit(), caught_by)()


def test_tuner_that_fails_on_equal_results_is_caught() -> None:
    class Kit(TunerContract):
        def make_tuner(self) -> Tuner:
            return DividesByTheSpread()

    with pytest.raises(ZeroDivisionError):
        Kit().test_extreme_and_equal_results_do_no_harm(0.0)


def test_tuner_that_takes_what_it_should_refuse_is_caught() -> None:
    class Kit(TunerContract):
        refused: ClassVar = {"flat": {"x": {"_type": "uniform", "_value": [0, 1]}}}

        def make_tuner(self) -> Tuner:
            return Draws()

    with pytest.raises(pytest.fail.Exception):
        Kit().test_refuses_what_it_cannot_search()


class Impatient(Assessor):
    def assess_trial(self, trial_id: str, history: Any) -> bool:
        return len(history) < 4


class Meddler(Assessor):
    def assess_trial(self, trial_id: str, history: Any) -> bool:
        history.sort()
        return True


class Moody(Assessor):
    def assess_trial(self, trial_id: str, history: Any) -> bool:
        return random.random() < 0.5


@pytest.mark.parametrize(
    ("bad", "caught_by"),
    [
        (Impatient, "test_best_trial_goes_on"),
        (Meddler, "test_history_is_not_changed"),
        (Moody, "test_same_calls_give_the_same_verdicts"),
    ],
)
def test_bad_assessors_are_caught(bad: type[Assessor], caught_by: str) -> None:
    class Kit(AssessorContract):
        def make_assessor(self) -> Assessor:
            return bad()

    with pytest.raises(AssertionError):
        getattr(Kit(), caught_by)()
