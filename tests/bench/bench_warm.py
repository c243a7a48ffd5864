"""What a trial costs that imports scikit-learn: started cold, and forked from a process that has."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from tune_core import Experiment, TrialState

TRIALS = 20
TRAIN = """
import sklearn.ensemble
import tune
tune.report_final_result(tune.get_next_parameter()["x"])
"""


def main() -> None:
    print(f"{'':>6} {'median s':>9} {'trials/s':>9}")
    cold = durations(warm=False)
    warm = durations(warm=True)
    for name, (median, rate) in (("cold", cold), ("warm", warm)):
        print(f"{name:>6} {median:>9.3f} {rate:>9.1f}")
    print(f"a warm trial takes {warm[0] / cold[0]:.2f} of a cold one")


def durations(*, warm: bool) -> tuple[float, float]:
    """The median time from the start of a trial to its end, and trials per second; one at a time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "code").mkdir()
        (Path(folder) / "code" / "train.py").write_text(TRAIN)
        run = Experiment(config(folder, warm=warm))
        run.run()
        trials = run.trials()
    assert all(trial.state is TrialState.SUCCEEDED for trial in trials), trials[0]
    trials = trials[1:]  # the first one pays for the process that the others are forked from
    lasted = [trial.duration_s or 0.0 for trial in trials]
    total = max(trial.ended or 0.0 for trial in trials) - trials[0].created
    return statistics.median(lasted), len(trials) / total


def config(folder: str, *, warm: bool) -> dict[str, Any]:
    return {
        "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
        "trialCommand": "python train.py",
        "trialCodeDirectory": f"{folder}/code",
        "trialConcurrency": 1,
        "maxTrialNumber": TRIALS,
        "experimentWorkingDirectory": folder,
        "tuner": {"name": "Random"},
        "trainingService": {"platform": "local", "warm": warm},
    }


if __name__ == "__main__":
    main()
