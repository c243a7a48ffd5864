"""Custom algorithms that were written for NNI, as the kernel calls them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nni import NoMoreTrialError, parameter_expressions
from nni.assessor import Assessor, AssessResult
from nni.runtime.msg_dispatcher_base import MsgDispatcherBase
from nni.runtime.protocol import CommandType, send
from nni.tuner import Tuner
from nni.utils import extract_scalar_reward

from tune_core import NoMoreTrial, Observation, SearchSpace, TrialState
from tune_core.algorithms.compose import TunerAdvisor
from tune_core.config.algorithm import choose
from tune_core.config.model import AlgorithmConfig
from tune_core.errors import AlgorithmError, ConfigError
from tune_core.experiment.replay import _report
from tune_core.metric import Metric
from tune_core.objectives import Objectives, Score
from tune_core.testing import AdvisorContract, AssessorContract, TunerContract

X = {"x": {"_type": "uniform", "_value": [0, 1]}}
OBJECTIVES = Objectives({"default": "maximize"})


class Recorder(Tuner):
    """Notes all calls, and proposes what it is given."""

    def __init__(self, optimize_mode: str = "minimize", limit: int = 1000, step: float = 0.125) -> None:
        self.mode, self.limit, self.step = optimize_mode, limit, step
        self.calls: list[Any] = []

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        self.calls.append(("space", search_space))

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> Any:
        if parameter_id >= self.limit:
            raise NoMoreTrialError("no more")
        return {"x": np.float64(parameter_id * self.step)}

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any, **kwargs: Any) -> None:
        self.calls.append(("result", parameter_id, parameters, value, kwargs))

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        self.calls.append(("end", parameter_id, success))

    def import_data(self, data: Any) -> None:
        self.calls.append(("import", data))


def adapted(cls: Any, **arguments: Any) -> Any:
    made = cls.tune_algorithm()(**arguments)
    made.set_seed(0)
    return made


def begun(cls: Any, **arguments: Any) -> Any:
    made = adapted(cls, **arguments)
    made.update_search_space(SearchSpace.parse(X))
    return made


def score(reported: Any) -> Score:
    return OBJECTIVES.score(Metric.read(reported))


def test_tuner_hears_what_trials_reported() -> None:
    tuner = begun(Recorder, user_mode="maximize")
    for number, reported in enumerate([3, {"default": 0.5, "loss": 9}]):
        parameters = tuner.generate_parameters(number)
        assert parameters == {"x": number * 0.125}
        assert type(parameters["x"]) is float
        tuner.register_pending(number, parameters)
        tuner.receive_trial_result(number, parameters, score(reported))
        tuner.trial_end(number, True)
    extras = [{"customized": False, "trial_job_id": each} for each in "01"]
    assert tuner.inner.mode == "maximize"
    assert tuner.inner.calls == [
        ("space", X),
        ("result", 0, {"x": 0.0}, 3, extras[0]),
        ("end", 0, True),
        ("result", 1, {"x": 0.125}, {"default": 0.5, "loss": 9}, extras[1]),
        ("end", 1, True),
    ]


@pytest.mark.parametrize("mode", ["maximize", "minimize"])
def test_tuner_hears_imported_numbers_in_the_users_direction(mode: str) -> None:
    tuner = begun(Recorder, user_mode=mode)
    objectives = Objectives({"default": mode})
    tuner.import_data([Observation({"x": 0.5}, objectives.score(Metric.read({"default": 0.75, "a": 1})))])
    assert tuner.inner.calls[1:] == [("import", [{"parameter": {"x": 0.5}, "value": 0.75}])]


def test_no_more_trial_waits_while_trials_run() -> None:
    tuner = begun(Recorder, limit=1)
    parameters = tuner.generate_parameters(0)
    tuner.register_pending(0, parameters)
    assert tuner.generate_parameters(1) is None
    tuner.trial_end(0, False)
    with pytest.raises(NoMoreTrial, match="Recorder has no more configurations"):
        tuner.generate_parameters(1)


class Debtor(Recorder):
    """Has one trial at a time, and sends the next one when that has ended."""

    def generate_parameters(self, parameter_id: int, st_callback: Any = None, **kwargs: Any) -> Any:
        self.st_callback = st_callback
        if parameter_id:
            self.owed = parameter_id
            raise NoMoreTrialError("later")
        return {"x": 0.0}

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        super().trial_end(parameter_id, success)
        if parameter_id == 0:
            self.st_callback(self.owed, {"x": 0.5})


def test_tuner_pays_what_it_owes() -> None:
    tuner = begun(Debtor)
    tuner.register_pending(0, tuner.generate_parameters(0))
    assert [tuner.generate_parameters(1), tuner.generate_parameters(1)] == [None, None]
    tuner.trial_end(0, True)
    parameters = tuner.generate_parameters(1)
    assert parameters == {"x": 0.5}
    tuner.register_pending(1, parameters)
    tuner.trial_end(1, True)
    assert tuner.inner.calls[-1] == ("end", 2, True)  # it was asked in vain once before


def test_user_s_trials_are_heard_only_if_accepted() -> None:
    tuner = begun(Recorder)
    for number, accepts in enumerate([False, True]):
        tuner.inner._accept_customized_trials(accepts)
        tuner.register_pending(number, {"x": 0.5})
        tuner.receive_trial_result(number, {"x": 0.5}, score(1))
        tuner.trial_end(number, True)
    extras = {"customized": True, "trial_job_id": "1"}
    assert tuner.inner.calls[1:] == [("result", 1, {"x": 0.5}, 1, extras), ("end", 1, True)]


class Ancient(Tuner):
    """Without keyword arguments, as in NNI 0.5; several proposals at a time."""

    def update_search_space(self, search_space: Any) -> None:
        self.space = search_space

    def generate_multiple_parameters(self, parameter_id_list: list[int]) -> list[Any]:
        return [{"x": each / 8} for each in parameter_id_list]

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: Any) -> None:
        self.last = value


def test_methods_without_keyword_arguments_are_called() -> None:
    tuner = begun(Ancient)
    assert tuner.generate_parameters(0) == {"x": 0.0}
    tuner.register_pending(0, {"x": 0.0})
    tuner.receive_trial_result(0, {"x": 0.0}, score(2))
    assert tuner.inner.last == 2


def test_checkpoint_path_is_the_algorithm_s_folder(tmp_path: Path) -> None:
    tuner = adapted(Recorder)
    assert tuner.inner.get_checkpoint_path() is None
    tuner.set_directory(tmp_path / "algorithm")
    assert tuner.inner.get_checkpoint_path() == str(tmp_path / "algorithm")
    assert (tmp_path / "algorithm").is_dir()


# Arguments.

CODE = """
from nni.tuner import Tuner
from nni.assessor import Assessor

class Named(Tuner):
    def __init__(self, optimize_mode="minimize", size=3): self.seen = optimize_mode, size
class Required(Tuner):
    def __init__(self, optimize_mode): self.seen = optimize_mode
class Plain(Tuner):
    pass
class Anything(Tuner):
    def __init__(self, **kwargs): self.seen = kwargs
class Judge(Assessor):
    pass
"""


def chosen(tmp_path: Path, name: str, kind: str = "tuner", **arguments: Any) -> Any:
    (tmp_path / "mine.py").write_text(CODE)
    section = {"className": f"mine.{name}", "codeDirectory": str(tmp_path), "classArgs": arguments}
    return choose(kind, AlgorithmConfig.model_validate(section))


@pytest.mark.parametrize(
    ("name", "arguments", "mode", "seen"),
    [
        ("Named", {}, "minimize", ("minimize", 3)),
        ("Named", {"optimize_mode": "maximize", "size": 5}, "maximize", ("maximize", 5)),
        ("Required", {"optimize_mode": "minimize"}, "minimize", "minimize"),
        (
            "Anything",
            {"optimize_mode": "minimize", "a": 1},
            "minimize",
            {"optimize_mode": "minimize", "a": 1},
        ),
    ],
)
def test_class_gets_its_arguments(tmp_path: Path, name: str, arguments: Any, mode: str, seen: Any) -> None:
    choice = chosen(tmp_path, name, **arguments)
    assert choice.name == name
    assert choice.optimize_mode == mode
    assert choice.make().inner.seen == seen


def test_class_without_a_direction_maximizes(tmp_path: Path) -> None:
    assert chosen(tmp_path, "Plain").optimize_mode == "maximize"
    assert chosen(tmp_path, "Plain", optimize_mode="minimize").make().mode == "minimize"


@pytest.mark.parametrize(
    ("name", "kind", "arguments", "message"),
    [
        ("Named", "tuner", {"sise": 5}, "sise"),
        ("Required", "tuner", {}, "optimize_mode is missing"),
        ("Judge", "tuner", {}, "Judge is not a subclass of"),
    ],
)
def test_wrong_use_is_refused(tmp_path: Path, name: str, kind: str, arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(tmp_path, name, kind, **arguments)


# Assessors.


class Judge(Assessor):
    """Stops a trial whose last result is below the one before."""

    def __init__(self, optimize_mode: str = "maximize") -> None:
        self.seen: list[Any] = []

    def assess_trial(self, trial_job_id: str, trial_history: list[Any]) -> Any:
        self.seen.append((trial_job_id, list(trial_history)))
        numbers = list(map(extract_scalar_reward, trial_history))
        return AssessResult.Good if len(numbers) < 2 or numbers[-1] >= numbers[-2] else AssessResult.Bad


def test_assessor_hears_histories_as_reported() -> None:
    advisor = TunerAdvisor(adapted(Recorder), adapted(Judge))
    advisor.update_search_space(SearchSpace.parse(X))
    assert advisor.wants_reports
    advisor.register_pending(4, {"x": 0.5})
    verdicts = [
        advisor.report_intermediate(4, OBJECTIVES.intermediate_score(Metric.read(each)))
        for each in (1, {"default": 2, "loss": 3}, 1.5)
    ]
    assert verdicts == [True, True, False]
    assert advisor.assessor.inner.seen[-1] == ("4", [1, {"default": 2, "loss": 3}, 1.5])
    advisor.trial_restart(4)
    assert advisor.report_intermediate(4, OBJECTIVES.intermediate_score(Metric.read(1)))
    assert advisor.assessor.inner.seen[-1] == ("4", [1])


def test_assessor_hears_the_same_in_a_replay() -> None:
    advisor = TunerAdvisor(adapted(Recorder), adapted(Judge))
    _report(advisor, 4, 2.0, '{"default": 2, "loss": 3}', OBJECTIVES)
    _report(advisor, 4, 3.0, None, OBJECTIVES)
    assert advisor.assessor.inner.seen[-1] == ("4", [{"default": 2, "loss": 3}, 3.0])


def test_assessor_that_says_neither_is_refused() -> None:
    class Silent(Assessor):
        def assess_trial(self, trial_job_id: str, trial_history: Any) -> Any:
            return None

    with pytest.raises(AlgorithmError, match=r"Silent.assess_trial returned None; return AssessResult.Good"):
        adapted(Silent).assess_trial("0", [1.0])


# Advisors.


class RandomAdvisor(MsgDispatcherBase):
    """Sends random trials, three at most at a time; ends those whose results are below zero."""

    def __init__(self, most: int = 3) -> None:
        super().__init__()
        self.most, self.running, self.credit, self.sent = most, 0, 0, 0
        self.heard: list[Any] = []

    def handle_initialize(self, data: Any) -> None:
        self.handle_update_search_space(data)
        send(CommandType.Initialized, "")

    def handle_update_search_space(self, data: Any) -> None:
        self.space = data

    def handle_request_trial_jobs(self, data: int) -> None:
        for _ in range(data):
            if self.running < self.most:
                self._send()
            else:
                self.credit += 1

    def _send(self) -> None:
        kinds = parameter_expressions
        parameters = {
            name: getattr(kinds, each["_type"])(*each["_value"], np.random)
            if each["_type"] != "choice"
            else kinds.choice(each["_value"], np.random)
            for name, each in self.space.items()
        }
        self.sent += 1
        self.running += 1
        job = {"parameter_id": f"a-{self.sent}", "parameter_source": "algorithm", "parameters": parameters}
        send(CommandType.NewTrialJob, json.dumps(job))

    def handle_report_metric_data(self, data: Any) -> None:
        value = json.loads(data["value"])
        self.heard.append((data["type"], data["parameter_id"], data["sequence"], value))
        if data["type"] == "PERIODICAL" and extract_scalar_reward(value) < 0:
            send(CommandType.KillTrialJob, json.dumps(data["trial_job_id"]))

    def handle_trial_end(self, data: Any) -> None:
        self.heard.append((data["event"], json.loads(data["hyper_params"])["parameter_id"]))
        self.running -= 1
        if self.credit:
            self.credit -= 1
            self._send()


def test_advisor_sends_hears_and_kills() -> None:
    advisor = begun(RandomAdvisor)
    for number in range(3):
        advisor.register_pending(number, advisor.propose(number))
    assert [advisor.propose(3), advisor.propose(3)] == [None, None]
    assert advisor.inner.credit == 1  # asked once, however often the kernel looks
    good, bad = (OBJECTIVES.intermediate_score(Metric.read(each)) for each in ({"default": 1}, -1))
    assert [advisor.report_intermediate(1, each) for each in (good, bad)] == [True, False]
    advisor.trial_end(1, TrialState.EARLY_STOPPED, None)
    advisor.trial_end(0, TrialState.SUCCEEDED, score(5))
    assert advisor.inner.heard == [
        ("PERIODICAL", "a-2", 0, {"default": 1}),
        ("PERIODICAL", "a-2", 1, -1),
        ("EARLY_STOPPED", "a-2"),
        ("FINAL", "a-1", 0, 5),
        ("SUCCEEDED", "a-1"),
    ]
    assert advisor.propose(3)["x"] <= 1


def test_advisor_that_has_no_more_ends_the_search() -> None:
    class Empty(RandomAdvisor):
        def handle_request_trial_jobs(self, data: int) -> None:
            send(CommandType.NoMoreTrialJobs, "")

    with pytest.raises(NoMoreTrial, match="Empty has no more configurations"):
        begun(Empty).propose(0)


def test_sending_outside_of_a_call_is_refused() -> None:
    with pytest.raises(RuntimeError, match="from within its handle_"):
        send(CommandType.NoMoreTrialJobs, "")


# The kernel's own conditions. Randomness is that of `random` and NumPy's global one, as NNI's users draw it.


class GlobalTuner(Recorder):
    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> Any:
        space = self.calls[0][1]
        low, high = space["x"]["_value"]
        return {"x": low + (high - low) * random.random(), "y": float(np.random.uniform(0, 1))}


SPACES = {"two": {"x": {"_type": "uniform", "_value": [-3, 5]}, "y": {"_type": "uniform", "_value": [0, 1]}}}


class TestTunerContract(TunerContract):
    spaces = SPACES
    startup = 5

    def make_tuner(self) -> Any:
        return GlobalTuner.tune_algorithm()()


class TestAdvisorContract(AdvisorContract):
    spaces = SPACES
    trials = 10

    def make_advisor(self) -> Any:
        return RandomAdvisor.tune_algorithm()(most=100)


class TestAssessorContract(AssessorContract):
    def make_assessor(self) -> Any:
        return Judge.tune_algorithm()()


def test_global_generators_of_others_go_on_undisturbed() -> None:
    tuner = begun(GlobalTuner)
    random.seed(1)
    np.random.seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).uniform()
    first = tuner.generate_parameters(0)
    assert (random.random(), np.random.uniform()) == expected
    assert begun(GlobalTuner).generate_parameters(0) == first
