"""PBT in real experiments on this machine: checkpoints that pass from trial to trial, and a killed manager.

The problem is that of figure 2 of the paper: to maximise Q = 1.2 - (a^2 + b^2) by following the gradient of a
surrogate that has but one of the two squares, which one being the parameter. Whoever keeps it comes no
further than 1.2 - 0.9^2 = 0.39, whatever it is and however long they train.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_core import Experiment, Record, TrialState
from tune_core.cli import main
from tune_core.store.directory import ExperimentDirectory

TRIAL = """
import json, os, time
import tune

def wait_for(*path):
    while not os.path.exists(os.path.join(*path)):
        time.sleep(0.005)

number = tune.get_sequence_id()
if number >= int(os.environ.get("HELD_FROM", "1000")):
    wait_for(os.environ["LEAVE"])
if "IN_TURN" in os.environ:
    open(os.path.join(os.environ["IN_TURN"], str(number)), "w").close()
    if number + 2 < int(os.environ["TRIALS"]):
        wait_for(os.environ["IN_TURN"], str(number + 2))  # of three at once: the one before has ended

parameters = tune.get_next_parameter()
folder = parameters.get("load_checkpoint_dir", "")
theta = [0.9, 0.9]
if os.path.isdir(folder):
    with open(os.path.join(folder, "theta.json")) as file:
        theta = json.load(file)
for _ in range(int(os.environ.get("STEPS", "1"))):
    theta[parameters["square"]] *= 0.6  # some steps along the gradient
if "save_checkpoint_dir" in parameters:
    os.makedirs(parameters["save_checkpoint_dir"], exist_ok=True)
    with open(os.path.join(parameters["save_checkpoint_dir"], "theta.json"), "w") as file:
        json.dump(theta, file)
tune.report_final_result(1.2 - theta[0] ** 2 - theta[1] ** 2)
"""
MEMBERS = 4
STUCK = 1.2 - 0.9**2
PATIENCE_S = 120.0


def config(folder: Path, trials: int, **arguments: Any) -> dict[str, Any]:
    folder.mkdir(parents=True)
    (folder / "trial.py").write_text(TRIAL)
    return {
        "searchSpace": {"square": {"_type": "choice", "_value": [0, 1]}},
        "trialCommand": f"{sys.executable} trial.py",
        "trialCodeDirectory": str(folder),
        "trialConcurrency": 3,  # fewer than members, so that epochs overlap with nothing
        "maxTrialNumber": trials,
        "tuner": {
            "name": "PBT",
            "classArgs": {
                "optimize_mode": "maximize",
                "seed": 3,
                "population_size": MEMBERS,
                "fraction": 0.25,
                **arguments,
            },
        },
        "trainingService": {"platform": "local"},
        "experimentWorkingDirectory": str(folder / "experiments"),
    }


EPOCHS = 9


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An experiment that ran to its end undisturbed."""
    experiment = Experiment(config(tmp_path_factory.mktemp("pbt") / "pbt", EPOCHS * MEMBERS))
    assert experiment.run() == "DONE"
    return experiment


def test_population_reaches_what_no_fixed_parameters_can(
    population: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_reached_what_no_fixed_parameters_can(population, capsys)
    # Nothing is left but what each member stands on, and the best.
    assert MEMBERS <= len(checkpoints(population)) <= MEMBERS + 1


def test_asynchronous_population_reaches_what_no_fixed_parameters_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who is compared with whom is up to the order in which trials end, hence they end as they began: of
    random orders, 6 % leave a population that never changed its square."""
    made = config(tmp_path / "pbt", EPOCHS * MEMBERS, asynchronous=True)
    made["trialEnvironment"] = {"IN_TURN": str(tmp_path), "TRIALS": str(EPOCHS * MEMBERS)}
    experiment = Experiment(made)
    assert experiment.run() == "DONE"
    assert_reached_what_no_fixed_parameters_can(experiment, capsys)
    # And what each member's next trial would load.
    assert MEMBERS <= len(checkpoints(experiment)) <= 2 * MEMBERS + 1


def assert_reached_what_no_fixed_parameters_can(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [trial.state for trial in experiment.trials()] == [TrialState.SUCCEEDED] * EPOCHS * MEMBERS
    best = experiment.best
    assert best is not None
    assert best.value is not None
    assert best.value > 0.9 > STUCK
    # The best trial's checkpoint is named where people look for it, and is that of its result.
    assert main(["best", str(experiment.directory.path)]) == 0
    folder = best.parameters["save_checkpoint_dir"]
    assert folder in capsys.readouterr().out
    theta = json.loads((Path(folder) / "theta.json").read_text())
    assert 1.2 - theta[0] ** 2 - theta[1] ** 2 == pytest.approx(best.value)


def checkpoints(experiment: Experiment) -> list[Path]:
    return list((experiment.directory.algorithm / "checkpoints").glob("*/*"))


def test_random_search_stays_behind(tmp_path: Path) -> None:
    made = config(tmp_path / "random", 2)
    made["tuner"] = {"name": "Random", "classArgs": {"optimize_mode": "maximize"}}
    made["trialEnvironment"] = {"STEPS": "1000"}
    experiment = Experiment(made)
    experiment.run()
    best = experiment.best
    assert best is not None
    assert best.value is not None
    assert best.value == pytest.approx(STUCK)


def test_killed_manager_goes_on_with_the_same_proposals(population: Experiment, tmp_path: Path) -> None:
    trials, free = 5 * MEMBERS, 2 * MEMBERS + 2  # some of the third epoch; the others wait
    made, leave = config(tmp_path / "killed", trials), tmp_path / "leave"
    made["trialEnvironment"] = {"HELD_FROM": str(free), "LEAVE": str(leave)}
    killed = Experiment(made).directory
    manager = start(killed)
    wait(lambda: ended(killed) == free, manager)
    os.kill(manager.pid, signal.SIGKILL)
    manager.wait()
    leave.touch()
    assert start(killed).wait(PATIENCE_S) == 0
    assert ended(killed) == trials
    assert proposals(killed) == proposals(population.directory)[:trials]
    log = (killed.log / "manager.log").read_text()
    assert "not what the algorithm proposes today" not in log


def start(directory: ExperimentDirectory) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "tune_core.experiment.background", str(directory.path)]
    with (directory.log / "stderr").open("ab") as stderr:
        return subprocess.Popen(command, stderr=stderr, start_new_session=True)


def ended(directory: ExperimentDirectory) -> int:
    with Record(directory) as record:
        return sum(trial.state.is_terminal for trial in record.trials())


def proposals(directory: ExperimentDirectory) -> list[dict[str, Any]]:
    """Of all trials, the folders relative to the experiment's."""
    root = str(directory.algorithm.resolve())
    with Record(directory) as record:
        return [json.loads(json.dumps(each.parameters).replace(root, "")) for each in record.trials()]


def wait(condition: Callable[[], bool], manager: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert manager.poll() is None, "the manager ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)
