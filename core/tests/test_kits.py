"""The conformance kits: good plugins pass, and each kind of bad one is caught."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tune_core.algorithms.base import Advisor, Assessor, Tuner
from tune_core.algorithms.compose import TunerAdvisor
from tune_core.nas import NasTrainer
from tune_core.services.base import TrainingService
from tune_core.services.processes import ProcessService
from tune_core.space import SearchSpace
from tune_core.testing import (
    AdvisorContract,
    AssessorContract,
    NasTrainerContract,
    TrainingServiceContract,
    TunerContract,
)
from tune_core.trial import Attempt, AttemptKey, Ending, Message, Parameters


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


class Plain(ProcessService):
    """Whatever is submitted runs; it keeps to the contract, which the guide's service shows."""

    def __init__(self) -> None:
        super().__init__(grace_s=0.1)


class OpenGate(Plain):
    """Does not wait for the record: what runs has reported by then, however long that takes."""

    def bring_to_gate(self, key: AttemptKey, launch: Any) -> None:
        super().bring_to_gate(key, launch)
        self.runtime.go(key)
        reported = self._attempts[key].directory / "messages.jsonl"
        deadline = time.monotonic() + 60
        while not (reported.exists() and reported.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)


class EndsTwice(Plain):
    def ended(self, key: Any, end: Any) -> None:
        super().ended(key, end)
        self._events.ended(key, Ending(0))


class Hasty(Plain):
    """Says that it is over when it was only asked to be."""

    async def cancel(self, key: AttemptKey) -> None:
        if not self._told:
            self._events.ended(key, Ending(None))
        self._told = True

    _told = False

    def ended(self, key: Any, end: Any) -> None:
        pass

    async def close(self) -> None:
        # So that this test leaves nothing either.
        for key in self._attempts:
            await super().cancel(key)
        while self.runtime.timeout() is not None:  # noqa: ASYNC110 (the runtime has no event)
            await asyncio.sleep(0.01)
        await super().close()


class LosesMessages(Plain):
    def records(self, key: Any, records: list[Any]) -> None:
        super().records(key, [record for record in records if record.sequence != 5000])


class Late(Plain):
    """Delivers after the end."""

    def ended(self, key: Any, end: Any) -> None:
        super().ended(key, end)
        self._run(self._events.messages(key, [Message(0, "final", 1, 0.0)]), self._deliveries)


class ThrowsOutputAway(Plain):
    def ended(self, key: Any, end: Any) -> None:
        (self._attempts[key].directory / "stderr").unlink()
        super().ended(key, end)


class AdoptsNothing(Plain):
    async def adopt(self, attempt: Attempt, identity: Any, last_sequence: int) -> None:
        self._events.ended(attempt.key, Ending(None, lost=True))


class RunsTwice(Plain):
    """Takes an attempt that was never recorded for one that ran."""

    async def submit(self, attempt: Attempt) -> None:
        if attempt.directory.exists():
            self._events.ended(attempt.key, Ending(0))
        else:
            await super().submit(attempt)


class FetchesNothing(Plain):
    async def fetch(self, attempt: Attempt, identity: Any, target: Path) -> None:
        pass


@pytest.mark.parametrize(
    ("bad", "caught_by"),
    [
        (OpenGate, "test_nothing_runs_without_the_word"),
        (OpenGate, "test_manager_killed_at_the_gate_lets_nothing_run"),
        (EndsTwice, "test_exit_status_and_last_words_are_reported"),
        (Hasty, "test_cancel_ends_the_whole_tree"),
        (LosesMessages, "test_ten_thousand_metrics_come_in_order"),
        (LosesMessages, "test_manager_killed_in_a_burst_loses_nothing"),
        (Late, "test_trial_gets_parameters_and_reports"),
        (ThrowsOutputAway, "test_all_that_was_printed_is_there_at_the_end"),
        (AdoptsNothing, "test_manager_killed_in_mid_trial_loses_nothing"),
        (RunsTwice, "test_start_that_is_not_on_record_is_made_again"),
        (FetchesNothing, "test_files_of_a_trial_are_fetched"),
    ],
)
def test_bad_services_are_caught(bad: type[ProcessService], caught_by: str, tmp_path: Path) -> None:
    class Kit(TrainingServiceContract):
        def make_service(self) -> TrainingService:
            return bad()

    with pytest.raises((AssertionError, OSError)):
        getattr(Kit(), caught_by)(tmp_path)
